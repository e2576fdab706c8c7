"""afterbase: what comes after the base model, with the lineage of every sample.

    import afterbase as ab
    trained = ab.sft("tiny-v3", "rows.jsonl", out="tuned")

Importing it is cheap: what trains is imported when a name is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afterbase.cli.start_job import distill, dpo, grpo, kto, reward, sft
    from afterbase.cli.trained import Trained
    from afterbase.core.sample import Verdict

__version__ = "0.1.0"
__all__ = ["Trained", "Verdict", "distill", "dpo", "grpo", "kto", "reward", "sft"]

_ELSEWHERE = {"Trained": "cli.trained", "Verdict": "core.sample"}
_HOME = {name: _ELSEWHERE.get(name, "cli.start_job") for name in __all__}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
