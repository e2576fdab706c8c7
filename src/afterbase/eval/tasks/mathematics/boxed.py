r"""Mathematics: a final answer in a box, compared as the verifier of training does.

The answer of a response is its last `\boxed{...}`; without one, what it calls its answer; without that, its last
number, unless the response was cut off: then the last number is none that it came to. `evaluated` as in
`afterbase.verify.maths`.
"""

from collections.abc import Sequence

from afterbase.core.sample import Status
from afterbase.eval.tasks.task import Answered, Item, Mark
from afterbase.verify import maths
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.extract import WITHOUT_MARK, Way, extract, last_number

WAYS: Sequence[Way] = ("box", "answer_is", "last_number")
ASK = "Reason step by step, and put your final answer within \\boxed{}."
ASK_IN_CHINESE = "请逐步推理，并把最终答案写在 \\boxed{} 中。"


def item(name: str, problem: str, gold: str, *, ask: str = ASK) -> Item:
    """A problem with the request for a box after it."""
    return Item(
        id=name,
        prompt=f"{problem.strip()}\n\n{ask}",
        question=problem.strip(),
        gold=gold,
        right=f"So it is $\\boxed{{{gold}}}$.",
    )


def whole(answered: Answered, contexts: Sequence[AnswerContext] | None = None) -> list[Mark]:
    """Problems whose answer is one number, as it would be graded on paper: units and words around it do not count."""
    return _marks(answered, [_number(found) for found in _found(answered, contexts)], evaluated=True)


def any_form(answered: Answered, contexts: Sequence[AnswerContext] | None = None) -> list[Mark]:
    """Problems with answers of any form: equal in value is right."""
    return _marks(answered, _found(answered, contexts), evaluated=False)


def _found(answered: Answered, contexts: Sequence[AnswerContext] | None) -> list[str | None]:
    """The answer of each response."""
    marked: Sequence[Way] = [way for way in WAYS if way not in WITHOUT_MARK]
    cut = [context.truncated for context in contexts] if contexts is not None else [False] * len(answered)
    return [extract(text, marked if short else WAYS) for (_, text), short in zip(answered, cut, strict=True)]


def _number(found: str | None) -> str | None:
    return found if found is None or maths.number(found) is not None else last_number(found) or found


def _marks(answered: Answered, found: Sequence[str | None], *, evaluated: bool) -> list[Mark]:
    items = [
        maths.Item(given or "", item.gold, ("all",), evaluated)
        for (item, _), given in zip(answered, found, strict=True)
    ]
    marks = []
    for given, verdict in zip(found, maths.check_maths_many(items), strict=True):
        if given is None:
            marks.append(Mark(0.0, None, "no_answer"))
            continue
        value = maths.number(given)
        form = str(value) if value is not None else given.strip()
        marks.append(Mark(verdict.value, form, verdict.reason, failed=verdict.status is Status.FAILED))
    return marks
