"""A user's function survives its own faults: each is `failed`, with its reason, and never a zero."""

import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.core.sample import Problem, Status, Verdict
from afterbase.verify.answer_context import AnswerContext
from afterbase.verify.own.own_function import find
from afterbase.verify.own.own_verdicts import OwnAnswer, judge_own, refuse_unready

_NUMBER = find(lambda response: float(response))
PROBLEM = Problem(domain="toy", prompt="1 + 1?", gold=None, verifier="own", spec={"row": {"n": 7}, "answer": "2"})


def answers(*responses: str) -> list[OwnAnswer]:
    return [OwnAnswer(PROBLEM, response, AnswerContext(5, True, 3)) for response in responses]


def judged(folder: Path, source: str, *responses: str, name: str = "score") -> list[Verdict]:
    (folder / "own.py").write_text(source)
    return judge_own(find(f"{folder}/own.py:{name}"), answers(*(responses or ("a", "b", "c"))))


@pytest.mark.parametrize(
    ("source", "reason", "detail"),
    [
        ("def score(response):\n    raise ValueError('odd')", "raised", "ValueError: odd (own.py:2)"),
        ("def score(response):\n    while True: pass\nscore.deadline = 0.3", "timeout", "0.3 seconds"),
        ("import time\ndef score(response): time.sleep(99)\nscore.deadline = 0.3", "timeout", "0.3 seconds"),
        ("def score(response):\n    print('hello')", "no_value", "None; it printed: hello"),
        ("def score(response): return float('nan')", "not_finite", "nan"),
        ("def score(response): return -float('inf')", "not_finite", "-inf"),
        ("def score(response): return '1.0'", "not_a_number", "'1.0', of type str"),
        ("def score(response): return [1.0]", "not_a_number", "list"),
        ("def score(response): return {'score': 1.0}", "no_verdict", "status (ok, wrong or failed)"),
        ("def score(response): return {'value': 1.0, 'status': 'fine'}", "no_verdict", "'fine'"),
        ("def score(response): return bytearray(1 << 40)", "memory", "MemoryError"),
        (
            "def score(response):\n    kept = []\n    while True: kept.append(bytes(1 << 22))\nscore.memory_gib = 0.1",
            "memory",
            "MemoryError",
        ),
        ("import sys\ndef score(response): sys.exit(3)", "exited", "SystemExit: 3"),
        ("import os\ndef score(response): os._exit(7)", "crash", "status 7"),
        ("import os, signal\ndef score(response): os.kill(os.getpid(), signal.SIGKILL)", "crash", "SIGKILL"),
        ("import os, signal\ndef score(response): os.kill(os.getpid(), signal.SIGSEGV)", "crash", "SIGSEGV"),
        ("def score(responses): return [1.0]", "wrong_count", "1 values for 3 answers"),
        ("def score(responses): return 1.0", "no_list", "float"),
        ("def score(responses): raise KeyError('x')", "raised", "KeyError"),
        ("async def score(response): raise OSError('no net')", "raised", "OSError: no net"),
        ("import asyncio\nasync def score(response): await asyncio.sleep(99)\nscore.deadline = 0.2", "timeout", "0.2"),
        ("import time\nasync def score(response): time.sleep(99)\nscore.deadline = 0.2", "timeout", "0.2"),
    ],
)
def test_each_fault_is_failed_with_its_reason(tmp_path, source, reason, detail):
    verdicts = judged(tmp_path, source)
    assert [(v.status, v.reason, v.value) for v in verdicts] == [(Status.FAILED, reason, 0.0)] * 3
    assert detail in verdicts[0].detail
    assert verdicts[0].verifier == "own.py:score"


def test_a_function_that_always_hangs_is_not_waited_for_a_thousand_times(tmp_path):
    calls = tmp_path / "calls"
    source = (
        f"def score(response):\n    open({str(calls)!r}, 'a').write('x')\n    while True: pass\nscore.deadline = 0.2"
    )
    verdicts = judged(tmp_path, source, *["x"] * 1000)
    assert [v.reason for v in verdicts] == ["timeout"] * 1000
    assert len(calls.read_text()) < 20 + len(os.sched_getaffinity(0))
    assert "not called" in verdicts[-1].detail


