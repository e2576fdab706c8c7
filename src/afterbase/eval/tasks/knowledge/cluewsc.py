"""CLUEWSC (Xu et al. 2020, arXiv 2004.05986): whether a Chinese pronoun means a given person or thing.

The file is FewCLUE's public test split, 976 sentences. No examples; the wording is ours.
"""

import re
from typing import Literal

from pydantic import BaseModel

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.task import Answered, Item, Mark, Task

SOURCE = Source(
    file="cluewsc_test_public.jsonl",
    otherwise="datasets/cluewsc/test_public.json of github.com/CLUEbenchmark/FewCLUE, which is JSONL",
)
_PROMPT = """请阅读下面的句子：

{text}

句中（第 {place} 个字处）的代词“{pronoun}”指的是“{noun}”吗？可以先分析，最后一行写“答案：是”或“答案：否”。"""
_NAMED = re.compile(r"(?:答案|回答|结论)[\s:：*“\"为是]*?(不是|不指|是|否|错误|正确|错|对)(?![^\n。]*?[吗？])")
_ALONE = re.compile(r"^[\s*“\"]*(不是|不指|是|否|错误|正确|错|对)(?:的)?[\s*”\".。，,!！]", re.MULTILINE)
_YES = ("是", "正确", "对")


class Span(BaseModel):
    """The noun and the pronoun, with their places in the text."""

    span1_text: str
    span2_text: str
    span2_index: int


class Row(BaseModel):
    """One sentence; `label` says whether the pronoun means the noun."""

    idx: int
    target: Span
    label: Literal["true", "false"]
    text: str


def verdict(response: str) -> str | None:
    """是 or 否, as the response last says; None where it says neither."""
    said = _NAMED.findall(response) or _ALONE.findall(f"{response.strip()}\n")
    return None if not said else "是" if said[-1] in _YES else "否"


def score(answered: Answered) -> list[Mark]:
    marks = []
    for item, response in answered:
        said = verdict(response)
        right = said == item.gold
        marks.append(Mark(float(right), said, "match" if right else "no_answer" if said is None else "mismatch"))
    return marks


def items(folder: Folder) -> list[Item]:
    made = []
    for row in folder.rows(SOURCE, Row):
        gold = "是" if row.label == "true" else "否"
        target = row.target
        prompt = _PROMPT.format(
            text=row.text, place=target.span2_index + 1, pronoun=target.span2_text, noun=target.span1_text
        )
        made.append(
            Item(id=str(row.idx), prompt=prompt, question=row.text, gold=gold, right=f"看上下文。\n答案：{gold}")
        )
    return made


TASK = Task(
    title="CLUEWSC",
    sources=(SOURCE,),
    licence="none stated (FewCLUE)",
    metric="exact_match",
    items=items,
    score=score,
)
