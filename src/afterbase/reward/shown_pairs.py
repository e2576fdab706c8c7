"""Preference pairs as a reward model sees them wherever it learns from them, is examined on them, or judges them.

Rewards are given to answers alone (`reward/route.py`), so what a reward model learns from is the answer alone too. A
policy that learns from the same pairs, by DPO or KTO, has to write the thought as well: it reads them whole.
"""

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from afterbase.core.reasoning import answer_of
from afterbase.core.store import Artifact


def answers_alone(row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A pair without its thoughts; None where one never ends: no model is asked about what has no answer."""
    chosen, rejected = answer_of(row["chosen"]), answer_of(row["rejected"])
    return None if chosen is None or rejected is None else {**row, "chosen": chosen, "rejected": rejected}


def answered_pairs(preferences: Artifact) -> tuple[list[dict[str, Any]], int]:
    """Rows of pairs.parquet with their answers alone, in its order; and how many lack one, and are left out."""
    rows = pq.read_table(preferences.payload / "pairs.parquet").to_pylist()
    answered = [alone for row in rows if (alone := answers_alone(row)) is not None]
    return answered, len(rows) - len(answered)
