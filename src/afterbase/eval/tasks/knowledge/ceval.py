"""C-Eval (Huang et al. 2023, arXiv 2305.08322): Chinese examinations, the 1,346 questions of the validation split.

The labels of the test split are not public. No examples, under the creators' heading; the model may reason first.
"""

from pydantic import BaseModel, field_validator

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.multiple_choice import Choice, item_of, listed, place_of, scored, twin
from afterbase.eval.tasks.task import Item, Task

SOURCE = Source(
    file="ceval_val.jsonl",
    otherwise="the 52 subjects of ceval/ceval-exam on the hub, split `val`, as one JSONL file with a field `subject`",
)
_PROMPT = """下面是中国考试中的一道单项选择题。请先逐步分析，\
最后一行写“答案：X”，其中 X 是唯一正确选项的字母（A、B、C 或 D）。

{question}

{options}"""


class Row(BaseModel):
    """A row of the creators' files, with its subject; their ids begin again in each subject."""

    id: int | str
    question: str
    A: str
    B: str
    C: str
    D: str
    answer: str
    subject: str

    @field_validator("answer")
    @classmethod
    def _is_letter(cls, answer: str) -> str:
        place_of(answer, "ABCD", "answer")
        return answer.strip()


def item(name: str, choice: Choice) -> Item:
    prompt = _PROMPT.format(question=choice.question.strip(), options=listed(choice.options, "{}. {}"))
    return item_of(name, prompt, choice, f"由题意可知。\n答案：{choice.letter}")


def items(folder: Folder) -> list[Item]:
    return [
        item(f"{row.subject}/{row.id}", Choice(row.question, (row.A, row.B, row.C, row.D), "ABCD".index(row.answer)))
        for row in folder.rows(SOURCE, Row)
    ]


TASK = Task(
    title="C-Eval",
    sources=(SOURCE,),
    licence="CC BY-NC-SA 4.0",
    metric="exact_match",
    items=items,
    score=scored,
    twins={"options": twin(item)},
)
