"""Problems made anew: their own right answers are right, and another seed makes others."""

from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.mathematics import fresh


def test_right_answers_are_right_and_seeds_differ():
    items = fresh.items(Folder(None, 1))
    assert len(items) == len(fresh.FAMILIES) * fresh.EACH
    first = items[: len(fresh.FAMILIES)]
    assert [item.id.partition("/")[0] for item in first] == list(fresh.FAMILIES)
    marks = fresh.score([(item, item.right or "") for item in first])
    assert [mark.value for mark in marks] == [1.0] * len(first)
    assert all(mark.value == 0 and mark.reason == "no_answer" for mark in fresh.score([(item, "") for item in first]))
    prompts = {item.prompt for item in items}
    assert prompts == {item.prompt for item in fresh.items(Folder(None, 1))}
    assert len(prompts & {item.prompt for item in fresh.items(Folder(None, 2))}) < len(prompts) / 4
