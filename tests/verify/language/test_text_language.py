import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.verify.language.identify import languages
from afterbase.verify.language.text_language import consistency, language, script_shares

CASES = [
    json.loads(line) for line in Path(__file__).with_name("languages.jsonl").read_text(encoding="utf-8").splitlines()
]
CODES = languages() | {"zh", "ja"}
CHAIN = "First we note that the triangle is right-angled, so its area is half of the product of the two sides. "


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"][:40].encode("unicode_escape").decode())
def test_language(case: dict[str, str]) -> None:
    assert language(case["text"]) == case["language"]


@pytest.mark.parametrize("expected", sorted({c["language"] for c in CASES} - {"mixed", "none"}))
def test_mathematics_code_and_numbers_change_nothing(expected: str) -> None:
    longest = max((c["text"] for c in CASES if c["language"] == expected), key=len)
    around = (
        "$$\\int_0^\\infty e^{-x}\\,dx = 1$$\n" + longest + "\n```python\nprint('das ist ein Satz auf Deutsch')\n```\n"
    )
    assert language(around + "https://example.com/ein/langer/weg 3.14") == expected


def test_a_clause_is_six_characters_or_four_words() -> None:
    assert language(CHAIN + "这里面积是 " + CHAIN) == "en"
    assert language(CHAIN + "这里面积是六 " + CHAIN) == "mixed"
    assert language(CHAIN + "потому что это " + CHAIN) == "en"
    assert language(CHAIN + "потому что это верно " + CHAIN) == "mixed"
    assert language("首先计算三角形的面积，" + "so we get " + "然后得到结果，这是一个直角三角形。") == "zh"
    assert language("首先计算三角形的面积，" + "so we get this " + "然后得到结果，这是一个直角三角形。") == "mixed"


def test_a_clause_is_seen_anywhere_in_a_long_chain() -> None:
    for place in (0, 7, 40):
        chain = [CHAIN] * 40
        chain.insert(place, "因此三角形的面积是十二。")
        assert language("".join(chain)) == "mixed"
        chain[place] = "Por lo tanto, el área del triángulo es igual a doce. "
        assert language("".join(chain)) == "mixed"


def test_consistency_counts_words_and_each_cjk_character() -> None:
    assert consistency("we get it", "en") == 1.0
    assert consistency("we get 三 of them", "en") == pytest.approx(4 / 5)
    assert consistency("因此答案是三", "zh") == 1.0
    assert consistency("因此答案是三", "en") == 0.0
    assert consistency("$x = 3$ `nothing here`", "en") is None
    assert consistency("这里 GPU 很快", "zh") == 1.0  # an acronym is in no language


def test_scripts_are_measured_by_sentence() -> None:
    first, second = script_shares("So we get $x$. 答案是 yes.")
    assert first == {"latin": 1.0}
    assert second == {"han": 0.5, "latin": 0.5}


@given(st.text())
def test_every_text_has_an_answer(text: str) -> None:
    assert language(text) in CODES | {"mixed", "none"}
    share = consistency(text, "en")  # 0 where the words are of a language that is not supported
    assert share is None or 0 <= share <= 1


@pytest.mark.parametrize(
    "unit", ["{", "$", "\\(", "`", "<a ", "[", '{"a":', "\\frac{", "a_", "a.", "=", "(", "的", "x=", "''"]
)
def test_hostile_repetition_is_read(unit: str) -> None:
    assert language(unit * 5_000) in CODES | {"mixed", "none"}


@pytest.mark.parametrize(
    "text",
    [
        "Ẹ káàárọ̀, báwo ni ẹ ṣe wà? Mo fẹ́ kí ẹ ràn mí lọ́wọ́ láti yanjú ìṣòro yìí.",  # Yoruba
        "Impendulo ilungile ngoba sihlukanise izinombolo ezintathu ngokulinganayo.",  # Zulu
        "Na nga def? Dama bëgga xam naka laay defaree liggéey bi ci kër gi.",  # Wolof
        "Amsar ita ce hudu saboda mun raba goma sha biyu zuwa kashi uku.",  # Hausa
        "Салам, бүгүн кандайсыз? Мен сизден бул маселени чечүүгө жардам сурайм.",  # Kyrgyz
    ],
)
def test_a_language_that_is_not_in_the_table_is_none(text: str) -> None:
    assert language(text) == "none"


@pytest.mark.parametrize("unit", ["٣", "٣,", "٣+", "٣ ", "३", "3"])
def test_long_numbers_are_read_in_linear_time(unit: str) -> None:
    """Read anew from each digit, this is not done within the hour."""
    assert consistency(f"We get {unit * 100_000} of them", "en") == 1.0
