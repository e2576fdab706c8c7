"""The first screen: pooled numbers, gains of stages, answers that changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.intervals import wilson
from afterbase.eval.summarise import Comparison, Evaluation
from afterbase.report.overview import overview, pool, turned_examples
from afterbase.report.summary import Example, Summary


def entry(checkpoint: str, domain: str, right: int, n: int, tokens: float = 40.0) -> Evaluation:
    low, high = wilson(right, n)
    return {
        "checkpoint": checkpoint, "domain": domain, "decoding": "greedy", "system_prompt": False, "n": n, "failed": 0,
        "pass1": right / n, "pass1_low": low, "pass1_high": high, "maj8": None, "mean_tokens": tokens,
        "mean_tokens_right": None, "mean_tokens_wrong": None, "median_tokens": None, "truncated_share": None,
        "format_share": None,
    }  # fmt: skip


def pair(a: str, b: str, low: float, difference: float, high: float, domain: str = "all") -> Comparison:
    return {
        "a": a, "b": b, "domain": domain, "decoding": "greedy", "system_prompt_a": False, "system_prompt_b": False,
        "n": 60, "difference": difference, "low": low, "high": high, "p": 0.5,
    }  # fmt: skip


def test_a_realistic_run(summary: Summary) -> None:
    found = overview(summary["evaluations"], summary["comparisons"])
    assert found is not None
    assert found.picture is not None
    assert found.sentence.startswith("Of 180 problems that no stage was trained on, the final model (GRPO) answers ")
    assert [(gain.a, gain.b) for gain in found.gains] == [("expert SFT", "expert"), ("base", "SFT"), ("SFT", "GRPO")]
    for gain in found.gains:
        pooled = next(c for c in summary["comparisons"] if (c["a"], c["b"], c["domain"]) == (gain.a, gain.b, "all"))
        assert gain.difference == f"{100 * pooled['difference']:+.1f}"
        assert [domain for domain, _ in gain.parts] == ["arithmetic", "code", "logic"]
    assert "teacher only" not in found.picture.svg
    assert found.picture.svg.count("arrow dotted") == 2  # drawn for wide and for narrow screens
    assert [name for name, _ in found.controls] == ["teacher only", "original only"]
    assert [name for name, _ in found.meanings] == ["base", "expert SFT", "expert", "SFT", "GRPO"]


def test_nothing_compared_is_no_overview(summary: Summary) -> None:
    assert overview([], []) is None
    assert overview(summary["evaluations"], []) is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=5))
def test_each_problem_weighs_the_same(counts: list[tuple[int, int]]) -> None:
    entries = [entry("base", f"d{i}", min(right, n), n) for i, (right, n) in enumerate(counts)]
    [pooled] = pool(entries, [e["domain"] for e in entries], decoding="greedy").values()
    right, n = sum(min(right, n) for right, n in counts), sum(n for _, n in counts)
    assert pooled["pass1"] == pytest.approx(right / n)
    assert pooled["n"] == n
    assert 0 <= pooled["pass1_low"] <= pooled["pass1"] + 1e-12  # type: ignore[operator]
    assert pooled["pass1"] - 1e-12 <= pooled["pass1_high"] <= 1  # type: ignore[operator]


def test_the_pooled_interval_is_near_that_of_all_problems() -> None:
    entries = [entry("base", domain, 40, 100) for domain in ("a", "b", "c")]
    [pooled] = pool(entries, ["a", "b", "c"], decoding="greedy").values()
    low, high = wilson(120, 300)
    assert (pooled["pass1_low"], pooled["pass1_high"]) == (
        pytest.approx(low, abs=0.005),
        pytest.approx(high, abs=0.005),
    )


def test_a_checkpoint_that_lacks_a_domain_is_not_pooled() -> None:
    entries = [entry("base", "a", 1, 2), entry("base", "b", 1, 2), entry("half", "a", 1, 2)]
    assert list(pool(entries, ["a", "b"], decoding="greedy")) == [("base", False)]


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.01, 0.2, "a gain"), (-0.2, -0.01, "a loss"), (-0.1, 0.1, "no clear change")]
)
def test_a_change_is_called_what_its_interval_says(low: float, high: float, verdict: str) -> None:
    evaluations = [entry("base", "sums", 10, 60), entry("final", "sums", 12, 60), entry("final", "chat", 1, 60)]
    found = overview(evaluations, [pair("base", "final", low, (low + high) / 2, high)])
    assert found is not None
    assert found.gains[0].verdict == verdict
    assert f"; {verdict})" in found.sentence
    assert found.sentence.startswith("Of 60 problems"), "chat is not compared, and a single domain has no pool"
    assert found.meanings == []


def example(domain: str, before: str, after: str) -> Example:
    answers = [
        {"checkpoint": name, "text": "", "status": status, "reason": "", "tokens": 1}
        for name, status in (("base", before), ("SFT", "wrong"), ("GRPO", after))
    ]
    return Example(domain=domain, prompt=f"{domain} {before} {after}", answers=answers)  # type: ignore[typeddict-item]


def test_answers_that_changed_are_of_several_domains_and_of_both_kinds() -> None:
    gained = [example(domain, "wrong", "ok") for domain in ("a", "a", "b", "c")]
    unchanged = [example("a", "ok", "ok"), example("b", "wrong", "failed")]
    lost = example("b", "ok", "wrong")
    chosen = turned_examples([*unchanged, *gained, lost])
    assert [e["prompt"] for e in chosen] == ["a wrong ok", "b wrong ok", "b ok wrong"]
    assert [[a["checkpoint"] for a in e["answers"]] for e in chosen] == [["base", "GRPO"]] * 3
    assert [e["domain"] for e in turned_examples([*unchanged, *gained])] == ["a", "b", "c"]
    assert turned_examples(unchanged) == []
