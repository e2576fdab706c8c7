"""Paired differences of two results."""

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.benchmarks.compare import compare
from afterbase.eval.benchmarks.results import Evaluated, Result, Row, write

RESULT = Result(metric="accuracy", value=0, low=0, high=0, n=1, mean_tokens=0, truncated_share=0)


def _write(folder, name, values, *, digest="d", **settings):
    folder.mkdir(exist_ok=True)
    rows = [
        Row(
            id=str(i), digest=digest, run=run, value=v, answer=None, reason="", failed=False, tokens=1,
            truncated=False, too_long=False, text="",
        )
        for i, runs in enumerate(values)
        for run, v in enumerate(runs)
    ]  # fmt: skip
    settings = {"limit": None, "seed": 0, **settings}
    write(
        folder,
        name,
        Evaluated(task=name, model="m", digest=None, licence="", settings=settings, result=RESULT, more={}, rows=rows),
    )


def test_differences_are_paired_and_corrected(tmp_path):
    for name in ("x", "y"):
        _write(tmp_path / "a", name, [[0.0]] * 40)
        _write(tmp_path / "b", name, [[1.0]] * 20 + [[0.0, 0.0]] * 20, seed=1)
    rows = compare(tmp_path / "a", tmp_path / "b")
    row = rows["x"]
    assert (row["a"], row["b"], row["difference"], row["n"]) == (0, 50, 50, 40)
    assert 0 < row["low"] < 50 < row["high"]
    assert row["p"] < 0.001
    assert row["p_holm"] == pytest.approx(2 * row["p"])
    assert row["settings_differ"] == ["seed"]
    # deviation 0.5064 between questions: (2.8016 * 0.5064 / 0.01)^2
    assert row["items_for_one_point"] == pytest.approx(20126, abs=30)
    assert row["seen"] == pytest.approx(100 * 2.8016 * 0.5064 / 40**0.5, rel=1e-3)


def test_equal_results_differ_by_nothing(tmp_path):
    for side in ("a", "b"):
        _write(tmp_path / side, "x", [[1.0], [0.0]])
    row = compare(tmp_path / "a", tmp_path / "b")["x"]
    assert (row["difference"], row["p"], row["seen"], row["items_for_one_point"]) == (0, 1, None, None)


def test_what_only_one_has_is_left_out_and_counted(tmp_path):
    _write(tmp_path / "a", "x", [[1.0], [0.0]], limit=2)
    _write(tmp_path / "b", "x", [[1.0], [0.0], [0.0]])
    row = compare(tmp_path / "a", tmp_path / "b")["x"]
    assert (row["n"], row["left_out"], row["settings_differ"]) == (2, 1, [])


@pytest.mark.parametrize(("name", "digest", "got"), [("y", "d", "x in"), ("x", "other", "question `0` put in two")])
def test_other_questions_are_refused(tmp_path, name, digest, got):
    _write(tmp_path / "a", "x", [[1.0]])
    _write(tmp_path / "b", name, [[1.0]], digest=digest)
    with pytest.raises(UserError) as raised:
        compare(tmp_path / "a", tmp_path / "b")
    assert got in raised.value.got
