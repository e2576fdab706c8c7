"""afterbase: what comes after the base model, with the lineage of every sample.

    import afterbase as ab
    trained = ab.sft("tiny-v3", "rows.jsonl", out="tuned")

Importing it is cheap: what trains is imported when a name is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afterbase.cli.start_job import Trained, sft
    from afterbase.core.sample import Verdict

__version__ = "0.1.0"
__all__ = ["Trained", "Verdict", "sft"]

_HOME = {"Trained": "cli.start_job", "Verdict": "core.sample", "sft": "cli.start_job"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
