r"""Which option's letter a response chooses: for the verifier `choice` and for benchmarks of multiple choice.

A letter in the last `\boxed{...}` decides. Without one it is the last claim: "Answer: B", "the answer is (B)", "B is
correct", "so B", "it must be B", 答案是B, 故选B, `Antwort: B` and its like in other languages, a last line that is a
letter; or the one letter that lines begin with, as options do. What is denied ("A is wrong", "not A") or supposed ("if
the answer is A") is no claim. An answer that names two letters names none: a list of all would be right.

"A good idea" has an article, "A. Paris" and "A because" a choice. Of patterns that look on, none looks far: the time is
linear on any text.
"""

import re
import unicodedata
from typing import NamedTuple

from afterbase.core.reasoning import answer_of
from afterbase.verify.extract import last_boxed

_STYLES = "text|textbf|textit|textrm|textsf|texttt|mathrm|mathbf|mathsf|mathtt|mathit|boldsymbol|emph|underline|mbox|bf"
_STYLED = re.compile(rf"\\(?:{_STYLES}|boxed|fbox)\s*\{{([^{{}}]*)\}}")
_QUOTED = re.compile(r"(?<![\w'])['‘_]([A-Za-z])['’_](?![\w'])")
_MARKS = re.compile(r"\\[()\[\]]|</?(?:\w{2,20}|[bip])>|[*`$\"“”«»{}]|\\,")
_BRACKETS = re.compile(r"[\[【〔<《]{1,2}\s?([A-Za-z])\s?[\]】〕>》]{1,2}")
_NOT_BUT = re.compile(r"\bnot\s{1,4}(?:option\s)?\(?[A-Z]\)?\s{0,4},?\s{0,4}but\s{1,4}(?:rather\s)?", re.IGNORECASE)

_GOES_ON = "because|since|as|and|or|which|for|due|is|was|has|must|with|by|not|rather|instead|over|while|but"
_ARTICLE = rf"[ \t]+(?!(?:{_GOES_ON})\b)[A-Za-z]"
_END = r"(?![A-Za-z0-9_+]|['’][A-Za-z]|-[A-Za-z0-9])"
_CAPITAL = rf"(?<![A-Za-z0-9_])(?:\(\s?([A-Z])\s?\)|([B-HJ-Z]){_END}|([AI]){_END}(?!{_ARTICLE}))"
_SMALL = r"\(([a-z])\)|(?<![A-Za-z0-9_])([a-z])(?=[.)]{0,2}\s*(?:$|\n|[,;!])|[.)]\s|\s(?:because|since|which)\b)"
_LETTER = f"(?:{_CAPITAL}|{_SMALL})"
_LATER = r"(?:\(\s?([A-Z])\s?\)|(?<![A-Za-z0-9_])\(?([A-Z])(?![A-Za-z0-9_'’+]|-[A-Za-z]))"
# A further letter of the same answer; one that a sentence of its own begins with is none.
_FURTHER = re.compile(
    r"[.)]?(?:[ \t]{0,3}(?:[,;/|&+、]|\b(?:and/or|and|or)\b|和|或|与|及)){1,2}[ \t]{0,3}"
    rf"(?:(?:also|both|even|maybe|perhaps|possibly|option|choice)\s){{0,2}}{_LATER}"
    r"(?!\)?[ \t]+(?:is|are|was|has|does|do|can|cannot|would|seems|fails?|looks)\b)"
    rf"|\)?[ \t]{{1,3}}{_LATER}(?=[ \t]*(?:$|\n|[,.;)/|&]|\(|[A-Z]\b))"
)
_DENIED = re.compile(
    r"\)?(?:[,:(]?\s{0,2}(?:(?:both|all|is|are|was|were|can|could|must|do|does|seems?|looks?|be|clearly)\s){1,4}"
    r"(?:not|out|ruled|excluded|eliminated)\b|\s{0,2}(?:[a-z]{2,6}n['’]t|cannot|can\snot)\b|[,:(]?\s{0,2}"
    r"(?:(?:both|all|is|are|was|were|must|seems?|looks?|be|clearly)\s){0,4}(?:wrong|incorrect|false|invalid|impossible|fails?\b)"
    r"|\s?(?:项|选项)?(?:都|是)?(?:错|不))",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|supposing|assume|assuming|whether|unless|had)\s+(?:that\s+)?(?:the\s+)?\W?\Z", re.I
)
_NEVER = re.compile(
    r"(?:\b(?:not|never|cannot|nobody|neither)|n['’]t)\s+(?:(?:be|to|go|ever|going|want|have|really|even|just|simply|then)\s+){0,3}\Z",
    re.IGNORECASE,
)
_IF = re.compile(r"[\s,]{0,3}(?:only\s+)?(?:if|when|unless|had)\b", re.IGNORECASE)

