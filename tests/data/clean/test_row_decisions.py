import numpy as np
import pyarrow as pa

from afterbase.core.sample import SAMPLE_SCHEMA
from afterbase.data.clean.check_rows import RowChecks, check_rows
from afterbase.data.clean.decontaminate import Contamination
from afterbase.data.clean.dedup import Deduplicator
from afterbase.data.clean.row_decisions import Decisions
from afterbase.data.mixture import Domain, Shares

COLUMNS = pa.schema([SAMPLE_SCHEMA.field(name) for name in ("id", "domain", "dropped")])
EARLIER = {"stage": "curate", "rule": "wrong", "score": None}


def decided(rows: list[tuple[str, str, bool]], batch: int = 100) -> Decisions:
    """Of (domain, answer, whether it was dropped before)."""
    decisions, deduplicator = Decisions(), Deduplicator(0.8)
    for start in range(0, len(rows), batch):
        part = rows[start : start + batch]
        listed = [
            {"id": f"{start + i}", "domain": domain, "dropped": EARLIER if out else None}
            for i, (domain, _, out) in enumerate(part)
        ]
        turns = [[("user", "Q"), ("assistant", answer)] for _, answer, _ in part]
        checked = check_rows(turns, np.array([out for *_, out in part]), RowChecks(), Contamination([], 0.5))
        decisions.add(pa.Table.from_pylist(listed, COLUMNS), checked, deduplicator)
    return decisions


ROWS = [("a", "x", False), ("a", "x", False), ("b", "y", True), ("b", "y", False), ("b", "", False), ("a", "z", False)]


def test_rules_scores_and_originals_are_kept_by_row():
    for batch in (1, 4, 100):
        decisions = decided(ROWS, batch)
        names = {code: rule for rule, code in decisions.rules.items()}
        assert [names[code] for code in decisions.codes.values.tolist()] == [
            ("", ""),
            ("dedup", "exact duplicate"),
            ("", "out before"),
            ("", ""),
            ("filter", "format: empty turn"),
            ("", ""),
        ]
        assert decisions.of.values.tolist() == [-1, 0, -1, -1, -1, -1]
        assert decisions.staying().tolist() == [True, False, False, True, False, True]
        assert decisions.scores.values[1] == 1
        assert np.isnan(decisions.scores.values[0])


def test_the_mixture_is_of_what_stays():
    decisions = decided(ROWS)
    drawn, times = decisions.mixed(Shares(domains={"a": Domain(most=1), "b": Domain(epochs=2)}), seed=0)
    assert [(d.domain, d.there, d.used) for d in drawn] == [("a", 2, 1), ("b", 1, 2)]
    assert times[3] == 2
    assert sorted(times[[0, 5]].tolist()) == [0, 1]
    assert decisions.staying().sum() == 2
    gone = int(np.flatnonzero(times[[0, 5]] == 0)[0]) * 5
    assert decisions.scores.values[gone] == 1


def test_what_repeats_in_meaning_is_dropped_afterwards():
    decisions = decided(ROWS)
    decisions.repeat([5], [0], [0.97], "same in meaning")
    decisions.repeat([], [], [], "same in meaning")
    assert decisions.staying().tolist() == [True, False, False, True, False, False]
    assert (decisions.of.values[5], decisions.scores.values[5]) == (0, 0.97)
