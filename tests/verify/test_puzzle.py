import json
from pathlib import Path
from typing import Any

import pytest
import reasoning_gym
from reasoning_gym.factory import DATASETS

from afterbase.core.sample import Status, Verdict
from afterbase.verify.puzzle import Item, check_puzzle_many

ENTRY = {
    "question": "Emma and Liam ...",
    "answer": "Emma is a knight, and Liam is a knave.",
    "metadata": {"source_dataset": "knights_knaves"},
}


def check_puzzle(**item: Any) -> Verdict:
    return check_puzzle_many([Item(**item)])[0]


@pytest.mark.parametrize(
    ("response", "status", "reason"),
    [
        (r"\boxed{Emma is a knight, and Liam is a knave}", Status.OK, "match"),
        (r"\boxed{Liam is a knave, Emma is a knight.}", Status.OK, "match"),
        (r"\boxed{Emma is a knight, and Liam is a knight}", Status.WRONG, "mismatch"),  # the scorer itself says 0.65
        (r"\boxed{Emma is a knight}", Status.WRONG, "mismatch"),
        (r"\boxed{}", Status.WRONG, "mismatch"),
        ("Emma is a knight, and Liam is a knave", Status.WRONG, "no_box"),
    ],
)
def test_all_of_it_or_nothing(response: str, status: Status, reason: str) -> None:
    verdict = check_puzzle(response=response, dataset="knights_knaves", entry=ENTRY)
    assert (verdict.status, verdict.reason, verdict.value) == (status, reason, float(status is Status.OK))


def test_a_scorer_that_refuses_the_right_answer_has_failed() -> None:
    verdict = check_puzzle(response=r"\boxed{4}", dataset="no_such_dataset", entry=ENTRY)
    assert (verdict.status, verdict.reason) == (Status.FAILED, "verifier_error")


def test_a_scorer_that_raises_on_nonsense_only_is_not_at_fault() -> None:
    # prime_factorization calls int() on whatever stands between the signs.
    entry = {"question": "", "answer": "2 × 3", "metadata": {"number": 6}}
    right, nonsense = (
        check_puzzle(response=rf"\boxed{{{answer}}}", dataset="prime_factorization", entry=entry)
        for answer in ("2 × 3", "two")
    )
    assert (right.status, nonsense.status, nonsense.reason) == (Status.OK, Status.WRONG, "mismatch")


def entry_of(dataset: str) -> dict[str, Any]:
    """Its first entry, as it comes back from a file of JSON."""
    return json.loads(json.dumps(reasoning_gym.create_dataset(dataset, size=1, seed=0)[0]))


def own_answer(entry: dict[str, Any]) -> str | None:
    """The entry's, or the one that its metadata give where there are several."""
    examples = (entry["metadata"].get(name) for name in ("example_answer", "example_correct_answer"))
    return entry["answer"] or next(filter(None, examples), None)


# Those whose scorers evaluate an answer, and those whose scorers compare what JSON does not know.
EVALUATING = [
    *("binary_matrix", "countdown", "intermediate_integration", "n_queens", "polynomial_multiplication", "puzzle24"),
    *("simple_integration", "spiral_matrix", "string_insertion"),
]
OTHERS = ["arc_agi", "bitwise_arithmetic", "codeio", "graph_color", "knights_knaves", "number_sorting", "rearc"]
ALL = [name for name in sorted(DATASETS) if name != "composite"]


def hostile(deed: str) -> list[str]:
    """Answers that would do the deed, a line of Python, if anything did what they say; and some that take for ever."""
    doing = f"__import__('os').system({deed!r})"
    return [
        *(doing, f"[{doing}]", f"({doing},)", f"{{{doing}}}", f"f'{{{doing}}}'", f"(lambda: {doing})()"),
        *(f"[{doing} for _ in [1]]", f"exec({doing!r})", f"eval({doing!r})", f"sqrt({doing!r})", f"S({doing!r})"),
        *(f"sympify({doing!r})", f"lambdify(x, {doing!r})(1)", f"Symbol('x', {doing})", f"x.subs(x, {doing})"),
        *("().__class__.__base__.__subclasses__()", "open('/etc/passwd').read()", "setattr(self, 'score_answer', min)"),
        "__import__('os').write(3, b'{\"score\": 1.0}')",
        *("entry['answer']", "[*entry['answer']]", "answer", "entry", "self", "metadata", "oracle_answer", "target"),
        *("__import__('os')._exit(0)", "print(1)", "9**9**9**9", "factorial(10**9)", "[0]*10**10", "'a'*10**10"),
        *("(" * 5000 + "1" + ")" * 5000, "[" * 50_000, '{"a":' * 3000, "-" * 20_000 + "1", "1" * 50_000),
        *("a\ud800b", "a\0b", "nan", "1e400", "(a+)+$" + "a" * 2000, "x" * 100_001, "\n" * 20_000, " "),
    ]


