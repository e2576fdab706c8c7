from afterbase.verify.language.spoken import spoken


def _languages(text: str) -> list[list[str | None]]:
    return [[word and word.language for word in sentence] for sentence in spoken(text)]


def test_each_word_has_a_language_and_a_number_none() -> None:
    assert _languages("We get 3. 答案是三。") == [["en", "en", None], ["zh"]]


def test_one_stretch_of_a_sentence_may_be_in_another_language() -> None:
    (first,) = _languages('She told me "no me gusta este lugar" and we went home.')
    assert first == ["en"] * 3 + ["es"] * 5 + ["en"] * 4


def test_or_what_stands_around_it() -> None:
    (first,) = _languages('He shouted "ich habe keine Zeit mehr" and ran off.')
    assert first == ["en"] * 2 + ["de"] * 5 + ["en"] * 3


def test_between_two_languages_a_third_is_not_taken() -> None:
    assert _languages("Я люблю читати книжки. Где се налази најближа станица?") == [["uk"] * 4, ["sr"] * 5]


def test_names_weigh_less() -> None:
    (first,) = spoken("She studied at the Universidad Nacional Autónoma de México.")
    assert [word.name for word in first if word] == [False] * 4 + [True] * 5


def test_a_run_without_spaces_is_as_many_words_as_its_length_tells() -> None:
    ((run,),) = spoken("今天天气很好我们去")
    assert run is not None
    assert 4 < run.size < 7
