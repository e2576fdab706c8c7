"""A judgement by rule: the chain of thought that a rubric's items make, and the verdict that follows from it.

It stands where the V3 report has preference data that carries the chain of thought leading to the reward. A model that
learns from it sees the question and the answer, not the rubric, and has to find out what the items are.
"""

from typing import Any

from afterbase.reward.judge import HIGHEST, Case, Judgement, verdict_line
from afterbase.verify.rubric import Reason, failed_items, first_mentioned, sentences

_PASSED = HIGHEST
_FIRST_FAILURE = 4  # the score of an answer that fails one item; each further one costs a point


def critique(answer: str, spec: dict[str, Any]) -> tuple[str, int]:
    """What is to be said of an answer, a line an item, and its score from 1 to 10: 10 where the rubric is met."""
    failed = failed_items(answer, spec)
    lines = [f"Topic: {'; '.join(_mention(answer, group) for group in spec['must_mention'])}."]
    if spec["persona_marks"]:
        lines.append(f"Part: {_mention(answer, spec['persona_marks'])}.")
    if spec["must_not"]:
        wrong = first_mentioned(answer, spec["must_not"])
        lines.append(f"Wrong words: {wrong or 'none'}.")
    count = " ".join(f"{n} {s.split()[0]}" for n, s in enumerate(sentences(answer), start=1))
    low, high = spec["sentences"]
    asked = f"{low}" if low == high else f"{low} to {high}"
    lines.append(f"Sentences: {count}, {'not ' if Reason.SENTENCE_COUNT in failed else ''}{asked}.")
    form = [word for reason, word in _FORM.items() if reason in failed]
    lines.append(f"Form: {', '.join(form) or 'good'}.")
    return "\n".join(lines), max(1, _FIRST_FAILURE + 1 - len(failed)) if failed else _PASSED


_FORM = {
    Reason.FOREIGN: "strange marks",
    Reason.REPEATS: "repeats itself",
    Reason.TOO_LONG: "too long",
    Reason.TOO_SHORT: "too short",
    Reason.CUT_OFF: "cut off",
}


def grade_by_rule(case: Case, spec: dict[str, Any]) -> Judgement:
    """The judgement on a case whose question has this rubric.

    An answer matches the right one if it says what has to be mentioned, and none of what is wrong.
    """
    if case.kind == "match":
        (answer,) = case.answers
        right = all(first_mentioned(answer, group) for group in spec["must_mention"])
        wrong = first_mentioned(answer, spec["must_not"])
        said = [first_mentioned(answer, group) for group in spec["must_mention"]]
        found = ", ".join(word for word in [*said, wrong] if word) or "nothing of it"
        return _judgement(case, f"Right: {case.gold}\nSaid: {found}.", "yes" if right and not wrong else "no")
    texts, scores = zip(*(critique(answer, spec) for answer in case.answers), strict=True)
    if case.kind == "score":
        return _judgement(case, texts[0], scores[0])
    thought = f"A\n{texts[0]}\n{scores[0]}\nB\n{texts[1]}\n{scores[1]}"
    verdict = "tie" if scores[0] == scores[1] else "A" if scores[0] > scores[1] else "B"
    return _judgement(case, thought, verdict)


def _judgement(case: Case, thought: str, verdict: int | str) -> Judgement:
    return Judgement(verdict=verdict, failed=None, text=f"{thought}\n{verdict_line(case, verdict)}")


def _mention(answer: str, group: list[str]) -> str:
    found = first_mentioned(answer, group)
    return found if found is not None else f"no {group[0]}"
