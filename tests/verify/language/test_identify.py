import numpy as np

from afterbase.verify.language.identify import SHARED, identifier, languages, particles


def _best(word: str, script: str = "latin") -> set[str]:
    who = identifier(script)
    score, _ = who.word(word)
    return {who.languages[i] for i in np.flatnonzero(score == score.max())}


def test_a_word_is_explained_best_by_its_language() -> None:
    assert "de" in _best("Geschwindigkeit")
    assert "pl" in _best("przyszłość")
    assert "tr" in _best("istiyorum")
    assert "uk" in _best("її", "cyrillic")
    assert "fa" in _best("می‌کنم", "arabic")


def test_no_word_speaks_more_than_its_share() -> None:
    who = identifier("latin")
    for word in ("Geschwindigkeitsbegrenzung", "the", "zzz", "ÀÉÎ"):
        score, known = who.word(word)
        assert score.max() == 0
        assert score.min() >= -15
        assert known.dtype == bool


def test_function_words_are_known_in_all_their_languages_whatever_their_case() -> None:
    who = identifier("latin")
    for word in ("die", "DIE", "Die"):
        _, known = who.word(word)
        assert {"de", "af"} <= {who.languages[i] for i in np.flatnonzero(known)}
    _, elided = who.word("l'eau")
    assert "fr" in {who.languages[i] for i in np.flatnonzero(elided)}


def test_relatives_are_held_to_more() -> None:
    who = identifier("latin")
    da, no, de = (who.languages.index(x) for x in ("da", "no", "de"))
    assert who.apart[da, da] == 0
    assert 0 < who.apart[da, no] < who.apart[da, de] == 1


def test_every_language_of_the_file_is_known_to_the_model() -> None:
    for script in SHARED:
        who = identifier(script)
        assert set(who.languages) <= languages()
    assert {"en", "zh"} - languages() == {"zh"}
    assert "de" in particles()