def test_what_an_answer_says_is_never_done(tmp_path: Path) -> None:
    items = []
    for dataset in [*EVALUATING, *OTHERS]:
        entry = entry_of(dataset)
        right = own_answer(entry) or json.dumps(entry["metadata"]["possible_answer"])
        answers = hostile(f"touch {tmp_path / 'deed'}")
        items += [Item(answer, dataset, entry, ("all",)) for answer in [*answers, right]]
    verdicts = check_puzzle_many(items)
    per = len(items) // len([*EVALUATING, *OTHERS])
    wrong = [verdict for n, verdict in enumerate(verdicts, start=1) if n % per]
    assert {verdict.status for verdict in wrong} == {Status.WRONG}
    assert {verdict.status for verdict in verdicts[per - 1 :: per]} == {Status.OK}  # the last of each is none the worse
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("dataset", ALL)
def test_every_family_accepts_its_own_answer_and_does_what_no_answer_says(dataset: str, tmp_path: Path) -> None:
    entry = entry_of(dataset)
    answers = hostile(f"touch {tmp_path / 'deed'}")
    verdicts = check_puzzle_many([Item(answer, dataset, entry, ("all",)) for answer in answers])
    assert {verdict.status for verdict in verdicts} == {Status.WRONG}
    assert list(tmp_path.iterdir()) == []
    right = own_answer(entry)
    if right is not None:
        assert check_puzzle(response=right, dataset=dataset, entry=entry, answer_by=("all",)).status is Status.OK


def test_a_scorer_that_refuses_its_own_answer_calls_none_wrong() -> None:
    entry = {"question": "", "answer": "2 + 2", "metadata": {"numbers": [2, 3], "target": 5}}
    right, other = (
        check_puzzle(response=rf"\boxed{{{answer}}}", dataset="countdown", entry=entry) for answer in ("2 + 3", "2 - 3")
    )
    assert (right.status, other.status) == (Status.OK, Status.FAILED)


def test_where_a_scorer_takes_anything_the_entry_s_text_decides() -> None:
    # That of game_of_life_halting compares bool("False") with bool("True").
    entry = entry_of("game_of_life_halting")
    other = {"True": "False", "False": "True"}[entry["answer"]]
    answers = [entry["answer"], entry["answer"].lower(), other, "maybe"]
    verdicts = check_puzzle_many([Item(answer, "game_of_life_halting", entry, ("all",)) for answer in answers])
    assert [verdict.status for verdict in verdicts] == [Status.OK, Status.OK, Status.WRONG, Status.WRONG]


@pytest.mark.parametrize("answer", ["nan", "NaN + 3i", "nan+nanj", "inf", "-infinity"])
def test_what_is_no_number_is_near_none(answer: str) -> None:
    verdict = check_puzzle(
        response=answer, dataset="complex_arithmetic", entry=entry_of("complex_arithmetic"), answer_by=("all",)
    )
    assert verdict.status is Status.WRONG


@pytest.mark.parametrize(
    ("dataset", "gold", "answers"),
    [
        ("coin_flip", "0.109375", ["0", "0.0", "0_0", "0e9", "0e99999", "0/7", "0.1", " ٠ ", "0,", "1/0", "1__0"]),
        ("coin_flip", "1", ["10", "1.5", "11/10"]),
        ("coin_flip", "3.051757812e-05", ["3", "3.05", "-3.051757812e-05"]),
        ("gsm_symbolic", "405", ["-405", "-405.0", "-4_05"]),
    ],
)
def test_another_number_is_wrong_whatever_a_scorer_says(dataset: str, gold: str, answers: list[str]) -> None:
    """These scorers compare the beginnings of numbers, and numbers without their signs."""
    entry = {**entry_of(dataset), "answer": gold}
    asked = [Item(f"\\boxed{{{answer}}}", dataset, entry) for answer in [*answers, gold, f" {gold} "]]
    reasons = [verdict.reason for verdict in check_puzzle_many(asked)]
    assert reasons == [*["mismatch"] * len(answers), "match", "match"]


def test_numbers_of_a_rounded_entry_are_left_to_the_scorer() -> None:
    entry = {**entry_of("decimal_arithmetic"), "answer": "8.27243551523"}
    asked = [Item(f"\\boxed{{{answer}}}", "decimal_arithmetic", entry) for answer in ("8.2724", "8.27243551524")]
    assert {verdict.status for verdict in check_puzzle_many(asked)} == {Status.OK}
