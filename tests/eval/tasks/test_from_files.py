"""Benchmarks without a published sample here, on rows of our own in the form of their files."""

import base64
import json
import pickle
import random
import tracemalloc
import zlib
from pathlib import Path

import pytest

from afterbase.core.errors import UserError
from afterbase.eval.tasks import TASKS
from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.code import codeforces, livecodebench
from afterbase.eval.tasks.task import Judging, Mark, Task


def _folder(tmp_path: Path, **files) -> Folder:
    for name, rows in files.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Folder(tmp_path)


def _task(name: str) -> Task:
    task = TASKS[name]
    assert isinstance(task, Task)
    return task


def _marks(name: str, folder: Folder, *responses: str):
    task = _task(name)
    assert not isinstance(task.score, Judging)
    items = task.items(folder)
    return task.score([(items[0], response) for response in responses])


def test_drop_shows_three_examples_and_scores_the_answer_line(tmp_path):
    rows = [{"context": f"Passage {i}", "ref_text": f"{i}|none"} for i in range(5)]
    hub = [
        {"passage": "P", "question": "Q?", "query_id": "q", "answers_spans": {"spans": ["12 yards"], "types": ["span"]}}
    ]
    folder = _folder(tmp_path, drop=hub, drop_train=rows)
    (item,) = _task("drop").items(folder)
    assert "Passage 2\nAnswer: 2" in item.prompt
    assert "Passage 3" not in item.prompt
    marks = _marks("drop", folder, item.right or "", "Answer: 12", "answer: 13", "12 yards")
    assert [mark.value for mark in marks] == [1, pytest.approx(0.6667), 0, 1]


def test_gpqa_draws_an_order_once(tmp_path):
    rows = [
        {"Question": f"Q{i}", "Correct Answer": "r", "Record ID": f"rec{i}"}
        | {f"Incorrect Answer {k}": f"w{k}" for k in (1, 2, 3)}
        for i in range(20)
    ]
    folder = _folder(tmp_path, gpqa_diamond=rows)
    items = _task("gpqa_diamond").items(folder)
    assert items == _task("gpqa_diamond").items(folder)
    assert {item.gold.letter for item in items} == set("ABCD")
    assert all(item.gold.options[item.gold.right] == "r" for item in items)


def test_longbench_keeps_the_text_in_its_twin(tmp_path):
    row = {"_id": "x", "context": "The {text}.", "question": "Q?", "answer": "B"}
    folder = _folder(tmp_path, longbench_v2=[row | {f"choice_{letter}": letter * 3 for letter in "ABCD"}])
    (item,) = _task("longbench_v2").items(folder)
    assert "The {text}." in item.prompt
    assert [m.value for m in _marks("longbench_v2", folder, "The correct answer is (B)", "(A)")] == [1, 0]
    other = _task("longbench_v2").twins["options"](item, random.Random(0))
    assert other is not None
    assert sorted(other.prompt) == sorted(item.prompt)


def test_frames_wants_the_articles(tmp_path):
    row = {"Prompt": "Q?", "Answer": "A"}
    with pytest.raises(UserError, match="articles"):
        _task("frames").items(_folder(tmp_path, frames=[row]))
    (item,) = _task("frames").items(_folder(tmp_path, frames=[row | {"articles": ["one", "two"]}]))
    assert item.prompt.index("one") < item.prompt.index("two") < item.prompt.index("Q?")


def test_simpleqa_and_cnmo_rows(tmp_path):
    folder = _folder(
        tmp_path, simpleqa=[{"problem": "Q?", "answer": "A"}], cnmo2024=[{"question": "求 x", "answer": "\\frac{1}{2}"}]
    )
    assert _task("simpleqa").items(folder)[0].prompt == "Q?"
    assert [m.value for m in _marks("cnmo2024", folder, "\\boxed{0.5}", "\\boxed{2}")] == [1, 0]


@pytest.fixture
def isolated():
    lack = livecodebench.isolation()
    if lack is not None:
        pytest.skip(f"needs {lack}")


