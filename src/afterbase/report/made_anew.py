"""What a change of settings makes anew, and why: a finished artifact beside the one that is to be made."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from afterbase.core.store import StageRecord, Store

_SHOWN = 60  # characters of a value
_BASE = "base"  # the stage that copies a model: another one is no change of settings
_LENGTHS = ("steps", "epochs", "decay_steps")


def made_anew(store: Store, records: Sequence[StageRecord]) -> list[str]:
    """A sentence for each stage that is to be made although a finished one differs in its settings alone.

    It says from where a longer run of a constant schedule goes on, or why it does not.
    """
    manifests = store.manifests()
    to_make = [record for record in records if not record.cached and record.stage != _BASE]
    sentences = [differs_from(manifests, record) for record in to_make]
    return list(dict.fromkeys(sentence for sentence in sentences if sentence is not None))


def differs_from(manifests: Sequence[Mapping[str, Any]], record: StageRecord) -> str | None:
    """How a stage that is to be made differs from the finished one that is most like it; None without such a one.

    Alike are stages of the same name and kind on the same inputs; of several the one with the fewest settings that
    differ, and of those the first. `manifests` are those of finished artifacts.
    """
    if record.shorter is not None:
        return f"{record.name}: {record.shorter.change}: {record.shorter.told}."
    inputs = sorted(made_from.digest for made_from in record.inputs)
    alike = [
        manifest
        for manifest in manifests
        if (manifest["name"], manifest["stage"]) == (record.name, record.stage)
        and sorted(made_from["digest"] for made_from in manifest["inputs"].values()) == inputs
        and manifest["key"] != record.artifact.key
    ]
    if not alike:
        return None
    now = dict(_flat(json.loads(json.dumps(record.what))))
    nearest, changed = min(
        ((manifest, _changes(dict(_flat(manifest["what"])), now)) for manifest in alike),
        key=lambda pair: (pair[0]["version"] != record.version, len(pair[1])),
    )
    if nearest["version"] != record.version:
        return f"{record.name}: made anew, as the program of this stage has changed since."
    told = ", ".join(f"{name} {then} -> {value}" for name, (then, value) in changed.items())
    return f"{record.name}: {told}: made anew, as {_reason(changed, now)}."


def _changes(then: dict[str, Any], now: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The settings that differ, as they were and as they are; `none` for one that is not there."""
    names = [*now, *(name for name in then if name not in now)]
    return {name: (_shown(then.get(name)), _shown(now.get(name))) for name in names if then.get(name) != now.get(name)}


def _reason(changed: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    schedule = next((value for name, value in now.items() if name.endswith("optimisation.schedule")), "cosine")
    trains = any(name.endswith("optimisation.learning_rate") for name in now)
    if trains and any(name.split(".")[-1] in _LENGTHS for name in changed) and schedule != "constant":
        return f"the {schedule} schedule spans all steps"
    return "these settings change the result"


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting by its dotted name."""
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text[:12]  # a digest
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
