"""Votes and sections: the replies that the reference parses, even votes, and the weight of math-prm."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.eval.judged.reward_bench.score import SECTIONS, SIZES, Vote, accuracy, score, winner


def _votes(text: str) -> list[Vote]:
    """+ for a vote for the chosen answer, - against, ? for neither; the chosen one is shown as A and B in turn."""
    out = []
    for i, sign in enumerate(text):
        chosen, other = ("A", "B") if i % 2 else ("B", "A")
        reply = {"+": f"[[{chosen}]]", "-": f"[[{other}]]", "?": "[[C]]"}[sign]
        out.append(Vote(judgement=reply, chosen_shown_as=chosen))
    return out


def test_replies_as_the_reference_parses_them(afterbase_data: Path) -> None:
    cases = json.loads((afterbase_data / "rewardbench" / "verdict_cases.json").read_text())
    plain = [case for case in cases if case["model_modifier"] is None]  # the others are formats of single models
    assert len(plain) >= 8
    for case in plain:
        assert (winner(case["judgement"]) or "error") == case["expected"]
    assert winner(None) is None


@pytest.mark.parametrize(
    ("votes", "expected"),
    [("+", 1), ("-", 0), ("?", 0.5), ("+-", 0.5), ("++-?", 1), ("--+?", 0), ("+??", 1), ("????", 0.5), ("+++---", 0.5)],
)
def test_accuracy_of_those_that_name_an_answer(votes: str, expected: float) -> None:
    assert accuracy(_votes(votes)) == expected


@given(st.text("+-?", min_size=1, max_size=7))
def test_a_swap_of_right_and_wrong_turns_the_vote_over(votes: str) -> None:
    assert accuracy(_votes(votes)) + accuracy(_votes(votes.translate(str.maketrans("+-", "-+")))) == 1


def test_sections_of_the_reference_data(afterbase_data: Path) -> None:
    for case in json.loads((afterbase_data / "rewardbench" / "aggregation_cases.json").read_text()):
        got = score(case["metrics"])
        assert got.sections == pytest.approx(case["expected"]["sections"], abs=1e-9)
        assert got.average == pytest.approx(case["expected"]["average_of_4_sections"], abs=1e-9)
        assert got.subsets == case["metrics"]


def test_subsets_are_the_published_ones(afterbase_data: Path) -> None:
    published = json.loads((afterbase_data / "rewardbench" / "subsets.json").read_text())
    assert {name: list(subsets) for name, subsets in SECTIONS.items()} == published["sections"]
    weights = {subset: weight for section in SECTIONS.values() for subset, weight in section.items()}
    assert weights == published["example_counts_used_for_weighting"]
    assert published["actual_example_counts"] == SIZES
    assert sum(SIZES.values()) == 2985


def test_maths_weighs_as_much_as_all_programs() -> None:
    subsets = dict.fromkeys(SECTIONS["Reasoning"], 0.0) | {"math-prm": 1.0}
    assert score(subsets).sections == {"Chat": 0, "Chat Hard": 0, "Safety": 0, "Reasoning": 50}
    assert score(subsets).average == 12.5


def test_the_leaderboard_counts_prior_sets_as_half_a_section() -> None:
    sections = dict.fromkeys(SIZES, 0.9)
    whole = score(sections | {"shp": 0.5, "summarize": 0.7})
    assert whole.average == pytest.approx(90)
    assert whole.prior_sets == pytest.approx(60)
    assert whole.leaderboard == pytest.approx((2 * 4 * 90 + 60) / 9)
    assert (score(sections).prior_sets, score(sections).leaderboard) == (None, None)


@given(st.dictionaries(st.sampled_from(sorted(SIZES)), st.floats(0, 1), min_size=1))
def test_a_section_lies_between_its_subsets(subsets: dict[str, float]) -> None:
    for name, percent in score(subsets).sections.items():
        own = [100 * subsets[s] for s in SECTIONS[name] if s in subsets] or [0]
        assert min(own) - 1e-9 <= percent <= max(own) + 1e-9
