"""Where a row came from: from any answer or training sample back to its problem, its teacher and the base model."""

import json
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.tree import Tree

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, read_problems, read_samples
from afterbase.core.sanitize import cell
from afterbase.core.store import Artifact, Store
from afterbase.eval.held_out import read_answers
from afterbase.eval.score_answers import STAGE as SCORED

_SHOWN = 3  # samples named for each source
_SAMPLES, _PROBLEMS = "samples.parquet", "train.parquet"


def trace(identifier: str, *, store: Store, runs: Path) -> Tree:
    """The lineage of an answer or sample id as a tree; UserError where no run holds the id."""
    held: list[tuple[Artifact, Sample]] = []  # a sample is first in what made it, then in every set that took it in
    example, answered = None, None
    for artifact in _artifacts(store, runs):
        if artifact.manifest["stage"] in ("evaluate", SCORED):
            for row in read_answers(artifact):
                example = row["id"]
                if row["id"] == identifier:
                    answered = row, artifact  # the score of an answer comes after the answer
        elif (artifact.payload / _SAMPLES).is_file():
            held += [(artifact, s) for s in read_samples(artifact.payload / _SAMPLES) if s.id == identifier]
    if answered is not None:
        return _answer_tree(*answered, store, runs)
    if held:
        return _sample_tree(held, store, runs)
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


def _answer_tree(row: dict[str, Any], artifact: Artifact, store: Store, runs: Path) -> Tree:
    prompt = " with the system prompt" if row["system_prompt"] else ""
    tree = Tree(cell(f"answer {row['id']}: {row['checkpoint']}, {row['decoding']}{prompt}"))
    _add(tree, f"text: {row['text']!r}")
    score = f", score {row['value']:.3f}" if artifact.manifest["stage"] == SCORED else ""
    _add(tree, f"verdict: {row['status']} ({row['reason']}){score}, {row['tokens']} tokens")
    _add(tree, f"problem {row['problem_id']} ({row['domain']}, held out): {row['prompt']!r}")
    _add_row(tree, row["problem_id"], artifact, store, runs)
    _add_stage(tree, artifact, store, set())
    return tree


def _sample_tree(held: list[tuple[Artifact, Sample]], store: Store, runs: Path) -> Tree:
    maker, sample = held[0]
    tree = Tree(cell(f"sample {sample.id}: {sample.domain}, {sample.kind}"))
    for message in sample.messages:
        _add(tree, f"{message['role']}: {message['content']!r}")
    for verdict in sample.verdicts:
        _add(tree, f"verdict of {verdict.verifier}: {verdict.status} ({verdict.reason})")
    if sample.problem_id is not None:
        _add(tree, f"problem {sample.problem_id} (training split)")
        _add_row(tree, sample.problem_id, maker, store, runs)
    elif "row" in sample.extra:
        _add(tree, f"row: {sample.extra['row']}")
    if sample.parents:
        _add(tree, f"derived from {', '.join(sample.parents)}")
    _add(tree, f"producer: {json.dumps(sample.producer)}")
    for artifact, copy in held:
        fate = "kept" if copy.dropped is None else f"dropped by {copy.dropped.stage}: {copy.dropped.rule}"
        _add(tree, f"in {artifact.name}: {fate}")
    _add_stage(tree, maker, store, set())
    return tree


def _add_row(tree: Tree, problem_id: str, artifact: Artifact, store: Store, runs: Path) -> None:
    """The row of the user's own table that a problem comes from, with its columns; nothing for other problems."""
    problem = _problem(problem_id, artifact, store, set())
    if problem is None or "row" not in problem.spec:
        return
    place = problem.spec.get("source", {}).get("row")
    table = _table(problem.domain, artifact, runs)
    where = " of ".join(part for part in (place, table) if part)
    node = tree.add(cell(f"from {where or 'a row of a table'}"))
    for column, value in problem.spec["row"].items():
        _add(node, f"{column}: {value!r}")


def _problem(problem_id: str, artifact: Artifact, store: Store, seen: set[str]) -> Problem | None:
    """The problem of that id among those that an artifact was made from."""
    if artifact.key in seen:
        return None
    seen.add(artifact.key)
    for split in (_PROBLEMS, "test.parquet"):
        if (artifact.payload / split).is_file():
            found = next((p for p in read_problems(artifact.payload / split) if p.id == problem_id), None)
            if found is not None:
                return found
    inputs = (_input(artifact, name, store) for name in artifact.manifest["inputs"])
    return next((found for made in inputs if (found := _problem(problem_id, made, store, seen)) is not None), None)


def _table(domain: str, artifact: Artifact, runs: Path) -> str | None:
    """The path of a domain's table, as the recipe of a run that holds the artifact says it."""
    for path in sorted(runs.glob("*/run.json")):
        run = json.loads(path.read_text())
        if any(stage["key"] == artifact.key for stage in run["stages"]):
            recipe = tomllib.loads(run["recipe_toml"])
            tables = {**recipe.get("sources", {}), **recipe.get("open", {})}
            if domain in tables:
                return tables[domain].get("path")
    return None


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
