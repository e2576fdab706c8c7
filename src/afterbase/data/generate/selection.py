"""Which of a problem's right answers are kept: rules by name and parameter, a choice of what they leave, balance.

The report wants the expert's data "concise and effective" (V3, section 5.1) and gives no rule. Overthinking is found as
in "Do NOT Think That Much for 2+3=?" (arXiv 2412.21187): by what comes after the first right answer in the chain. The
thresholds are the recipe's.
"""

import re
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from afterbase.core.config import Config
from afterbase.core.errors import UserError
from afterbase.data.clean.shingles import jaccard, ngrams, sets, tokens
from afterbase.verify.language.text_language import language

BUCKETS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Upper ends of the buckets of solve rates."""
_FEWEST = 3  # right answers, below which their lengths are no distribution

# The words of reflection, in two parts: turning back, which curation counts, and announcing a check, which it does not.
_TURNING_BACK = re.compile(
    r"(?:^|[.!?。！？,，;:\n]\s*|\b(?:but|oh|hmm)[ ,]+)"
    r"(?:(?:wait|hmm+|hold on|alternatively|on second thought|actually, (?:no|let)"
    r"|let me (?:re-?|double[- ]?)?(?:check|verify|examine|consider|think again|do that again))\b"
    r"|等等|等一下|让我再|让我重新|重新检查|再检查|再想|不对)",
    re.I,
)
_CHECKING = re.compile(r"\bcheck(?:ing)?:|\bdouble-check", re.I)
_BEFORE = r"(?:=|≈|:|：|\b(?:is|are|be|get|gives?|equals|answer)\b|boxed\{|是|为|得|等于)[\s$*:：{\\(]{0,4}"
_AFTER = r"(?!\w|[.,]\d)"
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)|[。！？]\s?|\n")


class Rules(Config):
    """What a right answer has to be, and which ones are taken. A rule that is None is off."""

    one_language: bool = False
    """No second language, code and mathematics apart."""
    after_answer: float | None = Field(default=None, ge=0, le=1)
    """Largest share of the chain of thought that may follow the first statement of the right answer."""
    reflections: int | None = Field(default=None, ge=0)
    """Most times that the chain turns back (`wait`, `let me check`, ...)."""
    length_ratio: float | None = Field(default=None, ge=1)
    """Tokens, as a multiple of the median of the problem's right answers, if there are three or more."""
    choose: Literal["shortest", "best", "diverse"] = "shortest"
    """The shortest; those of the highest reward; or those least alike, from the shortest on."""
    easy_share: float | None = Field(default=None, gt=0, lt=1)
    """Largest share of kept answers whose problem is solved more than four times in five."""


@dataclass(frozen=True)
class Candidate:
    """A right answer: its text, its length in tokens, its reward."""

    text: str
    tokens: int
    reward: float


Fault = tuple[str, float]
"""A rule and the score that it saw."""


def faults(candidates: Sequence[Candidate], rules: Rules, *, answer: str | None) -> list[Fault | None]:
    """The first rule that each of a problem's right answers breaks; `answer` is what the problem's box should hold."""
    median = statistics.median(c.tokens for c in candidates) if len(candidates) >= _FEWEST else None
    return [_fault(candidate, rules, answer, median) for candidate in candidates]


def _fault(candidate: Candidate, rules: Rules, answer: str | None, median: float | None) -> Fault | None:
    if rules.one_language and language(candidate.text) == "mixed":
        return "mixed language", 1.0
    if rules.after_answer is not None and answer is not None:
        share = after_first_answer(candidate.text, answer)
        if share is not None and share > rules.after_answer:
            return "overthinking: after the answer", share
    if rules.reflections is not None and (count := reflections(candidate.text)) > rules.reflections:
        return "overthinking: reflections", count
    if rules.length_ratio is not None and median and candidate.tokens > rules.length_ratio * median:
        return "overthinking: longer than its like", candidate.tokens / median
    return None


def chain(text: str) -> str:
    """The chain of thought: what is inside `<think>`, or the whole answer."""
    before, closed, _ = text.partition("</think>")
    return before.partition("<think>")[2] or before if closed else text


def after_first_answer(text: str, answer: str) -> float | None:
    """Share of the chain that follows the first sentence which states the answer; None if none does."""
    thought = chain(text)
    stated = re.search(_BEFORE + re.escape(answer) + _AFTER, thought)
    if stated is None:
        return None
    ends = _SENTENCE_END.search(thought, stated.end())
    return (len(thought) - (ends.end() if ends else len(thought))) / len(thought)


def reflections(text: str) -> int:
    """How often the chain turns back."""
    return len(_TURNING_BACK.findall(chain(text)))


def reflects(text: str) -> bool:
    """Whether the chain looks again at what it says: it turns back, or announces a check."""
    return any(words.search(chain(text)) for words in (_TURNING_BACK, _CHECKING))


def chosen(candidates: Sequence[Candidate], rules: Rules, most: int) -> list[int]:
    """At most `most` of a problem's answers, by index, the first choice first; of equals the earlier one."""
    by_length = sorted(range(len(candidates)), key=lambda i: (candidates[i].tokens, i))
    if rules.choose == "best":
        return sorted(by_length, key=lambda i: -candidates[i].reward)[:most]
    if rules.choose == "diverse":
        return _diverse([c.text for c in candidates], by_length, most)
    return by_length[:most]


def _diverse(texts: Sequence[str], order: Sequence[int], most: int) -> list[int]:
    """Farthest first: after the first of `order`, each time the text least like those taken."""
    grams, offsets = sets(*ngrams(tokens(texts), 3))
    parts = np.split(grams, offsets[1:-1]) if len(texts) else []
    taken, left = list(order[:1]), list(order[1:])
    nearest = dict.fromkeys(left, 0.0)
    while left and len(taken) < most:
        for i in left:
            alike = jaccard(parts[i], parts[taken[-1]]) if len(parts[i]) + len(parts[taken[-1]]) else 1.0
            nearest[i] = max(nearest[i], alike)
        following = min(left, key=lambda i: nearest[i])  # of equals the first of `order`
        left.remove(following)
        taken.append(following)
    return taken


def bucket(rate: float) -> int:
    """The bucket of a solve rate: 0 up to 0.2, ..., 4 above 0.8."""
    return next(i for i, end in enumerate(BUCKETS) if rate <= end)


def by_difficulty(rates: Sequence[float]) -> dict[str, int]:
    """Kept answers by the solve rate of their problem, every bucket named."""
    counts = Counter(map(bucket, rates))
    return {f"kept/solved up to {end:.1f}": counts[i] for i, end in enumerate(BUCKETS)}


def too_easy(ids: Sequence[str], rates: Sequence[float], share: float) -> list[str]:
    """Ids of kept answers to drop, so that those of easy problems are at most `share` of what is left.

    The easiest go first, of equals by id, which is drawn from content. UserError where all are easy.
    """
    easy = [(-rate, i) for i, rate in zip(ids, rates, strict=True) if bucket(rate) == len(BUCKETS) - 1]
    others = len(ids) - len(easy)
    if easy and not others:
        raise UserError(
            "a share of easy problems needs others beside them",
            got=f"{len(easy)} kept answers, all to problems that are solved more than {BUCKETS[-2]:.0%} of the time",
            remedy="take harder problems, or leave out `easy_share`",
        )
    most = int(share / (1 - share) * others + 1e-9)
    return [i for _, i in sorted(easy)[: max(0, len(easy) - most)]]