_FILLER = (
    r"(?:[\s:=(>→–—_-]|\b(?:is|was|are|be|being|would|should|must|will|can|only|has|have|got|to|seems?|appears?|the|an?(?=\s"
    r"(?:option|choice))|option|choice|letter|correct|right|best|final|one|following|labell?ed|therefore|thus|then|hence"
    r"|clearly|probably|likely|definitely|simply|just|indeed|either|both|everything|anything|all|of|them|these|text|boxed"
    r"|number|given|by|here|now)\b){0,100}+"  # of a longer one every word would be a beginning
)
_FILLER = f"(?i:{_FILLER})"
_NAMES = re.compile(
    r"\b(?i:(?P<key>answer|ans|choice|option|selection|conclusion)s?\b"
    r"(?P<about>\s(?:to|for|of)\s[^\n.:;!?]{1,80}?(?=\s(?:is|must|would)\s))?)"
    rf"(?P<filler>{_FILLER}){_LETTER}"
)
_ELSEWHERE = (
    "réponse|reponse|risposta|resposta|respuesta|antwort|antwoord|svar|odpowiedź|odpověď|răspuns|cevap|yanıt|jawaban|jibu"
    "|đáp án|ответ|відповідь|απάντηση|答え|答|回答|解答|正解|정답|답변|답|उत्तर|উত্তর|উত্তরঃ|คำตอบ|الإجابة|الجواب|إجابة"
    "|ìdáhùn|idahun|תשובה|پاسخ|جواب"
)
_FOREIGN = re.compile(rf"(?i:{_ELSEWHERE})[^\n:]{{0,20}}:(?P<filler>\s*){_LETTER}")
_CHINESE = re.compile(
    r"(?:(?:答案|正确选项|正确的选项|正确的是|最佳选项)(?:应该|应当|应|就|只能|则)?(?:是|为|选)?|(?<![不非])(?<!不应)(?:应|故|可)?选(?!项)择?(?:的是|为|出|了)?"
    r"|而是|(?:答え|正解|正答|解答|回答)は|정답은|답은)"
    rf"(?P<filler>[\s:=]*(?:选项)?[\s:]*){_LETTER}"
)
_IS_RIGHT = re.compile(
    rf"{_LATER}\)?[.:,]?(?:[ \t]{{1,3}}\([^()\n]{{0,80}}\))?[ \t]{{1,3}}"
    r"(?i:(?:is|must\sbe|has\sto\sbe|seems(?:\sto\sbe)?|appears\sto\sbe|would\sbe|should\sbe|will\sbe)\s"
    r"(?P<how>(?:(?!(?:not|never|hardly|scarcely|barely|nearly|partially|partly|no|less|neither)\b)[\w-]{1,30}\s){0,3}?)"
    r"(?:right|correct|best|true|valid|answer)\b(?P<after>(?:\s(?:as\swell|too)\b)?))"
)
_IS_RIGHT_IN_CHINESE = re.compile(
    rf"{_LATER}\s?(?:项|选项)?\s?(?:是|为|才是|最)?\s?(?:正确|对的|对。|符合)(?P<how>)(?P<after>)"
)
_SO = re.compile(
    r"(?i:(?:\b(?:so|thus|therefore|hence|then|finally|conclude|only|remains)\b|[∴⇒→]|=>|->|\b(?:it|this|that|which|answer)(?:['’]s|\s"
    r"(?:is|must\sbe|has\sto\sbe|would\sbe|should\sbe|can\sonly\sbe|could\sonly\sbe))\b"
    r"|\b(?:go|going)\s(?:with|for)\b|\b(?:choos(?:e|ing)|chose|pick(?:ing|ed)?|select(?:ing|ed)?|opt(?:ing)?\sfor|leaves?|leaving"
    r"|guess|say|corresponds\sto)\b)[\s,:]{0,4}"
    r"(?:\b(?:it|is|must|be|us|me|with|only|we|i|get|have|choose|pick|select|probably|likely|clearly|definitely|certainly|most"
    rf"|obviously|therefore|thus|then|just|option|choice|letter|answer|the)\b[\s,:]{{1,3}}){{0,6}}){_CAPITAL}"
    r"(?=\)?\s{0,3}(?:[.,;:!?)]|$|\n|\b(?:because|since|not|rather|instead|over|as|and|or|while)\b))"
)
_LINE = re.compile(
    r"^[ \t_>#-]*(?:\(\s?([A-Z])\s?\)|([A-Z]))(?:[).:。]|、(?!\s*[A-Z])|[ \t]*$"
    r"|[ \t]+(?:[–—-][ \t]|(?:because|since)\b))",
    re.MULTILINE,
)
_RULED = re.compile(
    r"^[ \t_>#-]*\(?([A-Z])\)?[ \t.:)=-]{1,4}"
    r"(?:(yes|true|right|correct|✓|✔|✅|是|对|正确)|(?:no|false|wrong|incorrect|✗|✘|❌|否|错误?))(?![\w])[ \t.!,]*$",
    re.MULTILINE | re.IGNORECASE,
)
_LAST_LINE = re.compile(rf"(?:[^\n]{{0,80}}:\s)?\W*(?i:(?:option|choice|letter)\s)?(?:{_LETTER})[.)。!\s]*")
_ONLY_LETTERS = re.compile(r"\W*[A-Z](?:\W{1,4}(?:(?:and|or)\W{1,4})?[A-Z]\b)+\W*")
_JOINED = re.compile(rf"{_LATER}\)?[ \t]{{1,3}}(?:and|or|,)[ \t]{{1,3}}(?:option\s)?\(?\Z")
_ALSO = re.compile(r"\b(?:also|equally|likewise)\b")
_IS = re.compile(r"\b(?:is|was|be)\b|[:=]", re.IGNORECASE)
_STATED = re.compile(rf"(?P<filler>{_FILLER}){_LETTER}")
_OTHER_LETTERS = {"أ": "A", "ب": "B", "ج": "C", "د": "D", "অ": "A", "ব": "B", "ড": "C", "ঢ": "D"}
_OTHER_LETTER = re.compile(rf"(?<=[:\s(])([{''.join(_OTHER_LETTERS)}])(?![\w])")


