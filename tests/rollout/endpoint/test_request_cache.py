"""The request cache: keys by content, answers that outlive `kill -9`, several processes on one place, paid once."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.rollout.endpoint.budget import Spent
from afterbase.rollout.endpoint.request_cache import RequestCache, canonical, request_key
from postgres import postgres

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
BODIES = st.dictionaries(st.text(), VALUES, max_size=4)


@pytest.fixture(scope="module")
def database():
    with postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def place(request, tmp_path) -> str:
    """Where a cache may lie; the database is the same in all tests."""
    return request.getfixturevalue("database") if request.param == "postgres" else str(tmp_path / "c.sqlite")


def other_process(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)], text=True, stdout=subprocess.PIPE, env=environment
    )


@given(body=BODIES)
def test_canonical_json_is_the_value_and_ignores_the_order_of_keys(body):
    text = canonical(body)
    assert json.loads(text) == body
    assert text.isascii()
    assert canonical(dict(reversed(list(body.items())))) == text
    assert canonical(json.loads(text)) == text


@given(one=BODIES, other=BODIES, sample=st.integers(0, 3), place=st.integers(0, 3))
def test_keys_are_equal_where_requests_and_places_are(one, other, sample, place):
    same = canonical(one) == canonical(other) and sample == place
    assert (request_key(one, sample) == request_key(other, place)) == same


def test_keys_do_not_change_between_versions():
    """A changed key would send every request of every cache again."""
    key = request_key({"model": "m", "messages": [{"role": "user", "content": "é"}], "temperature": 1.0}, 2)
    assert key == "b20a24d9f0125c3075434ab9f3459a9d09dfe732d7332c7fe63e1a7ea1c0d7e1"


@settings(max_examples=20)
@given(body=BODIES)
def test_what_is_put_is_got(tmp_path_factory, body):
    with RequestCache(tmp_path_factory.mktemp("cache") / "answers.sqlite") as cache:
        assert cache.get("k") is None
        kept = cache.put("k", body, tokens=7)
        assert (kept.body, kept.tokens) == (body, 7)
        assert cache.get("k") == kept


def test_the_first_answer_stays(tmp_path):
    with RequestCache(tmp_path / "sub" / "c.sqlite") as one, RequestCache(tmp_path / "sub" / "c.sqlite") as other:
        one.put("k", {"text": "first"}, tokens=1)
        assert other.put("k", {"text": "second"}, tokens=2).body == {"text": "first"}
        assert len(one) == len(other) == 1


def test_answers_and_what_they_cost_outlive_a_killed_process(place):
    program = """
import sys
from afterbase.rollout.endpoint.budget import Spent
from afterbase.rollout.endpoint.request_cache import RequestCache
cache = RequestCache(sys.argv[1])
for number in range(1_000_000):
    cache.put(f"killed {number}", {"number": number}, tokens=1, account="killed", spent=Spent(requests=1, money=0.5))
    print(number, flush=True)
"""
    writer = other_process(program, place)
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.communicate()[0].splitlines()]
    with RequestCache(place) as cache:
        for number in told:
            kept = cache.get(f"killed {number}")
            assert kept is not None
            assert kept.body == {"number": number}
        spent = cache.spent("killed")
        assert len(told) <= spent.requests <= len(told) + 1
        assert (spent.money, cache.get(f"killed {spent.requests}")) == (spent.requests / 2, None)


def test_two_processes_share_a_place_and_agree(place):
    program = """
import sys
from afterbase.rollout.endpoint.request_cache import RequestCache
with RequestCache(sys.argv[1]) as cache:
    for number in range(300):
        print(cache.put(str(number), {"by": sys.argv[2]}, tokens=1).body["by"])