def test_one_bad_answer_leaves_the_others_their_values(tmp_path):
    source = "import os\ndef score(response):\n    if response == 'die': os._exit(1)\n    return response == 'yes'"
    verdicts = judged(tmp_path, source, *["yes", "die", "no"] * 4)
    assert [str(v.status) for v in verdicts] == ["ok", "failed", "wrong"] * 4


def test_one_bad_value_of_a_batch_fails_alone(tmp_path):
    verdicts = judged(tmp_path, "def score(responses): return [1.0, None, float('inf')]")
    assert [(str(v.status), v.reason) for v in verdicts] == [
        ("ok", "match"), ("failed", "no_value"), ("failed", "not_finite")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "status", "number"),
    [
        ("True", "ok", 1.0), ("False", "wrong", 0.0), ("1", "ok", 1.0), ("0.5", "wrong", 0.5), ("0.51", "ok", 0.51),
        ("-3.5", "wrong", -3.5), ("12.0", "ok", 12.0), ("__import__('numpy').float32(0.25)", "wrong", 0.25),
        ("__import__('numpy').bool_(True)", "ok", 1.0), ("__import__('fractions').Fraction(3, 4)", "ok", 0.75),
        ("{'status': 'wrong', 'value': 0.9, 'reason': 'rude'}", "wrong", 0.9), ("{'value': 0.75}", "ok", 0.75),
    ],
)  # fmt: skip
def test_values_are_rewards(tmp_path, value, status, number):
    (verdict,) = judged(tmp_path, f"def score(response): return {value}", "x")
    assert (str(verdict.status), verdict.value) == (status, number)


def test_a_verdict_stays_as_it_is(tmp_path):
    source = (
        "from afterbase.core.sample import Status, Verdict\n"
        "def score(response):\n"
        "    return Verdict(verifier='mine', status=Status.FAILED, value=0.0, reason='too_cold')\n"
    )
    (verdict,) = judged(tmp_path, source, "x")
    assert (verdict.status, verdict.reason) == (Status.FAILED, "too_cold")


def test_a_function_gets_the_keywords_it_names_and_with_context_all(tmp_path):
    source = (
        "def score(*, prompt, response, row, **context):\n"
        "    assert context.pop('problem_id')\n"
        "    assert context == {'answer': 'So 2.', 'thought': 'Hm.', 'gold': '2', 'tokens': 5, 'truncated': True,\n"
        "                       'step': 3}, context\n"
        "    return (prompt, row) == ('1 + 1?', {'n': 7}) and response.startswith('<think>')\n"
        "def some(answer, step, other=2):\n"
        "    return answer == 'So 2.' and step == 3 and other == 2\n"
        "def lists(prompts, responses, rows, **context):\n"
        "    assert context['answers'] == ['So 2.'] * 2 and context['golds'] == ['2'] * 2 and context['step'] == 3\n"
        "    return [row['n'] == 7 for row in rows]\n"
        "def marked(response, gold): return [g == '2' for g in gold]\n"
        "marked.batch = True\n"
    )
    response = "<think>Hm.</think>So 2."
    for name in ("score", "some", "lists", "marked"):
        assert [v.status for v in judged(tmp_path, source, response, response, name=name)] == [Status.OK] * 2, name


def test_modules_of_packages_are_imported_as_such(tmp_path, monkeypatch):
    inner = tmp_path / "rewards_of_mine" / "inner"
    inner.mkdir(parents=True)
    source = "from ..most import MOST\ndef score(response): return len(response) < MOST\n"
    (inner / "__init__.py").write_text(source)
    (tmp_path / "rewards_of_mine" / "__init__.py").write_text("")
    (tmp_path / "rewards_of_mine" / "most.py").write_text("MOST = 2\n")
    monkeypatch.chdir(tmp_path)
    function = find("rewards_of_mine.inner:score")
    monkeypatch.chdir(os.sep)
    assert [v.value for v in judge_own(function, answers("a", "abc"))] == [1.0, 0.0]
    (tmp_path / "rewards_of_mine" / "most.py").write_text("MOST = 9\n")
    monkeypatch.chdir(tmp_path)
    assert find("rewards_of_mine.inner:score").digest != function.digest


def test_coroutines_run_side_by_side(tmp_path):
    source = (
        "import asyncio\nrunning = most = 0\n"
        "async def score(response):\n"
        "    global running, most\n"
        "    running += 1; most = max(most, running)\n"
        "    await asyncio.sleep(0.05)\n"
        "    running -= 1\n"
        "    return most\n"
        "score.concurrency = 4\n"
    )
    values = [v.value for v in judged(tmp_path, source, *"abcdefgh")]
    assert max(values) == 4


