from afterbase.verify.language.chinese_or_japanese import chinese_or_japanese, speaks_japanese
from afterbase.verify.language.words import sentences


def _each(text: str) -> list[str]:
    read = sentences(text)
    japanese = speaks_japanese(read)
    return [chinese_or_japanese(sentence, japanese) for sentence in read]


def test_kana_tell_and_characters_that_only_one_has() -> None:
    assert _each("今日は学校に行きました。東京都千代田区永田町。") == ["ja", "ja"]
    assert _each("今日は学校に行きました。我今天没有去学校，因为我生病了。") == ["ja", "zh"]
    assert _each("我们去图书馆。") == ["zh"]
    assert _each("鲜の每日水果店开业了") == ["zh"]
    assert _each("駅前広場") == ["ja"]


def test_a_chinese_sentence_may_quote_one_word_of_kana() -> None:
    assert _each("日语里的“ありがとう”是谢谢的意思。") == ["zh"]
    assert _each("中国語の「你好」は「こんにちは」という意味です。") == ["ja"]
