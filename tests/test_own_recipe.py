"""The whole recipe on domains of one's own: tables, a reward in Python, teachers, people, and back to the row."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from afterbase.cli import run_recipe
from afterbase.cli.recipes import plan_recipe
from afterbase.core.errors import UserError, Waiting
from afterbase.core.sample import read_samples
from afterbase.core.store import Artifact, Store
from afterbase.data.review.recorded_decisions import Outcome
from afterbase.data.review.review_stage import review_folder
from afterbase.data.review.review_store import open_reviews
from afterbase.eval.held_out import read_answers
from afterbase.eval.score_answers import BY_MODEL
from afterbase.report.trace import trace
from misbehaving import answering, completion, reply

SUMS = [{"q": f"{n} + {4 - n}?", "a": 4, "note": f"sum {n}"} for n in range(-9, 30)]
WORDS = [{"prompt": f"Say word{n}.", "word": f"word{n}", "worked": f"word{n}"} for n in range(30)]
CARDS = [{"prompt": f"Write about thing {n}.", "asked_by": "Ada"} for n in range(30)]
REWARD = "def score(*, answer, row, **context):\n    return 1.0 if row['word'] in answer else 0.25\n"
OWN = """
[sources.sums]
path = "{folder}/sums.jsonl"
verifier = "maths"
columns = {{ prompt = "q", answer = "a" }}
train = 3
test = 1

[sources.words]
path = "{folder}/words.jsonl"
verifier = "{folder}/rewards.py:score"
columns = {{ response = "worked" }}
train = 3
test = 1
[sources.words.teacher]
originals = "gold"
max_new_tokens = 16
endpoint = {{ url = "{url}", model = "speller", first_wait = 0.0, retries = 0 }}

[open.cards]
path = "{folder}/cards.jsonl"
train = 8
test = 1

[open.notes]
path = "{folder}/notes.jsonl"
columns = {{ response = "response" }}
reward = "none"
train = 3
test = 1

[review.cards]
double = 0.5
[review.notes]
double = 0.0

[teacher]
max_new_tokens = 16
endpoint = {{ url = "{url}", model = "m", first_wait = 0.0, retries = 0 }}
"""


def answer(body: dict[str, Any]) -> bytes:
    if not body:
        return reply(200, {"data": [{"id": "m"}, {"id": "speller"}]})  # GET /models
    prompt = body["messages"][-1]["content"]
    if prompt.startswith("Write"):
        return reply(200, completion(f"A card: {prompt}"))
    return reply(200, completion("So it is \\boxed{4}." if body["model"] == "m" else prompt))


def own(micro: Path, url: str) -> Path:
    """The micro recipe on own domains in place of all that are shipped."""
    folder = micro.parent
    for name, rows in (("sums", SUMS), ("words", WORDS), ("cards", CARDS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    notes = [{"prompt": f"Note {n}?", "response": f"Noted {n}."} for n in range(20)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in notes))
    (folder / "rewards.py").write_text(REWARD)
    text = micro.read_text()
    begin, end = text.index("[domains]"), text.index("[expert]")
    micro.write_text(text[:begin] + text[end:] + OWN.format(folder=folder, url=url))
    return micro


def people_review(root: Path) -> None:
    """Ada and Ben: where the prompt's number is even they write the same edit, everything else they accept."""
    reviews = open_reviews(review_folder(root, "micro"), "micro", None)
    for name in ("ada", "ben"):
        reviews.add_reviewer(name, adjudicates=True)
    waiting = {"ada", "ben"}
    while waiting:
        for name in sorted(waiting):
            items = [reviews.next_item(domain, name) for domain in ("cards", "notes")]
            for item in (found for found in items if found is not None):
                prompt = item.messages[0]["content"]
                even = prompt.startswith("Write") and int(prompt.rstrip(".").split()[-1]) % 2 == 0
                edited = f"Better: {prompt}" if even else None
                reviews.give(item.id, name, Outcome.EDIT if even else Outcome.ACCEPT, reason="good", edited=edited)
            waiting -= {name} if items == [None, None] else set()


def made(root: Path, name: str) -> Artifact:
    """The artifact of that name in the run."""
    run = json.loads((root / "runs/micro/run.json").read_text())
    [key] = {stage["key"] for stage in run["stages"] if stage["name"] == name}
    found = Store(root / "store").find(key, name)
    assert found is not None
    return found


def told(root: Path, identifier: str) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(trace(identifier, store=Store(root / "store"), runs=root / "runs"))
    return console.export_text()


def test_own_domains_go_through_the_whole_recipe_and_lead_back_to_their_rows(micro, tmp_path, capsys):
    root = tmp_path / "root"
    with answering(answer) as server:
        recipe = own(micro, server.url)
        with pytest.raises(Waiting, match="people review the cards drafts"):
            run_recipe.run(recipe, root)
        assert {body["model"] for body in server.requests if body} == {"m", "speller"}
        assert "unfinished" in (root / "runs/micro/run.json").read_text()
    people_review(root)
    run_recipe.run(recipe, root)  # the teachers are gone, and what they wrote is there
    plan_recipe.plan(recipe, root)
    assert "are cached: nothing to run" in capsys.readouterr().out
    summary = json.loads((root / "runs/micro/run.json").read_text())
    named = {row["domain"] for row in summary["evaluations"]}
    assert named == {"sums", "words", f"cards{BY_MODEL}"}  # what nothing rewards has no numbers
    assert {example["domain"] for example in summary["examples"]} == {*named, "notes"}
    _drafts_lead_to_people_and_pairs(root)
    _answers_lead_to_their_rows(root)


def _drafts_lead_to_people_and_pairs(root: Path) -> None:
    reviewed = read_samples(made(root, "cards review").payload / "samples.parquet")
    assert {v.verifier for s in reviewed for v in s.verdicts} == {"review:ada", "review:ben"}
    pairs = pq.read_table(made(root, "all preference pairs").payload / "pairs.parquet").to_pylist()
    edited = [s for s in reviewed if s.dropped is None and s.response.startswith("Better: ")]
    assert {(row["chosen"], row["source"], row["domain"]) for row in pairs} == {
        (s.response, "edit", "cards") for s in edited
    }
    accuracy = json.loads((made(root, "reward model").payload / "accuracy.json").read_text())
    assert accuracy["by_domain"].keys() == {"cards"}
    grpo = made(root, "GRPO")
    assert "notes problems" not in {source["name"] for source in grpo.manifest["inputs"].values()}


def _answers_lead_to_their_rows(root: Path) -> None:
    for stage, table, column in (
        ("evaluate GRPO on words", "words.jsonl", "word: 'word"),
        ("score GRPO on cards", "cards.jsonl", "asked_by: 'Ada'"),
    ):
        lines = told(root, read_answers(made(root, stage))[0]["id"])
        assert re.search(rf"from (row|line) \d+ of \S*{table}", lines.replace("\n", " "))
        assert column in lines
    sample = read_samples(made(root, "cards review").payload / "samples.parquet")[0]
    assert "cards.jsonl" in told(root, sample.id)


def test_a_reward_model_without_pairs_is_refused_before_anything_is_made(micro, tmp_path):
    recipe = own(micro, "http://127.0.0.1:9/v1")
    recipe.write_text(recipe.read_text().replace("[review.cards]\ndouble = 0.5\n", ""))
    with pytest.raises(UserError, match="a reward model learns from pairs of each open domain"):
        run_recipe.run(recipe, tmp_path / "root")
    assert not (tmp_path / "root/store").exists()
