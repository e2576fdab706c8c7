"""The request cache: keys by content, answers that outlive `kill -9`, and several processes on one file."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.rollout.cache import RequestCache, canonical, request_key

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
BODIES = st.dictionaries(st.text(), VALUES, max_size=4)


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


def test_answers_outlive_a_killed_process(tmp_path):
    program = """
import sys
from pathlib import Path
from afterbase.rollout.cache import RequestCache
cache = RequestCache(Path(sys.argv[1]))
for number in range(1_000_000):
    cache.put(str(number), {"number": number}, tokens=1)
    print(number, flush=True)
"""
    writer = other_process(program, tmp_path / "c.sqlite")
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(50)]
    writer.send_signal(signal.SIGKILL)
    told += [int(line) for line in writer.communicate()[0].splitlines()]
    with RequestCache(tmp_path / "c.sqlite") as cache:
        for number in told:
            kept = cache.get(str(number))
            assert kept is not None
            assert kept.body == {"number": number}
        assert len(told) <= len(cache) <= len(told) + 1


def test_two_processes_share_a_file_and_agree(tmp_path):
    program = """
import sys
from pathlib import Path
from afterbase.rollout.cache import RequestCache
with RequestCache(Path(sys.argv[1])) as cache:
    for number in range(300):
        print(cache.put(str(number), {"by": sys.argv[2]}, tokens=1).body["by"])
"""
    writers = [other_process(program, tmp_path / "c.sqlite", name) for name in "ab"]
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
        with pytest.raises(OSError, match="space") as raised:
            cache.put("large", {"text": "x" * 1_000_000}, tokens=0)
        assert raised.value.errno == errno.ENOSPC
        assert cache.get("large") is None