"""
    writers = [other_process(program, place, name) for name in "ab"]
    heard = [writer.communicate()[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    assert heard[0] == heard[1], "whose answer stays is the same for both"
    assert len(heard[0]) == 300


@pytest.mark.parametrize("kind", ["text", "folder"])
def test_a_file_that_is_no_cache_is_refused(tmp_path, kind):
    path = tmp_path / "c.sqlite"
    path.write_text("not a database at all" * 100) if kind == "text" else path.mkdir()
    with pytest.raises(UserError, match="a file of its own") as raised:
        RequestCache(path)
    assert str(path) in raised.value.got


def test_a_full_disk_is_told_as_such(tmp_path):
    with RequestCache(tmp_path / "c.sqlite") as cache:
        cache.put("small", {}, tokens=0)
        cache._database.execute("PRAGMA max_page_count = 1")
        before = cache.spent("p")
        with pytest.raises(OSError, match="space") as raised:
            cache.put("large", {"text": "x" * 1_000_000}, tokens=0, account="p")
        assert raised.value.errno == errno.ENOSPC
        assert cache.get("large") is None
        assert cache.spent("p") == before


def test_a_claim_excludes_others_until_it_is_released(place):
    with RequestCache(place) as one, RequestCache(place) as other:
        assert one.claim("k")
        assert not other.claim("k")
        assert other.claim("another")
        one.release("k")
        assert other.claim("k")
    with RequestCache(place) as one:
        assert one.claim("k"), "claims end with their cache"


def test_a_claim_ends_with_its_process_however_it_ends(place):
    program = """
import signal
import sys
from afterbase.rollout.endpoint.request_cache import RequestCache
cache = RequestCache(sys.argv[1])
print(cache.claim("k"), flush=True)
signal.pause()
"""
    holder = other_process(program, place)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with RequestCache(place) as cache:
        assert not cache.claim("k")
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        while not cache.claim("k"):  # a server takes a moment to see that its client is gone
            pass


def test_an_account_adds_up_what_was_paid_also_for_answers_that_came_second(place):
    with RequestCache(place) as cache:
        assert cache.spent("sums") == Spent()
        for _ in range(2):
            cache.put("twice", {}, tokens=5, account="sums", spent=Spent(requests=1, tokens=8, money=0.25))
        cache.put("other", {}, tokens=5, account="other sums")
        assert cache.spent("sums") == Spent(requests=2, tokens=16, money=0.5)


def test_batches_are_known_until_they_are_forgotten(place):
    with RequestCache(place) as cache:
        cache.note_batch("b1", "one")
        cache.note_batch("b2", "two")
        cache.note_batch("b1", "one")
    with RequestCache(place) as cache:
        assert cache.batches() == {"b1": "one", "b2": "two"}
        cache.forget_batch("b1")
        cache.forget_batch("b2")
        assert cache.batches() == {}


def test_a_cache_of_the_form_before_accounts_is_taken_as_it_is(tmp_path):
    with sqlite3.connect(tmp_path / "c.sqlite") as old:
        old.execute(
            "CREATE TABLE answers (key TEXT PRIMARY KEY, body TEXT NOT NULL, tokens INTEGER NOT NULL,"
            " created REAL NOT NULL) WITHOUT ROWID"
        )
        old.execute("INSERT INTO answers VALUES ('k', '{\"a\": 1}', 3, 0.0)")
    old.close()
    with RequestCache(tmp_path / "c.sqlite") as cache:
        kept = cache.get("k")
        assert kept is not None
        assert kept.body == {"a": 1}
        cache.put("l", {}, tokens=1)
        assert len(cache) == 2


def test_a_database_that_is_not_there_is_told():
    pytest.importorskip("psycopg")
    with pytest.raises(UserError, match="can be reached") as raised:
        RequestCache("postgresql://nobody@127.0.0.1:9/none?connect_timeout=5")
    assert "PGPASSWORD" in raised.value.remedy


def test_the_file_and_what_lies_beside_it_are_private_though_they_were_open(tmp_path):
    path = tmp_path / "c.sqlite"
    before = os.umask(0)
    try:
        with RequestCache(path) as cache:
            cache.put("k", {"choices": []}, tokens=1)
        for file in tmp_path.iterdir():
            file.chmod(0o666)
        with RequestCache(path) as cache:
            cache.put("l", {"choices": []}, tokens=1)
            assert cache.claim("m")
            names = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
        assert names == dict.fromkeys(("c.sqlite", "c.sqlite-wal", "c.sqlite-shm", "c.sqlite.claims"), 0o600)
    finally:
        os.umask(before)


def test_without_psycopg_the_remedy_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match="needs psycopg") as raised:
        RequestCache("postgresql://nobody@127.0.0.1:9/none")
    assert raised.value.remedy == "pip install 'afterbase[postgres]', or name a file"
