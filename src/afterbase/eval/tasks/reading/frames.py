"""FRAMES (Krishna et al. 2024, arXiv 2409.12941): 824 questions over several Wikipedia articles; a judge compares.

The report reads it as a test of long contexts, with the articles in the prompt. The hub's rows have links alone, so
the file has to bring the texts; asked without them it would be another benchmark.
"""

from pydantic import BaseModel, Field

from afterbase.eval.tasks.benchmark_rows import Folder, Source
from afterbase.eval.tasks.knowledge.judged_answers import JUDGING, item
from afterbase.eval.tasks.task import Item, Task, reworded

SOURCE = Source(
    file="frames.jsonl",
    otherwise="the rows of google/frames-benchmark on the hub (Prompt, Answer), each with the texts behind its "
    "wiki_links as a list `articles`",
)
_PROMPT = """{articles}

Use the articles above to answer this question. Reason step by step, then give the answer.

{question}"""


class Row(BaseModel):
    """A question, its answer, and the texts of its articles."""

    Prompt: str
    Answer: str
    articles: list[str] = Field(min_length=1)


def items(folder: Folder) -> list[Item]:
    made = []
    for place, row in enumerate(folder.rows(SOURCE, Row)):
        articles = "\n\n".join(f"Article {i}\n{text.strip()}" for i, text in enumerate(row.articles, start=1))
        prompt = _PROMPT.format(articles=articles, question=row.Prompt.strip())
        made.append(item(str(place), row.Prompt, row.Answer, prompt=prompt))
    return made


TASK = Task(
    title="FRAMES",
    sources=(SOURCE,),
    licence="Apache-2.0",
    metric="accuracy",
    items=items,
    score=JUDGING,
    twins={"words": reworded},
)