class _Claim(NamedTuple):
    """Where a response names letters as its answer; `also`: besides the ones before."""

    place: int
    letters: frozenset[str]
    also: bool = False


def chosen(response: str, letters: str) -> set[str]:
    """The letters, of those of the options, that a response chooses; none and several are both no choice."""
    answer = answer_of(response)
    if answer is None:
        return set()
    answer = unicodedata.normalize("NFKC", answer)
    box = last_boxed(answer)
    if box is not None:
        inside = _bare(box).strip()
        if _glued(inside, letters):
            return set()
        found = stated(box, letters)
        if found:
            return found
    return _claimed(_bare(answer), letters)


def stated(answer: str, letters: str) -> set[str]:
    """The letters that an answer names which begins with them, as in a box: `B`, `(B) Paris`, `either A or B`."""
    text = _bare(unicodedata.normalize("NFKC", answer)).strip()
    found = _STATED.match(text)
    return set() if found is None else set(_named(text, found, letters) or ())


def _claimed(text: str, letters: str) -> set[str]:
    claims = [
        claim
        for pattern in (_NAMES, _FOREIGN, _CHINESE, _SO, _IS_RIGHT, _IS_RIGHT_IN_CHINESE)
        for found in pattern.finditer(text)
        if (claim := _claim(text, pattern, found, letters)) is not None
    ]
    claims += _lines(text, letters)
    if not claims:
        begun = {one or other for one, other in _LINE.findall(text)} & set(letters)
        return begun if len(begun) == 1 else set()
    claims.sort(key=lambda claim: claim.place)
    said: set[str] = set()
    for claim in claims:
        said = said | claim.letters if claim.also else set(claim.letters)
    return said


