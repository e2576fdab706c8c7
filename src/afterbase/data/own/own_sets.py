"""A user's own rows as the sets that stages learn from: conversations, preference pairs, judged answers, prompts.

Each is an artifact under a key of what the files hold, never of where they lie. Beside the set are `dropped.jsonl`,
with every row that was left out and why, and `data.json`, with the form, the counts and the digests of the files.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.config import what
from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Sample, write_problems, write_samples
from afterbase.core.store import Artifact, Store, Workspace
from afterbase.data.formats.conversations import Conversation
from afterbase.data.formats.json_values import as_json
from afterbase.data.own.own_rows import Dropped, Kept, OwnRows, Reading, digests, read_own
from afterbase.data.own.row_forms import LICENCES, Form
from afterbase.data.own.row_turns import (
    Labelled,
    Preference,
    Turn,
    answered,
    labelled,
    plain_text,
    preference,
    prompt_alone,
)
from afterbase.data.problems.prompt_hash import prompt_hash
from afterbase.data.problems.test_share import for_tests

VERSION = 3

SAMPLE_FORMS: tuple[Form, ...] = ("chat", "sharegpt", "alpaca", "prompt_completion", "text")
PROMPT_FORMS: tuple[Form, ...] = (
    "prompts", "prompt_completion", "alpaca", "chat", "sharegpt", "preferences", "labelled",
)  # fmt: skip
PAIR_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("prompt", "messages", "chosen", "rejected")]
    + [("margin", pa.float64()), ("source", pa.string()), ("row", pa.string())]
)
ANSWER_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("prompt", "messages", "response")] + [("label", pa.bool_()), ("row", pa.string())]
)


def make_samples(store: Store, name: str, rows: OwnRows, *, seed: int) -> Artifact:
    """samples.parquet of conversations and texts, for supervised fine-tuning, as domain `name` and kind `own`.

    >>> turns = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]
    >>> own = make_samples(store, "sums", OwnRows.of([{"messages": turns}], store=store), seed=0)
    >>> (own.payload / "samples.parquet").exists()
    True
    """

    def make(work: Workspace) -> Reading[Any]:
        reading = read_samples_of(rows, seed=seed)
        write_samples(work.payload / "samples.parquet", [sample(name, kept) for kept in reading.kept])
        return reading

    return _produce(store, name, "own_samples", rows, seed, make)


def make_pairs(store: Store, name: str, rows: OwnRows, *, seed: int) -> Artifact:
    """pairs.parquet of preferences: prompt, messages, chosen, rejected, margin, source, row.

    `prompt` is the text of a single user's turn, or else its turns as canonical JSON, which `messages` has, too.
    """

    def make(work: Workspace) -> Reading[Any]:
        reading = read_pairs_of(rows, seed=seed)
        pairs = [
            {**_prompt(kept.said.prompt), "chosen": kept.said.chosen, "rejected": kept.said.rejected}
            | {"margin": kept.said.margin, "source": "own", "row": kept.place}
            for kept in reading.kept
        ]
        pq.write_table(pa.Table.from_pylist(pairs, PAIR_SCHEMA), work.payload / "pairs.parquet")
        return reading

    return _produce(store, name, "own_pairs", rows, seed, make)


def make_labelled(store: Store, name: str, rows: OwnRows, *, seed: int) -> Artifact:
    """answers.parquet of judged answers: prompt and messages as in `make_pairs`, response, label, row."""

    def make(work: Workspace) -> Reading[Any]:
        reading = read_labelled_of(rows, seed=seed)
        answers = [
            {**_prompt(kept.said.prompt), "response": kept.said.response, "label": kept.said.label, "row": kept.place}
            for kept in reading.kept
        ]
        pq.write_table(pa.Table.from_pylist(answers, ANSWER_SCHEMA), work.payload / "answers.parquet")
        return reading

    return _produce(store, name, "own_answers", rows, seed, make)


def make_prompts(store: Store, name: str, rows: OwnRows, *, seed: int) -> Artifact:
    """train.parquet and test.parquet of prompts that no rule judges, each once, as problems of the domain `name`.

    `spec["row"]` is the user's own row, and `spec["messages"]` the turns of a prompt that is more than a user's one.
    Which of them are kept for tests is decided by the prompt's hash, as for sources.
    """

    def make(work: Workspace) -> Reading[Any]:
        reading = read_prompts_of(rows, seed=seed)
        splits: tuple[list[Problem], list[Problem]] = ([], [])
        seen: set[str] = set()
        for kept in reading.kept:
            found = problem(name, kept)
            digest = prompt_hash(found.prompt)
            if digest in seen:
                reading.dropped.append(Dropped(kept.place, "duplicate"))
                continue
            seen.add(digest)
            splits[for_tests(digest)].append(found)
        if not splits[0]:
            raise UserError(
                "prompts need at least one to train on",
                got=f"{len(splits[1])} prompts, all of the fifth that is kept for tests",
                remedy="add rows",
            )
        for split, problems in zip(("train", "test"), splits, strict=True):
            write_problems(work.payload / f"{split}.parquet", problems)
        return reading

    return _produce(store, name, "own_prompts", rows, seed, make)


def read_samples_of(rows: OwnRows, *, seed: int) -> Reading[Conversation | str]:
    """Conversations, or texts, of rows that hold answers."""

    def parse(row: Mapping[str, Any], form: Form, _: bool) -> Conversation | str:
        return plain_text(row) if form == "text" else answered(row, form, rows.trained)

    return read_own(rows, SAMPLE_FORMS, parse, seed=seed)


def read_pairs_of(rows: OwnRows, *, seed: int) -> Reading[Preference]:
    """Pairs of answers of rows of preferences."""
    return read_own(rows, ["preferences"], lambda row, *_: preference(row), seed=seed)


def read_labelled_of(rows: OwnRows, *, seed: int) -> Reading[Labelled]:
    """Judged answers of labelled rows."""
    return read_own(rows, ["labelled"], lambda row, _, texts: labelled(row, texts=texts), seed=seed)


def read_prompts_of(rows: OwnRows, *, seed: int) -> Reading[list[Turn]]:
    """The turns of the prompts of rows of any form but texts."""
    return read_own(rows, PROMPT_FORMS, lambda row, form, _: prompt_alone(row, form), seed=seed)


def sample(name: str, kept: Kept[Conversation | str]) -> Sample:
    """A conversation as a sample; a text as a single turn of the role `text`."""
    said = kept.said
    turns = [{"role": "text", "content": said}] if isinstance(said, str) else said.messages
    extra = {} if isinstance(said, str) else said.extra()
    beside = {key: as_json(kept.row[key]) for key in (*LICENCES, "source") if key in kept.row}
    identifier = {"source_id": as_json(kept.row["id"])} if "id" in kept.row else {}
    return Sample(
        messages=turns,
        domain=name,
        kind="own",
        problem_id=None,
        producer={"name": "own"},
        extra={**beside, **identifier, **extra, "row": kept.place},
    )


def problem(name: str, kept: Kept[list[Turn]]) -> Problem:
    """A prompt as a problem that no rule judges."""
    text = _prompt(kept.said)
    turns = {"messages": kept.said} if text["messages"] is not None else {}
    spec = {**turns, "row": as_json(kept.row)}
    return Problem(domain=name, prompt=text["prompt"], gold=None, verifier="none", spec=spec)


def _prompt(turns: Sequence[Turn]) -> dict[str, Any]:
    """What identifies a prompt, and its turns as JSON where they are more than one user's."""
    if [turn["role"] for turn in turns] == ["user"]:
        return {"prompt": turns[0]["content"], "messages": None}
    text = json.dumps(list(turns), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return {"prompt": text, "messages": text}


def _produce(
    store: Store, name: str, stage: str, rows: OwnRows, seed: int, make: Callable[[Workspace], Reading[Any]]
) -> Artifact:
    known = digests(rows)

    def make_all(work: Workspace) -> None:
        reading = make(work)
        about = {
            "form": reading.form,
            "rows": reading.rows,
            "dropped": len(reading.dropped),
            "digests": known,
            "unused": list(reading.unused),
        }
        work.log(1, 1, rows=reading.rows, dropped=len(reading.dropped))
        lines = [json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in reading.dropped]
        (work.payload / "dropped.jsonl").write_text("".join(lines), encoding="utf-8")
        (work.payload / "data.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n")

    settings = {**what(rows), "domain": name, "seed": seed, "files": known}
    return store.produce(name, stage, VERSION, what=settings, inputs={}, make=make_all)
