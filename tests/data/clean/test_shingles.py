import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.clean.shingles import Tokens, jaccard, ngrams, sets, tokens

TEXTS = st.lists(st.text(alphabet="abcAB 12.,+-中文字\n\0é", max_size=40), max_size=8)


def spelt(text: str) -> list[str]:
    """The tokens of a text over the alphabet above, one by one."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return re.findall(r"[a-z0-9é]+|[中文字]|[-+]", plain)


def split(of: Tokens) -> list[list[int]]:
    return [part.tolist() for part in np.split(of.hashes, of.offsets[1:-1])] if len(of.offsets) > 1 else []


@given(TEXTS)
def test_tokens_are_equal_where_their_spelling_is(texts):
    hashed = [h for row in split(tokens(texts)) for h in row]
    words = [w for text in texts for w in spelt(text)]
    assert len(hashed) == len(words)
    assert len(set(zip(words, hashed, strict=True))) == len(set(words)) == len(set(hashed))


@given(TEXTS, st.integers(1, 5))
def test_grams_are_those_of_each_text_by_itself(texts, n):
    grams, offsets = ngrams(tokens(texts), n)
    for i, text in enumerate(texts):
        alone, _ = ngrams(tokens([text]), n)
        assert grams[offsets[i] : offsets[i + 1]].tolist() == alone.tolist()
        count = len(spelt(text))
        assert len(alone) == (count - n + 1 if count >= n else min(count, 1))


@given(TEXTS, st.integers(1, 4))
def test_grams_are_equal_where_their_tokens_are(texts, n):
    grams, offsets = ngrams(tokens(texts), n)
    spelling = {}
    for i, text in enumerate(texts):
        words = spelt(text)
        mine = [tuple(words[k : k + n]) for k in range(max(len(words) - n + 1, min(len(words), 1)))]
        for gram, words in zip(grams[offsets[i] : offsets[i + 1]].tolist(), mine, strict=True):
            assert spelling.setdefault(gram, words) == words
    assert len(set(spelling.values())) == len(spelling)


@given(TEXTS)
def test_sets_hold_each_gram_once_and_ascending(texts):
    grams, offsets = ngrams(tokens(texts), 2)
    flat, bounds = sets(grams, offsets)
    for i in range(len(texts)):
        mine = flat[bounds[i] : bounds[i + 1]].tolist()
        assert mine == sorted({g >> 32 for g in grams[offsets[i] : offsets[i + 1]].tolist()})


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("STRASSE", "straße"),
        ("e\u0301te\u0301", "ÉTÉ"),
        ("3 − 4", "3 - 4"),
        ("2×3", "2*3"),
        ("$x$, y!", "x y"),
    ],
)
def test_spellings_of_one_text_are_one(a, b):
    assert split(tokens([a])) == split(tokens([b]))


@pytest.mark.parametrize(("a", "b"), [("3 + 4", "3 - 4"), ("a < b", "a > b"), ("12", "1 2"), ("ab", "ba")])
def test_what_means_something_else_is_another(a, b):
    assert split(tokens([a])) != split(tokens([b]))


def test_words_alone_are_the_tokens_without_operators():
    assert split(tokens(["3 + 4 = 7", "", "a"]).without_operators()) == split(tokens(["3 4 7", "", "a"]))


def test_marks_stay_with_their_letters():
    assert tokens(["हिन्दी में", "ภาษาไทย", "한국어"]).counts().tolist() == [2, 7, 3]


def test_hashes_are_those_of_the_files_that_were_shipped():
    """A change here is a new `HASHES`: older files of benchmark hashes no longer fit."""
    grams, _ = ngrams(tokens(["The quick brown fox, 3 + 4. 因此"]), 3)
    assert [f"{g:016x}" for g in grams[:2].tolist()] == ["1371b7fac394bc14", "aaa801f0986af8f2"]


def test_no_text_has_no_token():
    assert len(tokens([]).hashes) == 0
    assert ngrams(tokens(["", "..."]), 3)[1].tolist() == [0, 0, 0]


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30), min_size=1))
def test_jaccard_is_that_of_the_sets(a, b):
    one, two = (np.array(sorted(s), np.uint32) for s in (a, b))
    assert jaccard(one, two) == len(a & b) / len(a | b)