def _packed(tests) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def _problem(**more):
    row = {
        "question_id": "q", "question_content": "Add.", "contest_date": "2024-09-01T00:00:00",
        "public_test_cases": json.dumps([{"input": "1 2", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": _packed([{"input": "2 2", "output": "4", "testtype": "stdin"}]),
    }  # fmt: skip
    return row | more


def test_livecodebench_takes_its_months_and_judges_by_input_and_output(isolated, tmp_path):
    early = _problem(question_id="early", contest_date="2024-07-31T23:59:59")
    folder = _folder(tmp_path, livecodebench=[_problem(), early])
    assert [item.id for item in _task("livecodebench").items(folder)] == ["q"]
    assert "step by step" in _task("livecodebench_cot").items(folder)[0].prompt
    right = "```python\nprint(sum(map(int, input().split())))\n```"
    marks = _marks("livecodebench", folder, right, right.replace("sum", "max"), "print(3)", "no")
    assert [m.value for m in marks] == [1, 0, 0, 0]


def test_livecodebench_calls_the_method_of_a_solution(isolated, tmp_path):
    row = _problem(
        starter_code="class Solution:\n    def add(self, a: List[int], b: int) -> List[int]:\n        ",
        metadata=json.dumps({"func_name": "add"}),
        public_test_cases=json.dumps([{"input": "[1, 2]\n3", "output": "[4, 5]", "testtype": "functional"}]),
        private_test_cases="[]",
    )
    folder = _folder(tmp_path, livecodebench=[row])
    right = (
        "```python\nclass Solution:\n    def add(self, a: List[int], b: int) -> List[int]:\n"
        "        print('noise')\n        return tuple(x + b for x in a)\n```"
    )
    assert [m.value for m in _marks("livecodebench", folder, right, right.replace("+", "-"))] == [1, 0]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_packed_tests_are_read_from_every_form_of_pickle(tmp_path, protocol):
    tests = json.dumps([{"input": "é" * 300, "output": "4", "testtype": "stdin"}], ensure_ascii=False)
    packed = base64.b64encode(zlib.compress(pickle.dumps(tests, protocol))).decode()
    (item,) = _task("livecodebench").items(_folder(tmp_path, livecodebench=[_problem(private_test_cases=packed)]))
    assert item.gold[1][1].stdin == "é" * 300


class _Evil:
    def __reduce__(self):
        return (print, ("owned",))


@pytest.mark.parametrize(
    "raw",
    [
        zlib.compress(pickle.dumps(_Evil())),
        zlib.compress(pickle.dumps(["[]"])),
        zlib.compress(pickle.dumps("[]"))[:-3],
        zlib.compress(b"X\x02\x00\x00\x00[]r\xff\xff\xff\x7f0."),  # kept as number 2^31: Python makes room for all
        zlib.compress(b"\x8d" + b"\xff" * 8 + b"[]."),
        zlib.compress(b" " * (5 << 20)),
        b"nothing",
    ],
)
def test_packed_tests_are_a_text_and_nothing_that_runs(tmp_path, raw, monkeypatch, capsys):
    monkeypatch.setattr(livecodebench, "_MOST_OF_TESTS", 4 << 20)
    packed = base64.b64encode(raw).decode()
    with pytest.raises(UserError, match="hidden tests are JSON"):
        _task("livecodebench").items(_folder(tmp_path, livecodebench=[_problem(private_test_cases=packed)]))
    assert capsys.readouterr().out == ""


def test_hidden_tests_are_counted_while_they_are_read(monkeypatch):
    """80 KB that hold 80 MB."""
    monkeypatch.setattr(livecodebench, "_MOST_OF_TESTS", 4 << 20)
    packed = zlib.compress(b" " * (80 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 4 MiB"):
        livecodebench._inflated(packed)
    assert tracemalloc.get_traced_memory()[1] < 12 << 20
    tracemalloc.stop()


def test_codeforces_gives_the_share_of_competitors_below(isolated, tmp_path):
    problems = [
        {
            "contest": 1,
            "index": index,
            "statement": "Add.",
            "points": points,
            "tests": [{"input": "1 2", "output": "3"}],
        }
        for index, points in (("A", 500), ("B", 1000))
    ]
    folder = _folder(
        tmp_path, codeforces=problems, codeforces_standings=[{"contest": 1, "scores": [0, 500, 500, 1500]}]
    )
    items = _task("codeforces").items(folder)
    assert [item.cluster for item in items] == ["1", "1"]
    right, wrong = Mark(1.0, None, "match"), Mark(0.0, None, "mismatch")
    assert codeforces.percentile("1", [(items[0], right), (items[1], wrong)]) == 0.5  # one below, two beside
    assert codeforces.percentile("1", [(items[0], right), (items[1], right)]) == 0.875
    program = "```cpp\n#include <iostream>\nint main() { int a, b; std::cin >> a >> b; std::cout << a + b; }\n```"
    assert [m.value for m in _marks("codeforces", folder, program, program.replace("a + b", "a"))] == [1, 0]


def test_codeforces_wants_the_standings_of_every_contest(tmp_path):
    problem = {"contest": 2, "index": "A", "statement": "?", "tests": [{"input": "", "output": ""}]}
    folder = _folder(tmp_path, codeforces=[problem], codeforces_standings=[{"contest": 1, "scores": [0]}])
    with pytest.raises(UserError, match="every contest has its standings"):
        _task("codeforces").items(folder)


def test_mmlu_pro_shows_five_examples_of_the_category_or_says_that_it_has_none(tmp_path):
    row = {"question_id": 1, "question": "Q?", "options": ["x", "y", "N/A"], "answer_index": 1, "category": "law"}
    worked = [row | {"question": f"E{i}?", "cot_content": f"A: So {i}. The answer is (B)."} for i in range(6)]
    task = _task("mmlu_pro")
    folder = _folder(tmp_path, mmlu_pro=[row])
    assert "without the protocol's five examples" in str(task.remark(folder))
    (alone,) = task.items(folder)
    folder = _folder(tmp_path, mmlu_pro_validation=worked)
    assert task.remark(folder) is None
    (item,) = task.items(folder)
    assert item.prompt.endswith(alone.prompt.rpartition("Question: ")[2])
    assert "about law" in item.prompt
    assert "Answer: So 4. The answer is (B)." in item.prompt
    assert "E5?" not in item.prompt
    twin = task.twins["options"](item, random.Random(0))
    assert twin is not None
    assert "So 4." in twin.prompt
