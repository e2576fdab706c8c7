"""A whole recipe on a table, whose drafts an endpoint writes: planned, run, and run again without the endpoint."""

import json
from pathlib import Path
from typing import Any

import pytest

from afterbase.cli import audit, run_recipe
from afterbase.cli.recipes import plan_recipe
from afterbase.core.errors import UserError
from afterbase.core.sample import read_samples
from afterbase.core.store import Store
from afterbase.rollout.endpoint.request_cache import RequestCache
from misbehaving import answering, completion, reply

TEACHER = """
[sources.sums]
path = "{table}"
licence = "MIT"
verifier = "maths"
columns = {{ prompt = "q", answer = "a" }}
train = 3
test = 1

[teacher]
temperature = 0.5
max_new_tokens = 16
max_cost = 1.0
[teacher.endpoint]
url = "{url}"
model = "m"
first_wait = 0.0
retries = 0
[teacher.price]
prompt = 1.0
completion = 10.0
"""


def answer(body: dict[str, Any]) -> bytes:
    if not body:
        return reply(200, {"data": [{"id": "m"}]})  # GET /models
    return reply(200, completion("So it is \\boxed{4}.", reasoning_content="Two and two."))


def taught(micro: Path, url: str) -> Path:
    """The micro recipe with a teacher, and a table beside it."""
    table = micro.with_name("t.jsonl")
    table.write_text("".join(json.dumps({"q": f"{n} + {4 - n}?", "a": 4}) + "\n" for n in range(-9, 30)))
    text = micro.read_text()
    for domain in ("arithmetic", "code"):
        text = text.replace(f"{domain} = {{ train = 2, test = 1 }}\n", "")
    micro.write_text(text + TEACHER.format(table=table, url=url))
    return micro


def test_a_run_asks_the_teacher_once(micro, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    root = tmp_path / "root"
    with answering(answer) as server:
        recipe = taught(micro, server.url)
        plan_recipe.plan(recipe, root)
        assert "The teacher gets 6 requests: about 600 tokens of prompts, at most 96 of answers" in (
            told := capsys.readouterr().out
        )
        assert "at most 0.00 USD; the run stops at 1 in all (`max_cost`)" in told
        run_recipe.run(recipe, root)
        assert len([body for body in server.requests if body]) == 6
    run_recipe.run(recipe, root)  # all is there, and the teacher is gone
    plan_recipe.plan(recipe, root)
    assert "The teacher gets 0 requests" in capsys.readouterr().out
    summary = json.loads((root / "runs/micro/run.json").read_text())
    assert {entry["domain"] for entry in summary["evaluations"]} == {"sums", "chat"}
    store = Store(root / "store")
    [key] = [stage["key"] for stage in summary["stages"] if stage["name"] == "sums drafts"]
    drafts = store.find(key, "sums drafts")
    assert drafts is not None
    samples = read_samples(drafts.payload / "samples.parquet")
    assert len(samples) == 6
    assert all(s.dropped is None and s.response.startswith("<think>\nTwo and two.") for s in samples)
    with RequestCache(root / "store/requests.sqlite") as cache:
        assert cache.spent("micro").requests == 6


def test_a_broken_row_is_told_before_anything_is_asked_or_trained(micro, tmp_path):
    with answering(answer) as server:
        recipe = taught(micro, server.url)
        with micro.with_name("t.jsonl").open("a") as table:
            table.write('{"q": "1 + 3?"}\n')
        with pytest.raises(UserError, match="every row of a table") as raised:
            run_recipe.run(recipe, tmp_path / "root")
        assert server.requests == []
    assert "line 40" in raised.value.got
    assert not list((tmp_path / "root").glob("store/*/manifest.json"))


def test_a_teacher_that_is_not_there_is_told_before_anything_is_trained(micro, tmp_path):
    recipe = taught(micro, "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="answers before a run"):
        run_recipe.run(recipe, tmp_path / "root")
    made = [json.loads(path.read_text())["stage"] for path in (tmp_path / "root").glob("store/*/manifest.json")]
    assert made == ["sources"]


def test_the_audit_counts_tables_too(micro):
    audited = audit.audit(taught(micro, "http://127.0.0.1:9/v1"))
    assert (audited["sums"]["n"], audited["sums"]["rejected"]) == (4, 0)