def _claim(text: str, pattern: re.Pattern[str], found: re.Match[str], letters: str) -> _Claim | None:
    """What a match says; None for what is denied, supposed or about something else."""
    before = text[max(0, found.start() - 40) : found.start()]
    if _SUPPOSED.search(before) or (pattern is _SO and _NEVER.search(before)):
        return None
    place = found.start(found.lastindex or 0)
    if pattern in (_IS_RIGHT, _IS_RIGHT_IN_CHINESE):
        letter = found[1] or found[2]
        if letter not in letters or _IF.match(text, found.end()):
            return None
        joined = _JOINED.search(text, max(0, found.start() - 60), found.start())
        also = bool(found["after"]) or _ALSO.search(found["how"]) is not None
        return _Claim(place, frozenset({letter}), also or joined is not None)
    needs_is = pattern is _NAMES and found["key"].lower() in ("choice", "option", "selection")
    if needs_is and (found[0][len(found["key"])] == "s" or not _IS.search(found["filler"])):
        return None
    named = _named(text, found, letters)
    return None if named is None else _Claim(place, named)


def _named(text: str, found: re.Match[str], letters: str) -> frozenset[str] | None:
    """The letters of a match and of what it is listed with; empty for the letter of no option; None if denied."""
    first = next(group for group in found.groups()[-5:] if group)
    capital = first.isupper()
    named, end = {first.upper()}, found.end()
    while capital and (more := _FURTHER.match(text, end)) is not None:
        named.add(next(group for group in more.groups() if group))
        end = more.end()
    if _DENIED.match(text, end) or text[end : end + 2].strip(")").startswith("?"):
        return None
    known = frozenset(named & set(letters))
    alone = re.match(r"[.)]?\s*(?:$|\n)", text[end : end + 20]) is not None
    return known if known or (capital and alone) else None


def _lines(text: str, letters: str) -> list[_Claim]:
    """What lines say that are a letter, or a letter with a yes or no."""
    claims = []
    ruled = [(found[1].upper(), bool(found[2])) for found in _RULED.finditer(text)]
    right = frozenset(letter for letter, yes in ruled if yes) & set(letters)
    if right and len(ruled) > 1:
        claims.append(_Claim(len(text) - 1, frozenset(right)))
    last = text.rstrip()
    last = last[last.rfind("\n") + 1 :]
    alone = _LAST_LINE.fullmatch(last)
    if alone is not None:
        letter = next(group for group in alone.groups() if group).upper()
        claims.append(_Claim(len(text), frozenset({letter} & set(letters))))
    elif len(last) < 200 and _ONLY_LETTERS.fullmatch(last):
        claims.append(_Claim(len(text), frozenset(re.findall(r"\b[A-Z]\b", last)) & set(letters)))
    return claims


def _glued(text: str, letters: str) -> bool:
    """Whether an answer is several letters without anything between them, as `AB`."""
    return 1 < len(text) <= len(letters) and set(text) <= set(letters)


def _bare(text: str) -> str:
    """A text without what sets its letters off: styles, quotation marks, dollars, brackets."""
    for _ in range(3):
        text = _STYLED.sub(r"\1", text)
    text = _MARKS.sub("", text)
    text = _BRACKETS.sub(r"(\1)", _QUOTED.sub(r"\1", text))
    text = _OTHER_LETTER.sub(lambda found: _OTHER_LETTERS[found[1]], text)
    return _NOT_BUT.sub("", text)
