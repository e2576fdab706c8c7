"""The records that flow through the recipe: a problem, a verdict, a sample.

Ids are derived from content, so the same text made twice is the same sample.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from afterbase.core.errors import UserError

TEMPLATE_KEYS = ("tool_calls", "tool_call_id", "name")
"""What a turn may hold beside role and content that a chat template takes."""


class Status(StrEnum):
    """What a verifier says. `failed` is the verifier's own fault and is never a zero."""

    OK = "ok"
    WRONG = "wrong"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One verifier's word on one answer: value, reason a short fixed word (`match`, `timeout`, ...).

    The value is in [0, 1], but for a user's own functions, whose value is any finite number. `detail` says more of a
    failure, for a message; it is kept nowhere.
    """

    verifier: str
    status: Status
    value: float
    reason: str
    detail: str = field(default="", compare=False)

    def as_dict(self) -> dict[str, Any]:
        return {"verifier": self.verifier, "status": str(self.status), "value": self.value, "reason": self.reason}


def content_id(*parts: Any) -> str:
    """16 hexadecimal digits of the SHA-256 of the parts' canonical JSON."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sample_id(
    domain: str, kind: str, messages: Sequence[Mapping[str, str]], producer: Mapping[str, Any], extra: Mapping[str, Any]
) -> str:
    """The id of a sample: of who says what, and of the calls of tools and their definitions where there are some."""
    calls = {place: turn["tool_calls"] for place, turn in extra.get("turns", {}).items() if "tool_calls" in turn}
    called = [calls, extra.get("tools")] if calls or extra.get("tools") else []
    return content_id(domain, kind, list(messages), producer, *called)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One prompt and what is needed to judge its answers.

    `gold` is a whole response that the verifier must accept; None where no rule can decide. `verifier` names a
    function of `afterbase.verify.check`; `spec` holds what that verifier reads (tests, the puzzle's entry, a
    rubric), as plain JSON.
    """

    domain: str
    prompt: str
    gold: str | None
    verifier: str
    spec: dict[str, Any]

    @property
    def id(self) -> str:
        return content_id(self.domain, self.prompt)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turns to answer: `spec["messages"]` of a prompt that is more than one user's turn, else that turn."""
        return self.spec.get("messages") or [{"role": "user", "content": self.prompt}]


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Why a row left the data: the stage, its rule, and the score that the rule saw (None if it has none)."""

    stage: str
    rule: str
    score: float | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One row of training data, kept or dropped.

    `kind`: original, reflective, curated or open. `producer`: who wrote it (name, checkpoint key, sampling
    settings). `parents`: ids of samples it was derived from.
    """

    messages: Sequence[dict[str, str]]
    domain: str
    kind: str
    problem_id: str | None
    producer: dict[str, Any]
    parents: Sequence[str] = ()
    verdicts: Sequence[Verdict] = ()
    dropped: Drop | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return sample_id(self.domain, self.kind, self.messages, self.producer, self.extra)

    @property
    def tools(self) -> list[dict[str, Any]] | None:
        """The definitions of the tools that the conversation may call: `extra.tools`; None without them."""
        return self.extra.get("tools")

    @property
    def text(self) -> str | None:
        """The text of a sample that is no conversation, but one turn of the role `text`; None for a conversation."""
        alone = len(self.messages) == 1 and self.messages[0]["role"] == "text"
        return self.messages[0]["content"] if alone else None

    def turns(self) -> list[dict[str, Any]]:
        """The messages as a chat template takes them: with the calls of tools that `extra.turns` holds beside them."""
        others = self.extra.get("turns", {})
        return [
            {**turn, **{key: value for key, value in others.get(str(place), {}).items() if key in TEMPLATE_KEYS}}
            for place, turn in enumerate(self.messages)
        ]

    @property
    def response(self) -> str:
        assert self.messages[-1]["role"] == "assistant"
        return self.messages[-1]["content"]

    @property
    def untrained(self) -> list[int]:
        """The assistant's turns that are context alone, counted from 0 among all turns: `extra.untrained`."""
        turns = self.extra.get("untrained", [])
        if not isinstance(turns, list) or not all(type(turn) is int for turn in turns):
            raise UserError(
                "`extra.untrained` is a list of turns, counted from 0",
                got=f"{turns!r} in sample {self.id}",
                remedy="mark turns by `train` or `weight` where the rows are imported",
            )
        return turns

    def drop(self, stage: str, rule: str, score: float | None = None) -> "Sample":
        """The same sample, marked as dropped; an earlier decision stands."""
        if self.dropped is not None:
            return self
        return dataclasses.replace(self, dropped=Drop(stage=stage, rule=rule, score=score))


def conversation(prompt: str, response: str, *, system: str | None = None) -> list[dict[str, str]]:
    """Messages of one exchange, with the system prompt first if there is one."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return [*head, {"role": "user", "content": prompt}, {"role": "assistant", "content": response}]


_MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
_VERDICT = pa.struct(
    [("verifier", pa.string()), ("status", pa.string()), ("value", pa.float64()), ("reason", pa.string())]
)
_DROP = pa.struct([("stage", pa.string()), ("rule", pa.string()), ("score", pa.float64())])
SAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("messages", pa.list_(_MESSAGE)),
        ("domain", pa.string()),
        ("kind", pa.string()),
        ("problem_id", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("producer", pa.string()),
        ("verdicts", pa.list_(_VERDICT)),
        ("dropped", _DROP),
        ("extra", pa.string()),
    ]
)
PROBLEM_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "domain", "prompt", "gold", "verifier", "spec")])


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def write_samples(path: Path, samples: Iterable[Sample]) -> None:
    """One Parquet row a sample, in the order given."""
    rows = [
        {
            "id": s.id,
            "messages": list(s.messages),
            "domain": s.domain,
            "kind": s.kind,
            "problem_id": s.problem_id,
            "parents": list(s.parents),
            "producer": _canonical(s.producer),
            "verdicts": [v.as_dict() for v in s.verdicts],
            "dropped": dataclasses.asdict(s.dropped) if s.dropped else None,
            "extra": _canonical(s.extra),
        }
        for s in samples
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=SAMPLE_SCHEMA), path)


def read_samples(path: Path) -> list[Sample]:
    """All rows of a samples file; dropped ones included."""
    return [
        Sample(
            messages=row["messages"],
            domain=row["domain"],
            kind=row["kind"],
            problem_id=row["problem_id"],
            parents=row["parents"],
            producer=json.loads(row["producer"]),
            verdicts=[Verdict(**{**v, "status": Status(v["status"])}) for v in row["verdicts"]],
            dropped=Drop(**row["dropped"]) if row["dropped"] else None,
            extra=json.loads(row["extra"]),
        )
        for row in pq.read_table(path, schema=SAMPLE_SCHEMA).to_pylist()
    ]


def write_problems(path: Path, problems: Iterable[Problem]) -> None:
    """One Parquet row a problem, in the order given."""
    rows = [{**dataclasses.asdict(p), "id": p.id, "spec": _canonical(p.spec)} for p in problems]
    pq.write_table(pa.Table.from_pylist(rows, schema=PROBLEM_SCHEMA), path)


def read_problems(path: Path) -> list[Problem]:
    """All rows of a problems file."""
    return [
        Problem(
            domain=row["domain"],
            prompt=row["prompt"],
            gold=row["gold"],
            verifier=row["verifier"],
            spec=json.loads(row["spec"]),
        )
        for row in pq.read_table(path, schema=PROBLEM_SCHEMA).to_pylist()
    ]
