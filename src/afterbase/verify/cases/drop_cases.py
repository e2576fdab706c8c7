"""How well the DROP metric agrees with a file of published scores: what `afterbase verify drop` tells."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from afterbase.core.rows import read_rows
from afterbase.verify.drop import drop_score


class Case(BaseModel):
    """A prediction and a right answer, each a span or several, with the expected exact match (0 or 1) and F1 (%)."""

    prediction: str | list[str]
    gold: str | list[str]
    em: float
    f1: float


def agreement(path: Path) -> dict[str, Any]:
    """{n, agree, disagreements}: the rows where either number differs, with what was computed."""
    rows = read_rows(path, Case)
    scores = [drop_score(row.prediction, row.gold) for row in rows]
    wrong = [
        {**row.model_dump(), "computed": score._asdict()}
        for row, score in zip(rows, scores, strict=True)
        if (row.em, row.f1) != score
    ]
    return {"n": len(rows), "agree": len(rows) - len(wrong), "disagreements": wrong}
