"""Files of texts with the language that each is found to be in."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from afterbase.core.rows import read_rows
from afterbase.verify.language.text_language import language


class Case(BaseModel):
    """One text; other fields are passed over."""

    text: str


def languages(path: Path) -> dict[str, Any]:
    """{results: [{language}]}, one for each line and in its order."""
    return {"results": [{"language": language(case.text)} for case in read_rows(path, Case)]}