def test_the_module_is_imported_once_a_worker(tmp_path):
    source = f"import os\nopen({str(tmp_path / 'log')!r}, 'a').write('x')\ndef score(response): return 1.0\n"
    for _ in range(5):
        judged(tmp_path, source, *"abcdef")
    assert 1 <= len((tmp_path / "log").read_text()) <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("source", "got"),
    [
        ("raise RuntimeError('no GPU')\ndef score(response): ...", "RuntimeError: no GPU (own.py:1)"),
        ("import no_such_package\ndef score(response): ...", "No module named 'no_such_package'"),
        ("import sys; sys.exit(1)\ndef score(response): ...", "SystemExit"),
        ("import os; os._exit(4)\ndef score(response): ...", "status 4"),
        ("score = 3", "it is int"),
        ("def score(completion): ...", "it needs `completion`"),
        ("def score(response, /): ...", "`response` by position"),
        ("def score(response): ...\nscore.deadline = 0", "`deadline` is 0"),
    ],
)
def test_what_cannot_be_called_is_refused_before_anything_is_judged(tmp_path, source, got):
    (tmp_path / "own.py").write_text(source)
    with pytest.raises(UserError, match="can be loaded") as raised:
        refuse_unready(find(f"{tmp_path}/own.py:score"))
    assert got in raised.value.got


def test_callables_of_this_process_run_in_forks_of_it():
    secret, here = 2, os.getpid()

    def score(response, **context):
        os.environ["CHANGED"] = "yes"
        return len(response) == secret and os.getpid() != here

    def dies(response):
        os.kill(os.getpid(), signal.SIGKILL)

    assert [v.value for v in judge_own(find(score), answers("ab", "abc"))] == [1.0, 0.0]
    assert "CHANGED" not in os.environ
    assert [v.reason for v in judge_own(find(dies), answers("a", "b"))] == ["crash", "crash"]
    assert [v.value for v in judge_own(find(lambda responses: [len(r) for r in responses]), answers("", "ab"))] == [
        0,
        2,
    ]


def test_a_loud_function_does_not_fill_anything(tmp_path):
    source = "import os\ndef score(response):\n    for _ in range(2000): os.write(1, b'x' * 1000)\n    return 1.0"
    assert [v.value for v in judged(tmp_path, source)] == [1.0] * 3


@pytest.mark.parametrize(
    "source",
    [
        "import os\ndef score(response): return float(os.fork() > 0)",
        "import os\ndef score(response):\n    if os.fork() == 0: raise ValueError\n    return 1",
        "import os\ndef score(responses): return [float(os.fork() > 0)] * len(responses)",
        "import os\nasync def score(response): return float(os.fork() > 0)",
        "import os\nparent = os.fork() > 0\ndef score(response): return float(parent)",
    ],
)
def test_a_child_that_goes_on_as_its_parent_does_answers_nothing(tmp_path, source):
    for _ in range(2):
        assert [verdict.value for verdict in judged(tmp_path, source)] == [1.0, 1.0, 1.0]


def test_what_a_late_function_has_started_ends_with_it(tmp_path):
    source = (
        "import subprocess, time\n"
        "def score(response):\n"
        f"    child = subprocess.Popen(['sleep', '600']); open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "    time.sleep(99)\n"
        "score.deadline = 1.0\n"
    )
    assert judged(tmp_path, source, "x")[0].reason == "timeout"
    stat = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    deadline = time.monotonic() + 10
    while stat.exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline


def test_a_file_that_changes_meanwhile_is_refused(tmp_path):
    (tmp_path / "own.py").write_text("import os\ndef score(response): os._exit(1)")
    function = find(f"{tmp_path}/own.py:score")
    judge_own(function, answers("x"))
    (tmp_path / "own.py").write_text("def score(response): return 1.0")
    with pytest.raises(UserError, match="stays as it is"):
        judge_own(function, answers("x"))


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
@settings(deadline=None, max_examples=30)
def test_any_finite_number_is_the_reward_as_it_is(value):
    (verdict,) = judge_own(_NUMBER, answers(repr(value)))
    assert verdict.value == value
    assert (verdict.status is Status.OK) == (value > 0.5)
