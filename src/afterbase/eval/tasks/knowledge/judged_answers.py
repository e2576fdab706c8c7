"""Free answers against a right one, where a judge says whether they mean the same (as SimpleQA does it, OpenAI 2024).

The judge answers in one of three words. A reply is read strictly: a verdict that stands for itself ("INCORRECT.",
"Grade: CORRECT") comes before what its sentences say, words in capitals before others, and "not correct" is incorrect,
as what is right in part. Where two are left that differ, or none, the judge has failed, not the answer.
"""

import re
from collections.abc import Iterator

from afterbase.core.reasoning import answer_of
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

_WORD = r"NOT[ _-]ATTEMPTED|IN[ -]?CORRECT|CORRECT"
_CHINESE = {"不正确": "INCORRECT", "错误": "INCORRECT", "未尝试": "NOT_ATTEMPTED", "正确": "CORRECT"}
_PART = r"(?:partially|partly|mostly|largely|half|nearly|almost|somewhat|not|not\s+(?:entirely|fully|quite|exactly))"
_ALONE = re.compile(rf"(?:(?P<part>{_PART})\s+)?(?P<word>{_WORD})", re.IGNORECASE)
_SENTENCES = re.compile(r"(?<=[.!?。！？])(?=\s|$)|\n|(?<=[。！？])|;|；")
_CLAUSES = re.compile(r"[:：(){}\[\]=—–]|\s-\s|(?<=\")\s*,|,\s*(?=\")")
_AROUND = " \t\r\"'“”‘’`*_~#>|.,!。！、，-"
_NEGATED = re.compile(
    r"\b(?:not(?!\s+(?:only|just|merely)\b)|\w+n['’]t|cannot|never|hardly|far\s+from|anything\s+but|fails?\s+to"
    r"|no\s+longer|unlikely|less\s+than|without)\b(?:[^\w.]+\w+){0,6}?[^\w.]*\Z",
    re.IGNORECASE,
)
_PARTIAL = re.compile(rf"\b{_PART}\s+\Z", re.IGNORECASE)
_SUPPOSED = re.compile(
    r"\b(?:if|had|would|could|should|might|were|unless|whether|suppose|assuming|neither|nor)\b|\b(?:rather\s+than|instead\s+of)\s+\W*\Z",
    re.IGNORECASE,
)
_BUT = re.compile(
    r"\b(?:but|except|however|although|though|partially|partly|mostly|half|almost|nearly|in\s+part|despite)\b",
    re.IGNORECASE,
)
# In small letters it is a verdict only as what something is: "the correct answer is" judges nothing.
_IS = re.compile(
    r"(?:\b(?:is|are|was|be|being|as|seems?|appears?|looks?|found|graded|marked|judged|considered|deemed)\b"
    r"(?:\s+(?!the\b)\w+){0,3}|^)\W*\Z",
    re.IGNORECASE,
)
_NOUN = re.compile(r"\s+(?:answer|response|one|name|date|value|year|number|person|city|fact)s?\b", re.IGNORECASE)
_LONGEST = 100_000  # characters of a reply; a verdict is one word


def item(name: str, question: str, answer: str, *, prompt: str | None = None) -> Item:
    """A question as it stands, or as `prompt` puts it."""
    return Item(id=name, prompt=prompt or question, question=question.strip(), gold=(question, answer), right=answer)


def _question(item: Item, response: str) -> str:
    question, answer = item.gold
    return _ASK.format(question=question, answer=answer, response=response.strip() or "(nothing)")


def _mark(reply: str) -> Mark:
    said = _verdict(answer_of(reply) or "")
    if said is None:
        return Mark(0.0, None, "judge_without_verdict", failed=True)
    return Mark(float(said == "correct"), None, said)


def _verdict(reply: str) -> str | None:
    """The one verdict of a reply without its thought; None where it has none, or two that differ."""
    if len(reply) > _LONGEST:
        return None
    sentences = [part for part in _SENTENCES.split(reply) if part.strip(_AROUND)]
    for read in (_standing_alone, _in_capitals, _in_words):
        found = {verdict for sentence in sentences if not _asks(sentence) for verdict in read(sentence)}
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _asks(sentence: str) -> bool:
    return sentence.rstrip(_AROUND).endswith(("?", "？"))


def _standing_alone(sentence: str) -> list[str]:
    """Verdicts that are a clause: all that stands in a line, behind a colon, or as a value of JSON."""
    found = []
    for clause in _CLAUSES.split(sentence):
        bare = clause.strip(_AROUND)
        alone = _ALONE.fullmatch(_CHINESE.get(bare, bare))
        if alone is not None:
            said = _named(alone["word"], negated=alone["part"] is not None)
            found += [said] if said and not (said == "correct" and _BUT.search(sentence)) else []
    return found


def _in_capitals(sentence: str) -> list[str]:
    return _said(sentence, re.finditer(rf"\b(?:{_WORD})\b", sentence), anywhere=True)


def _in_words(sentence: str) -> list[str]:
    return _said(sentence, re.finditer(rf"\b(?:{_WORD})\b", sentence, re.IGNORECASE), anywhere=False)


def _said(sentence: str, words: Iterator[re.Match[str]], *, anywhere: bool) -> list[str]:
    """What the words say that are said of the response, and not supposed; `anywhere` also where it is no predicate."""
    found = []
    for word in words:
        before = sentence[max(0, word.start() - 200) : word.start()]
        negated = bool(_NEGATED.search(before) or _PARTIAL.search(before))
        predicate = anywhere or negated or _IS.search(before)
        if not predicate or _SUPPOSED.search(before) or _NOUN.match(sentence, word.end()):
            continue
        said = _named(word.group(), negated=negated)
        if said == "correct" and _BUT.search(sentence):
            continue
        found += [said] if said else []
    return found


def _named(word: str, *, negated: bool) -> str | None:
    """The verdict by its name; what is not incorrect, or not unattempted, is none."""
    name = {"not": "not_attempted", "inc": "incorrect", "cor": "correct"}[re.sub(r"[ -]", "", word.lower())[:3]]
    if not negated:
        return name
    return "incorrect" if name == "correct" else None


JUDGING = Judging(question=_question, mark=_mark)
