"""A scalar reward model: a language model's trunk and one linear head, read at the stop token."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from afterbase.core import distributed as ranks
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict, conversation
from afterbase.core.tokens import tokenize
from afterbase.model.attention import Segments
from afterbase.model.families import rope_turn
from afterbase.model.load import LanguageModel, load, save
from afterbase.model.parallel import whole_state
from afterbase.reward.config import HEAD, is_sequence_classifier, refuse_no_reward_model
from afterbase.reward.sequence_classifier import load_sequence_classifier, save_sequence_classifier, sequence_classifier

VERIFIER, NOT_RENDERED = "reward_model", "not_rendered"


@dataclass
class RewardModel:
    """`lm` is the trunk, `head` maps its last hidden state to a score."""

    lm: LanguageModel
    head: nn.Linear

    def scores(self, conversations: Sequence[Sequence[int]]) -> Tensor:
        """Scores (n,) of tokenised conversations, each read at its last token, packed in one row."""
        device = self.lm.device
        segments = Segments.of([len(ids) for ids in conversations], device)
        ids = torch.tensor([token for conversation in conversations for token in conversation], device=device)
        last = torch.tensor(segments.lengths, device=device).cumsum(0) - 1
        states = self.lm.hidden(ids, segments).index_select(0, last)
        with torch.autocast(device.type, enabled=False):  # scores in bfloat16 would have 256 values between 1 and 2
            return self.head(states.to(self.head.weight.dtype))[:, 0]

    def modules(self) -> nn.ModuleDict:
        """Trunk and head of scores under one roof; the language model's own head gets no gradient."""
        return nn.ModuleDict({"trunk": self.lm.model, "head": self.head})

    @torch.inference_mode()
    def score(self, messages: Sequence[Sequence[dict[str, str]]], *, rows: int = 32) -> list[float]:
        """Scores of conversations given as messages, `rows` at a time."""
        return self._scores_of([tokenize(self.lm.tokenizer, m).ids for m in messages], rows=rows)

    def _scores_of(self, ids: Sequence[Sequence[int]], *, rows: int = 32) -> list[float]:
        turn = rope_turn(self.lm.model.config)  # where positions change: those of either side share no row
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]) > turn)
        short = sum(len(one) <= turn for one in ids)
        scores: dict[int, float] = {}
        for start, end in ((0, short), (short, len(ids))):
            for i in range(start, end, rows):
                row = order[i : min(i + rows, end)]
                scores |= zip(row, self.scores([ids[j] for j in row]).tolist(), strict=True)
        return [scores[i] for i in range(len(ids))]

    @torch.inference_mode()
    def judge(self, answers: Sequence[tuple[Problem, str]]) -> list[tuple[float | None, Verdict | None]]:
        """The reward of each answer: the sigmoid of its score, in [0, 1]; there is no verdict.

        None, with a verdict `failed`, for an answer that the chat template does not render as it was written.
        """
        ids = [self._rendered(problem.prompt, response) for problem, response in answers]
        scores = iter(self._scores_of([tokens for tokens in ids if tokens is not None]))
        failed = Verdict(verifier=VERIFIER, status=Status.FAILED, value=0.0, reason=NOT_RENDERED)
        return [(None, failed) if tokens is None else (sigmoid(next(scores)), None) for tokens in ids]

    def _rendered(self, prompt: str, response: str) -> list[int] | None:
        try:
            return tokenize(self.lm.tokenizer, conversation(prompt, response)).ids
        except UserError:  # a model's answer is anything at all: one that a template loses must not end the run
            return None


def sigmoid(score: float) -> float:
    """1 / (1 + exp(-score)) of a score of any size."""
    return 0.5 * (1 + math.tanh(score / 2))  # unlike the plain formula, it never overflows


def new_reward_model(lm: LanguageModel) -> RewardModel:
    """The trunk with a head of zeros: every answer starts with score 0."""
    head = nn.Linear(lm.head.weight.shape[1], 1, bias=False)
    nn.init.zeros_(head.weight)
    return RewardModel(replace(lm, mtp=None), head)


def save_reward_model(rm: RewardModel, folder: Path, *, state: Mapping[str, Tensor] | None = None) -> None:
    """A folder that `AutoModelForSequenceClassification` loads; `state` and ranks as in `load.save`.

    Where transformers has no such class for the family, it is the folder of a language model, and the head beside it.
    """
    state = whole_state(rm.modules()) if state is None else state
    if ranks.rank() != 0:
        return
    classifier = sequence_classifier(rm.lm)
    if classifier is not None:
        save_sequence_classifier(rm.lm, classifier, folder, state)
        return
    save(rm.lm, folder, state=state)
    save_file({"weight": state["head.weight"]}, folder / HEAD)


def load_reward_model(folder: Path) -> RewardModel:
    """What `save_reward_model` wrote, or any sequence classifier with one label; UserError for another model."""
    refuse_no_reward_model(folder)
    if is_sequence_classifier(folder):
        return RewardModel(*load_sequence_classifier(folder))
    rm = new_reward_model(load(folder))
    rm.head.load_state_dict(load_file(folder / HEAD))
    return rm
