import json
import re
from pathlib import Path

import pytest

from afterbase.data.clean.scripts import mixed, two_scripts


@pytest.mark.parametrize(
    "text",
    [
        "So we get x=3. 因此答案是 3",
        "我们先算总数。Then we subtract the others, and 答案是 5。",
        "Ответ очень простой потому, that is what we want here.",
        "لذلك فإن الجواب هو ثلاثة, so the answer is three",
        "答案は三です、ほんとうに。 Это совсем другой ответ.",
    ],
)
def test_two_languages_in_one_answer_are_told(text):
    assert two_scripts(text)


@pytest.mark.parametrize(
    "text",
    [
        "Plain English, with a naïve café in it.",
        "因此答案是 3，使用 Python 和 Machine Learning Systems 的方法。",
        "The word 中国 means China, and 茶 means tea; it is easy to say.",
        "我们用代码：```python\nfor every word in the list: print(word)\n```因此答案是三。",
        "设 $x \\text{ is any of the real numbers}$，因此答案是三。",
        "Let α, β and γ be the angles of it; π is not one of them.",
        "Это ответ на вопрос про HTTP и TCP.",
        "因此答案是三 https://example.com/that/is/not/chinese",
        "",
    ],
)
def test_terms_names_code_and_mathematics_are_no_second_language(text):
    assert not two_scripts(text)


def test_no_text_in_two_languages_of_two_scripts_is_passed_over():
    """Against the cases of `verify`; those of one script are asked for by themselves."""
    missed = 0
    for line in (Path(__file__).parents[2] / "verify/language/languages.jsonl").read_text().splitlines():
        case = json.loads(line)
        if case["language"] == "mixed":
            assert mixed(case["text"], one_script_too=True)
            missed += not mixed(case["text"])
            assert mixed(case["text"]) or not _scripts(case["text"]) > 1
        else:
            assert not mixed(case["text"])
    assert missed, "the cases hold some of one script"


def _scripts(text: str) -> int:
    """How many of Latin, Cyrillic, Arabic, and Chinese with Japanese and Korean a text has letters of."""
    blocks = [r"[a-zA-Z]", r"[\u0400-\u04ff]", r"[\u0600-\u06ff]", r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]"]
    return sum(re.search(block, text) is not None for block in blocks)
