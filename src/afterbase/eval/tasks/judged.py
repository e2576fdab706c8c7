"""Free answers against a right one, where a judge says whether they mean the same (as SimpleQA does it, OpenAI 2024).

The judge answers in one of three words; a reply with none of them is a failure of the judge, not of the answer.
"""

import re

from afterbase.eval.tasks.task import Item, Judging, Mark

_ASK = """A question, its right answer, and somebody's response. Say whether the response gives the right answer.

CORRECT: it says what the right answer says and contradicts none of it. Wording, language, letter case, order, small \
misspellings and further details that are true do not matter; a number may be as exact as the right answer needs.
INCORRECT: something in it contradicts the right answer, also if it is hedged.
NOT_ATTEMPTED: it does not give the right answer and contradicts none of it, such as a refusal or an unfinished text.

Question: {question}
Right answer: {answer}
Response: {response}

Reply with nothing but one of CORRECT, INCORRECT, NOT_ATTEMPTED."""
_WORD = re.compile(r"\b(NOT[ _]ATTEMPTED|INCORRECT|CORRECT)\b")


def item(name: str, question: str, answer: str, *, prompt: str | None = None) -> Item:
    """A question as it stands, or as `prompt` puts it."""
    return Item(id=name, prompt=prompt or question, question=question.strip(), gold=(question, answer), right=answer)


def _question(item: Item, response: str) -> str:
    question, answer = item.gold
    return _ASK.format(question=question, answer=answer, response=response.strip() or "(nothing)")


def _mark(reply: str) -> Mark:
    """The last word of the three, in capitals, or in any case where there is none in capitals."""
    said = _WORD.findall(reply) or _WORD.findall(reply.upper())
    if not said:
        return Mark(0.0, None, "judge_without_verdict", failed=True)
    word = said[-1].replace(" ", "_").lower()
    return Mark(float(word == "correct"), None, word)


JUDGING = Judging(question=_question, mark=_mark)
