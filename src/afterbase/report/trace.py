"""Where a row came from: from any answer or training sample back to its problem, its teacher and the base model."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.tree import Tree

from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, read_problems, read_samples
from afterbase.core.sanitize import cell
from afterbase.core.store import Artifact, Store
from afterbase.eval.held_out import read_answers

_SHOWN = 3  # samples named for each source
_SAMPLES, _PROBLEMS = "samples.parquet", "train.parquet"


def trace(identifier: str, *, store: Store, runs: Path) -> Tree:
    """The lineage of an answer or sample id as a tree; UserError where no run holds the id."""
    held: list[tuple[Artifact, Sample]] = []  # a sample is first in what made it, then in every set that took it in
    example = None
    for artifact in _artifacts(store, runs):
        if artifact.manifest["stage"] == "evaluate":
            for row in read_answers(artifact):
                example = row["id"]
                if row["id"] == identifier:
                    return _answer_tree(row, artifact, store)
        elif (artifact.payload / _SAMPLES).is_file():
            held += [(artifact, s) for s in read_samples(artifact.payload / _SAMPLES) if s.id == identifier]
    if held:
        return _sample_tree(held, store)
    raise UserError(
        "`trace` takes the id of an evaluated answer or of a training sample",
        got=f"`{identifier}`, which no run below {runs} holds",
        remedy=f"take an id from an `answers.parquet` or `samples.parquet` in the store, such as {example}"
        if example
        else "run a recipe first: afterbase run recipes/quickstart.toml",
    )


def _artifacts(store: Store, runs: Path) -> Iterator[Artifact]:
    """Every artifact of every run once, each after what it was made from."""
    seen: set[str] = set()
    for path in sorted(runs.glob("*/run.json")):
        for stage in json.loads(path.read_text())["stages"]:
            artifact = store.find(stage["key"], stage["name"])
            if artifact is not None and artifact.key not in seen:
                seen.add(artifact.key)
                yield artifact


def _answer_tree(row: dict[str, Any], artifact: Artifact, store: Store) -> Tree:
    prompt = " with the system prompt" if row["system_prompt"] else ""
    tree = Tree(cell(f"answer {row['id']}: {row['checkpoint']}, {row['decoding']}{prompt}"))
    _add(tree, f"text: {row['text']!r}")
    _add(tree, f"verdict: {row['status']} ({row['reason']}), {row['tokens']} tokens")
    _add(tree, f"problem {row['problem_id']} ({row['domain']}, held out): {row['prompt']!r}")
    _add_stage(tree, artifact, store, set())
    return tree


def _sample_tree(held: list[tuple[Artifact, Sample]], store: Store) -> Tree:
    maker, sample = held[0]
    tree = Tree(cell(f"sample {sample.id}: {sample.domain}, {sample.kind}"))
    for message in sample.messages:
        _add(tree, f"{message['role']}: {message['content']!r}")
    for verdict in sample.verdicts:
        _add(tree, f"verdict of {verdict.verifier}: {verdict.status} ({verdict.reason})")
    if sample.problem_id is not None:
        _add(tree, f"problem {sample.problem_id} (training split)")
    if sample.parents:
        _add(tree, f"derived from {', '.join(sample.parents)}")
    _add(tree, f"producer: {json.dumps(sample.producer)}")
    for artifact, copy in held:
        fate = "kept" if copy.dropped is None else f"dropped by {copy.dropped.stage}: {copy.dropped.rule}"
        _add(tree, f"in {artifact.name}: {fate}")
    _add_stage(tree, maker, store, set())
    return tree


def _add_stage(tree: Tree, artifact: Artifact, store: Store, shown: set[str]) -> None:
    """The artifact, what it holds, and below it everything that it was made from; each is unfolded once."""
    name = f"{artifact.name} ({artifact.manifest['stage']}) {artifact.key[:16]}"
    if artifact.key in shown:
        _add(tree, f"{name}, see above")
        return
    shown.add(artifact.key)
    node = tree.add(cell(name, style="bold"))
    if (artifact.payload / _SAMPLES).is_file():
        _add_samples(node, read_samples(artifact.payload / _SAMPLES))
    elif (artifact.payload / _PROBLEMS).is_file():
        _add(node, f"{len(read_problems(artifact.payload / _PROBLEMS))} training problems")
    for name in artifact.manifest["inputs"]:
        _add_stage(node, _input(artifact, name, store), store, shown)


def _add_samples(node: Tree, samples: list[Sample]) -> None:
    kept = [s for s in samples if s.dropped is None]
    sources = Counter((s.domain, s.kind, s.producer["name"]) for s in kept)
    for (domain, kind, producer), count in sources.items():
        own = [s for s in kept if (s.domain, s.kind, s.producer["name"]) == (domain, kind, producer)]
        some = [f"{s.id} (problem {s.problem_id})" if s.problem_id else s.id for s in own[:_SHOWN]]
        more = [f"{count - _SHOWN} more"] if count > _SHOWN else []
        _add(node, f"{count} {domain} samples, {kind}, by {producer}: {', '.join(some + more)}")


def _add(tree: Tree, label: str) -> None:
    tree.add(cell(label))  # a string would be read as markup, and `xs[i]` lose its index


def _input(artifact: Artifact, name: str, store: Store) -> Artifact:
    source = artifact.manifest["inputs"][name]
    found = store.find(source["key"], source["name"])
    if found is None:
        raise UserError(
            "lineage needs every artifact that a row came from",
            got=f"`{source['name']}` ({source['key'][:16]}) is not in {store.root}",
            remedy="restore the folder, or run the recipe again: it makes the same artifact under the same key",
        )
    return found
