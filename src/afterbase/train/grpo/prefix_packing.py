"""Rows of reinforcement learning: the answers to a prompt share one pass over it.

A row holds one or more trees: a prompt once, then the answers that continue it. An answer's last token is predicted but
never read, so it is in no row. What an answer of G would have computed on its own copy of the prompt is the same, and
so are the gradients, which meet in the prompt; the work is less by G - 1 prompts.

Notation: T tokens of a row, N answer tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from afterbase.data.pack import best_fit_decreasing
from afterbase.model.attention import Segments


@dataclass(frozen=True)
class Row:
    """One packed row: ids_T, which answers it holds, how long they are, and what predicts each of their targets_N.

    `places` says of each segment of the row which answer it is of, and whether it is the prompt that they share.
    """

    ids_T: Tensor
    segments: Segments
    answers: list[int]
    predictors_N: Tensor
    targets_N: Tensor
    sizes_S: Tensor
    places: list[tuple[int, bool]]


def rows(prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], capacity: int) -> list[Row]:
    """Rows of at most `capacity` tokens (or one tree's smallest form, where that is longer) that hold every answer.

    `prompts[i]` is what `answers[i]` continues; equal prompts are read once a tree.
    """
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, prompt in enumerate(prompts):
        by_prompt.setdefault(tuple(prompt), []).append(index)
    trees = [
        (prompt, part)
        for prompt, members in by_prompt.items()
        for part in _parts(members, [len(answers[i]) - 1 for i in members], capacity - len(prompt))
    ]
    sizes = [len(prompt) + sum(len(answers[i]) - 1 for i in part) for prompt, part in trees]
    return [
        _row([trees[t] for t in members], answers) for members in best_fit_decreasing(sizes, max([capacity, *sizes]))
    ]


def _parts(members: list[int], sizes: list[int], room: int) -> list[list[int]]:
    """The answers of one prompt in as many trees as it takes for each to fit; one that fits in none is on its own."""
    parts: list[list[int]] = []
    free = 0
    for index, size in zip(members, sizes, strict=True):
        if not parts or size > free:
            parts.append([])
            free = max(room, size)
        parts[-1].append(index)
        free -= size
    return parts


def _row(trees: list[tuple[tuple[int, ...], list[int]]], answers: Sequence[Sequence[int]]) -> Row:
    ids: list[int] = []
    lengths: list[int] = []
    continues: list[int | None] = []
    places: list[tuple[int, bool]] = []
    predictors: list[Tensor] = []
    for prompt, members in trees:
        root, last = len(lengths), len(ids) + len(prompt) - 1
        ids += prompt
        lengths.append(len(prompt))
        continues.append(None)
        places.append((members[0], True))
        for index in members:
            read = answers[index][:-1]
            predictors.append(torch.cat((torch.tensor([last]), torch.arange(len(ids), len(ids) + len(read)))))
            if read:
                ids += read
                lengths.append(len(read))
                continues.append(root)
                places.append((index, False))
    order = [index for _, members in trees for index in members]
    return Row(
        ids_T=torch.tensor(ids),
        segments=Segments.of(lengths, continues=continues),
        answers=order,
        predictors_N=torch.cat(predictors),
        targets_N=torch.tensor([token for index in order for token in answers[index]]),
        sizes_S=torch.tensor([len(answers[index]) for index in order]),
        places=places,
    )
