"""The sentences say what the numbers say, also when the numbers are bad."""

import pytest

from afterbase.eval.summarise import Evaluation
from afterbase.report.headline import changes, headline, listed, whole_percent
from afterbase.report.summary import Summary


def entry(checkpoint: str, pass1: float | None, **changed: object) -> Evaluation:
    low, high = (None, None) if pass1 is None else (max(0.0, pass1 - 0.1), min(1.0, pass1 + 0.1))
    base = {
        "checkpoint": checkpoint,
        "domain": "logic",
        "decoding": "greedy",
        "system_prompt": False,
        "n": 50,
        "failed": 0,
        "pass1": pass1,
        "pass1_low": low,
        "pass1_high": high,
        "maj8": None,
        "mean_tokens": None if pass1 is None else 40.0,
        "mean_tokens_right": None,
        "mean_tokens_wrong": None,
        "median_tokens": None,
        "truncated_share": None,
        "format_share": None,
    }
    return Evaluation(**{**base, **changed})


def test_realistic(summary: Summary) -> None:
    accuracy, length, paired, failures = headline(summary["evaluations"], summary["comparisons"])
    assert accuracy.startswith("From base to GRPO, pass@1 goes from ")
    assert accuracy.endswith(" on chat (sampled answers, no system prompt).")
    assert length.startswith("Mean answer length of GRPO, in tokens: ")
    assert paired.startswith("Paired by problem over the reasoning domains: base to SFT +")
    assert "; SFT to GRPO +" in paired
    assert "teacher" not in paired
    failed = sum(e["failed"] for e in summary["evaluations"])
    assert failures == f"The verifiers failed on {failed} answers: counted here, and in no score."


def test_a_fall_is_told_and_the_longest_answers_are_found() -> None:
    evaluations = [
        entry("base", 0.5),
        entry("expert", 0.9, mean_tokens=300.0, system_prompt=True),
        entry("final", 0.25),
    ]
    first, second = headline(evaluations, [])
    assert "from 50% to 25% on logic (greedy answers" in first
    assert second == "Mean answer length of final, in tokens: 40 on logic; of the wordiest checkpoint: 300."


def test_an_unclear_difference_is_called_so() -> None:
    pooled = {"difference": 0.01, "low": -0.02, "high": 0.04, "p": 0.4, "n": 200}
    setting = {"decoding": "greedy", "system_prompt_a": False, "system_prompt_b": False}
    comparison = {"a": "base", "b": "final", "domain": "all", **setting, **pooled}
    *_, last = headline([entry("base", 0.5), entry("final", 0.51)], [comparison])  # type: ignore[list-item]
    assert last.replace("\u00a0", " ") == (
        "Paired by problem over the reasoning domains: "
        "base to final +1.0 points (−2.0 to +4.0, p = 0.400), not distinguishable from none."
    )


@pytest.mark.parametrize("evaluations", [[], [entry("base", 0.5), entry("final", None)]])
def test_nothing_to_compare(evaluations: list[Evaluation]) -> None:
    assert changes(evaluations) == []
    assert headline(evaluations, []) == ["This run evaluated no domain with both its first and its last checkpoint."]


def test_small_words() -> None:
    assert [whole_percent(share) for share in (0, 0.002, 0.5, 0.998, 1)] == ["0%", "0.2%", "50%", "99.8%", "100%"]
    assert [listed(list(letters)) for letters in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
