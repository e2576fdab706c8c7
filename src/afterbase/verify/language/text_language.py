"""In which language a text is written, and whether it is one: code and mathematics are out (`prose.py`).

A text is `mixed` if it holds a clause in a second language: four words, or six CJK characters. A clause is a run of
words that no word of the main language breaks, inside one sentence. A name or a title is none, however long, nor is an
English term: a run that is written as titles are, or is short, English and without a function word. A sentence that is
all in one language counts a number or formula in it as one word more: "因此答案是 3" is six.

A language that is not in the table (`verify/language/languages.toml`) looks like some neighbour in it. So where few of
a text's words are function words of the language found, and py3langid, which knows more languages, finds another one
for them, or next to none is, there is no language (`none`).

The share of target-language words is the language-consistency reward of DeepSeek-R1 (arXiv 2501.12948, section 2.3.2).

Does not cover: texts that switch language every two words without a clause in either, romanised writing.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

from afterbase.verify.language.identify import FORMS, SHARED, best_of_all, particles
from afterbase.verify.language.prose import prose
from afterbase.verify.language.spoken import NAME, Spoken, Word, spoken
from afterbase.verify.language.words import UNSPACED, sentences

CLAUSE_WORDS = 4
CLAUSE_CJK = 6

_AROUND, _FUNCTION = 0.3, 0.4  # shares of all words and of function words in a language around a clause
_ENOUGH, _MOST = 6, 1000  # words that a language is doubted by
_SURE, _NEXT_TO_NONE = 0.4, 0.1  # shares of function words among them
_TERM = 5  # words of the longest English term


def language(text: str) -> str:
    """An ISO 639-1 code, `mixed`, or `none` where there is no natural language."""
    said = spoken(text)
    mains = _mains(said)
    if not mains or not _borne_out(said, mains[0]):
        return "none"
    for main in mains:
        if any(_foreign_clause(sentence, main) for sentence in said) or _foreign_sentences(said, main):
            return "mixed"
    return mains[0]


def consistency(text: str, target: str) -> float | None:
    """Share of a text's words that are in the target language, each CJK character one word; None without words. The
    time is linear, and of a very long text the first `prose.LONGEST` characters are read.

    Single capitals and acronyms are names in every language and are left out.
    """
    counts: dict[str, float] = defaultdict(float)
    said = spoken(text)
    mains = _mains(said)
    if mains and mains[0] == target and not _borne_out(said, target):
        return 0.0
    for sentence in said:
        for word in sentence:
            if word is not None and not _neutral(word):
                counts[word.language] += len(word.text) if word.script in ("han", "kana") else word.size
    total = sum(counts.values())
    return counts.get(target, 0.0) / total if total else None


def script_shares(text: str) -> list[dict[str, float]]:
    """For each sentence, the share of its letters that each script has."""
    out = []
    for sentence in sentences(prose(text)):
        letters = Counter()
        for kind, token in sentence:
            if kind not in ("thing", "clause"):
                letters[kind] += len(token)
        out.append({script: n / letters.total() for script, n in letters.items()})
    return out


def _neutral(word: Word) -> bool:
    return word.script == "latin" and word.text.isupper() and len(word.text) <= 5


def _borne_out(said: Sequence[Spoken], main: str) -> bool:
    """Whether its function words, or py3langid, confirm a language of a shared script; a few words need no proof."""
    words = [
        word
        for sentence in said
        for word in sentence
        if word is not None and word.language == main and word.script in SHARED and not word.name
    ]
    share = sum(word.known for word in words) / len(words) if len(words) >= _ENOUGH else 1.0
    if share >= _SURE:
        return True
    return share >= _NEXT_TO_NONE and best_of_all(" ".join(word.text for word in words[:_MOST])) in FORMS.get(
        main, (main,)
    )


# --- clauses --------------------------------------------------------------------------------------------------------


def _mains(said: Sequence[Spoken]) -> list[str]:
    """The language with the most words, and each that has so many that it too may be the one around a clause.

    Latin words among which is no function word are names and terms, and count half.
    """
    weight: dict[str, float] = defaultdict(float)
    words: Counter[str] = Counter()
    known: Counter[str] = Counter()
    for sentence in said:
        for word in sentence:
            if word is not None:
                weight[word.language] += word.size * (NAME if word.name else 1)
                words[word.language] += 1
                known[word.language] += word.known or word.script != "latin"
    for lang in weight:
        weight[lang] *= 1.0 if known[lang] else 0.5
    by_weight = sorted(weight, key=lambda lang: -weight[lang])
    enough = max(CLAUSE_WORDS, _AROUND * sum(weight.values()))
    also = [x for x in by_weight[1:] if weight[x] >= enough and known[x] >= max(2, _FUNCTION * words[x])]
    return by_weight[:1] + also


def _foreign_clause(sentence: Spoken, main: str) -> bool:
    words = [word for word in sentence if word is not None]
    if all(word.language == main for word in words):
        return False
    alone = all(word.language == words[0].language for word in words)
    run: list[Word] = []
    for word in [*words, None]:
        if run and (word is None or word.language != run[0].language):
            more = int(alone and len(words) < len(sentence))
            if run[0].language != main and _is_clause(run, more, alone):
                return True
            run = []
        if word is not None:
            run.append(word)
    return False


def _foreign_sentences(said: Sequence[Spoken], main: str) -> bool:
    """Whether short sentences that are all in a second language make a clause together."""
    whole: dict[str, list[Word]] = defaultdict(list)
    for sentence in said:
        words = [word for word in sentence if word is not None]
        if {word.language for word in words} == {words[0].language} != {main} and _more_than_a_term(words):
            whole[words[0].language] += words
    return any(_is_clause(words, 0, True) for words in whole.values())


def _more_than_a_term(words: list[Word]) -> bool:
    return sum(word.size for word in words) >= 2 and any(word.known for word in words)


def _is_clause(run: list[Word], more: int, whole: bool) -> bool:
    """Whether a run of one language is a clause; if it is a `whole` sentence, `more` things in it count with it."""
    if run[0].script == "latin" and not any(word.known for word in run):
        run = [word for word in run if not _neutral(word)]
        if not run:
            return False
    if run[0].script in ("han", "kana"):
        characters = sum(len(word.text) for word in run)
        return characters + more >= CLAUSE_CJK and any(word.script == "han" or _hiragana(word.text) for word in run)
    if run[0].script in UNSPACED:
        return sum(word.size for word in run) >= CLAUSE_WORDS
    if run[0].script == "hangul":
        syllables = sum(len(word.text) for word in run)
        return len(run) + more >= CLAUSE_WORDS or (len(run) > 1 and syllables + more >= CLAUSE_CJK)
    if len(run) + more < CLAUSE_WORDS:
        return False
    if _like_a_title(run):
        return False
    # English terms stand in all languages: "group relative policy optimization" is one, "so we get this" is none.
    return whole or run[0].language != "en" or len(run) > _TERM or any(word.known for word in run)


def _hiragana(text: str) -> bool:
    return any("\u3041" <= c <= "\u309f" for c in text)


def _like_a_title(run: list[Word]) -> bool:
    """Whether all its words but articles and prepositions have capitals, and it is not in capitals throughout."""
    small = particles()
    words = [word.text for word in run if word.text.lower() not in small]
    return all(text[0].isupper() for text in words) and not all(word.text.isupper() for word in run)
