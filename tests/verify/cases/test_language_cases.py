import json
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.verify.cases.language_cases import languages


def test_one_language_a_line_in_order(tmp_path: Path) -> None:
    texts = ["The answer is three.", "答案是三。", "So we get it. 因此答案是三。", "$x$"]
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": 1}) + "\n" for text in texts))
    assert languages(path) == {"results": [{"language": x} for x in ("en", "zh", "mixed", "none")]}


def test_a_row_without_a_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text('{"text": "a"}\n{"words": "b"}\n')
    with pytest.raises(UserError, match="line 2"):
        languages(path)
