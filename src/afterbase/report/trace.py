"""Where a row came from: from any answer or training sample back to its problem, its teacher and the base model."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.tree import Tree

from afterbase.core.errors import UserError
from afterbase.core.sample import Sample, read_problems, read_samples
from afterbase.core.store import Artifact, Store
from afterbase.eval.capability import read_answers

_SHOWN = 3  # samples named for each source


def trace(identifier: str, *, store: Store, runs: Path) -> Tree:
    """The lineage of an answer or sample id as a tree; UserError where no run holds the id."""
    for artifact in _artifacts(store, runs):
        if artifact.manifest["stage"] == "evaluate":
            for row in read_answers(artifact):
                if row["id"] == identifier:
                    return _answer_tree(row, artifact, store)
        elif (artifact.payload / "samples.parquet").is_file():
            for sample in read_samples(artifact.payload / "samples.parquet"):
                if sample.id == identifier:
                    return _sample_tree(sample, artifact, store)
    raise UserError(
        "`trace` takes the id of an evaluated answer or of a training sample",
        got=f"`{identifier}`, which no run below {runs} holds",
        remedy="take an id from `answers.parquet` or `samples.parquet` in the store; `afterbase show RUN` names some",
    )


def _artifacts(store: Store, runs: Path) -> Iterator[Artifact]:
    seen: set[str] = set()
    for path in sorted(runs.glob("*/run.json")):
        for stage in reversed(json.loads(path.read_text())["stages"]):
            artifact = store.find(stage["key"], stage["name"])
            if artifact is not None and artifact.key not in seen:
                seen.add(artifact.key)
                yield artifact


def _answer_tree(row: dict[str, Any], artifact: Artifact, store: Store) -> Tree:
    prompt = " with the system prompt" if row["system_prompt"] else ""
    tree = Tree(f"answer {row['id']}: {row['checkpoint']}, {row['decoding']}{prompt}")
    tree.add(f"text: {row['text']!r}")
    tree.add(f"verdict: {row['status']} ({row['reason']}), {row['tokens']} tokens")
    tree.add(f"problem {row['problem_id']} ({row['domain']}, held out): {row['prompt']!r}")
    _stage_tree(tree, _input(artifact, "model", store), store)
    return tree


def _sample_tree(sample: Sample, artifact: Artifact, store: Store) -> Tree:
    tree = Tree(f"sample {sample.id}: {sample.domain}, {sample.kind}")
    for message in sample.messages:
        tree.add(f"{message['role']}: {message['content']!r}")
    for verdict in sample.verdicts:
        tree.add(f"verdict of {verdict.verifier}: {verdict.status} ({verdict.reason})")
    if sample.dropped is not None:
        tree.add(f"dropped in {sample.dropped.stage}: {sample.dropped.rule}")
    if sample.problem_id is not None:
        tree.add(f"problem {sample.problem_id} (training split)")
    if sample.parents:
        tree.add(f"derived from {', '.join(sample.parents)}")
    tree.add(f"producer: {json.dumps(sample.producer)}")
    _stage_tree(tree, artifact, store)
    return tree


def _stage_tree(tree: Tree, artifact: Artifact, store: Store) -> None:
    """The artifact, what it holds, and below it everything that it was made from."""
    node = tree.add(f"[bold]{artifact.name}[/bold] ({artifact.manifest['stage']}) {artifact.key[:16]}")
    if (artifact.payload / "samples.parquet").is_file():
        _add_samples(node, read_samples(artifact.payload / "samples.parquet"))
    elif (artifact.payload / "train.parquet").is_file():
        node.add(f"{len(read_problems(artifact.payload / 'train.parquet'))} training problems")
    for name in artifact.manifest["inputs"]:
        _stage_tree(node, _input(artifact, name, store), store)


def _add_samples(node: Tree, samples: list[Sample]) -> None:
    kept = [s for s in samples if s.dropped is None]
    sources = Counter((s.domain, s.kind, s.producer["name"]) for s in kept)
    for (domain, kind, producer), count in sources.items():
        own = [s for s in kept if (s.domain, s.kind, s.producer["name"]) == (domain, kind, producer)]
        some = ", ".join(f"{s.id} (problem {s.problem_id})" for s in own[:_SHOWN])
        node.add(f"{count} {domain} samples, {kind}, by {producer}: {some}, ...")


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
