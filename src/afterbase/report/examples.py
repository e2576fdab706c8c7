"""Which answers the page shows: every checkpoint's on the same problem, and rollouts where nothing was evaluated."""

import json
from collections.abc import Sequence
from typing import Any

from afterbase.core.sample import Status
from afterbase.core.store import Artifact
from afterbase.report.summary import Example, ExampleAnswer, Turned
from afterbase.report.table import label

_EXAMPLES, _FEWEST = 10, 3  # problems shown in all, and of each domain at least
_ROLLOUTS = 3  # problems of which sampled answers are shown

Answers = dict[str, dict[str, Any]]  # of one problem, by the name of the checkpoint


def examples(rows: Sequence[dict]) -> list[Example]:
    """Problems of each domain with every checkpoint's greedy answer.

    The first whose verdict changed from the base to the final model comes first: one that turned right, one that turned
    wrong, and then the problems in their order.
    """
    found = []
    domains = _greedy(rows)
    for domain, problems in domains.items():
        first = [_first(problems, gained=True), _first(problems, gained=False)]
        order = list(dict.fromkeys([*(problem for problem in first if problem is not None), *problems]))
        for problem in order[: max(_FEWEST, _EXAMPLES // len(domains))]:
            answers = problems[problem]
            prompt = next(iter(answers.values()))["prompt"]
            shown = [_answer(name, row) for name, row in answers.items()]
            found.append(Example(domain=domain, prompt=prompt, answers=shown))
    return found


def turned(rows: Sequence[dict]) -> list[Turned]:
    """How many greedy verdicts changed from the base to the final model, and which way; of judged answers alone."""
    found = []
    for domain, problems in _greedy(rows).items():
        verdicts = [ends for answers in problems.values() if (ends := _ends(answers)) is not None]
        if verdicts:
            gained = sum(not before and after for before, after in verdicts)
            lost = sum(before and not after for before, after in verdicts)
            found.append(Turned(domain=domain, n=len(verdicts), gained=gained, lost=lost))
    return found


def rollouts(trained: Artifact) -> list[Example]:
    """Answers sampled in GRPO: of problems that were drawn early and late, else of the first and of the last step."""
    path = trained.payload / "samples.jsonl"
    if not path.is_file():
        return []
    notes = [json.loads(line) for line in path.read_text().splitlines()]
    half = len(notes) // 2
    late = {note["prompt"]: note for note in notes[half:]}
    pairs = [[note, late[note["prompt"]]] for note in notes[:half] if note["prompt"] in late][:_ROLLOUTS]
    ends = [[notes[at]] for at in dict.fromkeys((0, len(notes) - 1))]
    return [
        Example(domain=shown[0]["domain"], prompt=shown[0]["prompt"], answers=[_sampled(note) for note in shown])
        for shown in pairs or ends
    ]


def _greedy(rows: Sequence[dict]) -> dict[str, dict[str, Answers]]:
    """Greedy answers by domain, problem and checkpoint, in the order of the rows."""
    found: dict[str, dict[str, Answers]] = {}
    for row in rows:
        if row["decoding"] == "greedy":
            name = label(row["checkpoint"], row["system_prompt"])
            found.setdefault(row["domain"], {}).setdefault(row["problem_id"], {})[name] = row
    return found


def _ends(answers: Answers) -> tuple[bool, bool] | None:
    """Whether the first and the last checkpoint were right; None where one of them has no verdict, or is alone."""
    statuses = [row["status"] for row in answers.values()]
    if len(statuses) < 2 or Status.FAILED in (statuses[0], statuses[-1]):
        return None
    return statuses[0] == Status.OK, statuses[-1] == Status.OK


def _first(problems: dict[str, Answers], *, gained: bool) -> str | None:
    wanted = (not gained, gained)
    return next((problem for problem, answers in problems.items() if _ends(answers) == wanted), None)


def _answer(name: str, row: dict[str, Any]) -> ExampleAnswer:
    return ExampleAnswer(
        checkpoint=name, text=row["text"], status=row["status"], reason=row["reason"], tokens=row["tokens"]
    )


def _sampled(note: dict[str, Any]) -> ExampleAnswer:
    answer = note["answers"][0]
    reward = "no reward" if answer["reward"] is None else f"reward {answer['reward']:.2f}"
    return ExampleAnswer(
        checkpoint=f"step {note['step']}", text=answer["text"], status="scored", reason=reward, tokens=None
    )
