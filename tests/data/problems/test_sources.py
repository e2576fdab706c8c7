"""Problems of a user's table: checked, distinct, apart from benchmarks, with gold answers that their verifier takes."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError, UserErrors
from afterbase.core.sample import Status, read_problems
from afterbase.core.store import Store
from afterbase.data.clean.decontaminate import hash_benchmark, save_benchmark
from afterbase.data.problems.problems import train_count
from afterbase.data.problems.prompt_hash import prompt_hash
from afterbase.data.problems.source_rows import Columns, Source, _digits
from afterbase.data.problems.sources import check_table, make_source, most_train, source_problems
from afterbase.data.problems.test_share import for_tests
from afterbase.verify.check import check


def sums(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "q": f"What is {n}+{n}?", "a": 2 * n} for n in range(count)]


def table(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def source(path: str, **changed: Any) -> Source:
    settings = {"licence": "MIT", "verifier": "maths", "columns": Columns(prompt="q", answer="a", id="id")}
    return Source(**{"path": path, **settings, "train": 8, "test": 2, **changed})


def refusal(config: Source) -> UserError:
    with pytest.raises(UserError) as raised:
        source_problems("sums", config, 0)
    return raised.value


def test_splits_are_disjoint_repeatable_and_of_the_share_kept_for_tests(tmp_path):
    config = source(table(tmp_path, sums(60)))
    train, test, dropped = source_problems("sums", config, 3)
    assert (len(train), len(test), dropped) == (8, 2, [])
    assert {for_tests(prompt_hash(p.prompt)) for p in train} == {False}
    assert {for_tests(prompt_hash(p.prompt)) for p in test} == {True}
    assert source_problems("sums", config, 3)[0] == train
    assert {p.id for p in source_problems("sums", config, 4)[0]} != {p.id for p in train}


def test_the_order_of_the_table_does_not_count(tmp_path):
    one = source_problems("sums", source(table(tmp_path, sums(60))), 0)
    other = source_problems("sums", source(table(tmp_path, sums(60)[::-1])), 0)
    assert [[p.id for p in split] for split in one[:2]] == [[p.id for p in split] for split in other[:2]]


def test_a_problem_knows_its_answer_its_licence_and_its_row(tmp_path):
    [problem] = source_problems("sums", source(table(tmp_path, sums(30)), train=1, instruction="Box it."), 0)[0]
    n = int(problem.spec["answer"]) // 2
    assert problem.prompt == f"What is {n}+{n}?\nBox it."
    assert problem.spec["source"] == {"licence": "MIT", "split": "train", "row": f"line {n + 1}"}
    assert check(problem, f"So \\boxed{{{2 * n}}}").status is Status.OK
    assert check(problem, f"So \\boxed{{{2 * n + 1}}}").status is Status.WRONG


@pytest.mark.parametrize(
    ("cell", "answer", "response"),
    [
        (1e-05, "0.00001", r"\boxed{0.00001}"),
        ("1e-05", "0.00001", r"\boxed{0.00001}"),
        (1e16, "10000000000000000", r"\boxed{10000000000000000}"),
        (2.5e20, "250000000000000000000", r"\boxed{250000000000000000000}"),
        ("2.5E+6", "2500000", r"\boxed{2500000}"),
        (42.0, "42", r"\boxed{42}"),
        (-0.0, "0", r"\boxed{0}"),
        (0.5, "0.5", r"\boxed{\frac{1}{2}}"),
        (12, "12", r"\boxed{12}"),
    ],
)
def test_a_number_is_an_answer_in_digits(tmp_path: Path, cell: object, answer: str, response: str) -> None:
    rows = [{**row, "a": cell} for row in sums(30)]
    [problem] = source_problems("sums", source(table(tmp_path, rows), train=1), 0)[0]
    assert problem.spec["answer"] == answer
    assert check(problem, response).status is Status.OK


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e30, max_value=1e30))
def test_the_digits_of_a_float_are_worth_the_float(number: float) -> None:
    text = _digits(Decimal(repr(number)))
    assert (float(text), "e" in text.lower()) == (number, False)


@pytest.mark.parametrize("cell", [float("nan"), "nan", " NaN ", float("inf"), None, "", True, [1], {"x": 1}])
def test_what_is_no_answer_is_refused_with_its_row(tmp_path: Path, cell: object) -> None:
    rows = [*sums(3), {"id": 9, "q": "What is 1/0?", "a": cell}, *sums(0)]
    got = refusal(source(table(tmp_path, rows), train=1, test=1)).got
    assert got.startswith("line 4 of ")
    assert json.dumps(cell) in got


@pytest.mark.parametrize("dtype", [pa.float64(), pa.decimal128(12, 6)])
def test_numbers_of_a_parquet_column_are_digits_too(tmp_path: Path, dtype: pa.DataType) -> None:
    cells = [Decimal("0.00001") if pa.types.is_decimal(dtype) else 1e-05] * 30
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"q": [f"What is {n}?" for n in range(30)], "a": pa.array(cells, dtype)}), path)
    [problem] = source_problems("x", source(str(path), train=1, columns=Columns(prompt="q", answer="a")), 0)[0]
    assert problem.spec["answer"] == "0.00001"


def test_duplicates_are_dropped_with_the_rule(tmp_path):
    rows = [*sums(40), {"id": "x", "q": " what is 7+7?", "a": 14}, {"id": "y", "q": "What is 8+8?", "a": 17}]
    assert source_problems("sums", source(table(tmp_path, rows)), 0)[2] == [
        ("line 41", "duplicate"),
        ("line 42", "duplicate with another answer"),
    ]


def hashed(path: Path, texts: list[str]) -> str:
    save_benchmark(path, hash_benchmark("held", texts))
    return str(path)


def test_what_a_benchmark_holds_is_left_out_of_both_splits(tmp_path):
    path = hashed(tmp_path / "b.parquet", [row["q"].upper() for row in sums(60)[::2]])
    config = source(table(tmp_path, sums(60)), benchmarks=[path], train=16)
    train, test, dropped = source_problems("sums", config, 0)
    assert all(int(p.spec["answer"]) // 2 % 2 == 1 for p in [*train, *test])
    assert [row.rule for row in dropped] == ["in the benchmark held"] * 30


def test_a_long_benchmark_item_is_found_within_a_prompt(tmp_path):
    item = "A farmer has seven white goats and nine brown ones and sells three of each kind on Monday"
    rows = [*sums(40), {"id": "g", "q": f"Listen. {item}. How many are left?", "a": 10}]
    config = source(table(tmp_path, rows), benchmarks=[hashed(tmp_path / "b.parquet", [item])])
    assert source_problems("sums", config, 0)[2] == [("line 41", "in the benchmark held")]


def test_a_prompt_may_be_a_number(tmp_path):
    rows = [{"q": n, "a": n} for n in range(60)]
    train, test, dropped = source_problems(
        "echo", source(table(tmp_path, rows), columns=Columns(prompt="q", answer="a")), 0
    )
    assert {p.prompt for p in [*train, *test]} <= {str(n) for n in range(60)}
    assert dropped == []


@given(picked=st.lists(st.integers(0, 199), min_size=1, max_size=400))
def test_every_row_is_a_problem_or_is_dropped(tmp_path_factory, picked):
    folder = tmp_path_factory.mktemp("t")
    path = table(folder, [{"q": f"What is {n}+{n}?", "a": 2 * n} for n in picked])
    distinct = {for_tests(prompt_hash(f"What is {n}+{n}?")): 0 for n in picked}
    for n in set(picked):
        distinct[for_tests(prompt_hash(f"What is {n}+{n}?"))] += 1
    if len(distinct) < 2:
        return
    config = source(path, columns=Columns(prompt="q", answer="a"), train=distinct[False], test=distinct[True])
    train, test, dropped = source_problems("sums", config, 0)
    assert len(train) + len(test) + len(dropped) == len(picked)
    assert {int(p.spec["answer"]) // 2 for p in [*train, *test]} == set(picked)


def test_a_table_becomes_an_artifact_that_its_content_names(tmp_path):
    store = Store(tmp_path / "store")
    rows = [*sums(40), sums(40)[3] | {"id": 99}]
    made = make_source(store, "sums", source(table(tmp_path, rows)), seed=0)
    assert len(read_problems(made.payload / "train.parquet")) == 8
    assert len(read_problems(made.payload / "test.parquet")) == 2
    assert [json.loads(line) for line in (made.payload / "dropped.jsonl").read_text().splitlines()] == [
        {"row": "line 41", "rule": "duplicate"}
    ]
    (tmp_path / "elsewhere").mkdir()
    moved = make_source(store, "sums", source(table(tmp_path / "elsewhere", rows)), seed=0)
    changed = make_source(store, "sums", source(table(tmp_path, sums(41))), seed=0)
    assert made.key == moved.key != changed.key
    path = hashed(tmp_path / "b.parquet", ["What is 1+1?"])
    apart = make_source(store, "sums", source(table(tmp_path, rows), benchmarks=[path]), seed=0)
    assert apart.key != made.key
    planned = make_source(Store(tmp_path / "other", plan_only=True), "sums", source(table(tmp_path, rows)), seed=0)
    assert (planned.key, planned.manifest["what"]["train"]) == (made.key, 8)


@pytest.mark.parametrize(
    ("row", "rule", "got"),
    [
        ({"id": 3, "q": "new?", "a": 1}, "an id stands for one row", "3 in line 4 and in line 41"),
        ({"id": 99, "q": "  ", "a": 1}, "holds text", "line 41"),
        ({"id": 99, "q": "new?", "a": None}, "holds text", "`a` is null"),
        ({"id": 99, "q": ["new?"], "a": 1}, "holds text", '`q` is ["new?"]'),
        ({"id": 99, "q": "new?", "a": True}, "holds text", "`a` is true"),
        ({"id": 99, "q": "new?"}, "can be read", "line 41"),
    ],
)
def test_a_row_that_is_no_problem_is_named(tmp_path, row, rule, got):
    error = refusal(source(table(tmp_path, [*sums(40), row])))
    assert rule in error.rule
    assert got in error.got


def test_too_few_distinct_problems_are_told(tmp_path):
    error = refusal(source(table(tmp_path, sums(9))))
    assert "8 and 2 asked for" in error.got


def test_gold_responses_that_the_verifier_rejects_are_told_or_dropped(tmp_path):
    rows = [row | {"r": f"\\boxed{{{row['a'] + (row['id'] == 5)}}}"} for row in sums(40)]
    columns = Columns(prompt="q", answer="a", response="r")
    tests = sum(for_tests(prompt_hash(row["q"])) for row in rows)
    config = source(table(tmp_path, rows), columns=columns, train=40 - tests, test=tests)
    error = refusal(config)
    assert "1 of 40 rejected" in error.got
    assert "line 6" in error.got
    assert "0.025" in error.remedy
    train, test, dropped = source_problems("sums", config.model_copy(update={"most_rejected": 0.025}), 0)
    assert len(train) + len(test) == 39
    assert dropped == [("line 6", "gold wrong: mismatch")]


def test_worked_responses_are_the_gold(tmp_path):
    rows = [row | {"r": f"Twice {row['id']} is the answer is {row['a']}"} for row in sums(40)]
    columns = Columns(prompt="q", answer="a", response="r")
    config = source(table(tmp_path, rows), columns=columns, answer_by=["answer_is"])
    assert all(p.gold is not None and p.gold.startswith("Twice") for p in source_problems("sums", config, 0)[0])


@pytest.mark.parametrize("as_text", [False, True])
def test_programs_have_tests(tmp_path, as_text):
    tests = [{"args": [2], "expected": 4}]
    rows = [{"q": f"Double, {n}", "f": "f", "t": json.dumps(tests) if as_text else tests} for n in range(40)]
    columns = Columns(prompt="q", function="f", tests="t")
    train, _, _ = source_problems("p", source(table(tmp_path, rows), columns=columns, verifier="python"), 0)
    assert train[0].spec["tests"] == tests
    assert train[0].gold is None
    assert check(train[0], "```python\ndef f(x):\n    return 2 * x\n```").status is Status.OK
    rows[4]["t"] = [{"args": [2]}]
    error = refusal(source(table(tmp_path, rows), columns=columns, verifier="python"))
    assert "args and expected" in error.rule
    assert "line 5" in error.got


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"verifier": "python"}, "columns.function, columns.tests"),
        ({"verifier": "program", "columns": Columns(tests="t")}, "language"),
    ],
)
def test_what_the_verifier_needs_is_asked_for(changed, missing):
    with pytest.raises(ValueError, match=f"needs {missing}"):
        source("t.jsonl", **changed)


@pytest.mark.parametrize("prompt", ["prompt", "question", "problem", "instruction"])
@pytest.mark.parametrize("answer", ["answer", "gold", "solution", "target"])
def test_obvious_columns_need_no_name(tmp_path, prompt, answer):
    rows = [{"topic": "sums", prompt: row["q"], answer: row["a"]} for row in sums(40)]
    train, _, _ = source_problems("sums", source(table(tmp_path, rows), columns=Columns()), 0)
    assert {p.prompt for p in train} <= {row["q"] for row in sums(40)}
    assert all(p.spec["row"] == rows[int(p.spec["answer"]) // 2] for p in train)


@pytest.mark.parametrize(
    ("columns", "got", "remedy"),
    [
        (Columns(), "id, q, a in ", 'columns = { prompt = "..." }'),
        (Columns(prompt="q"), "id, q, a in ", 'columns = { answer = "..." }'),
        (Columns(prompt="q", answer="a", id="ids"), "no column `ids` among id, q, a", "did you mean `id`?"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(tmp_path, columns, got, remedy):
    error = refusal(source(table(tmp_path, sums(3)), columns=columns))
    assert got in error.got
    assert remedy in error.remedy


def test_all_problems_can_be_trained_on(tmp_path):
    rows = sums(40)
    tests = sum(for_tests(prompt_hash(row["q"])) for row in rows)
    train, test, _ = source_problems("sums", source(table(tmp_path, rows), train="all", test=1), 0)
    assert (len(train), len(test)) == (40 - tests, 1)
    whole = source(table(tmp_path, rows), train="all", test=0)
    train, test, _ = source_problems("sums", whole, 0)
    assert (len(train), test) == (40, [])
    planned = make_source(Store(tmp_path / "plan", plan_only=True), "sums", whole, seed=0)
    assert train_count(planned) == most_train(whole) == 40
    rows[3]["q"] = rows[4]["q"]
    made = make_source(Store(tmp_path / "store"), "sums", source(table(tmp_path, rows), train="all", test=0), seed=0)
    assert train_count(made) == 39


def test_a_list_and_a_pattern_are_tables(tmp_path):
    rows = sums(40)
    (tmp_path / "a.json").write_text(json.dumps(rows[:20]))
    (tmp_path / "b.json").write_text(json.dumps(rows[20:]))
    train, _, _ = source_problems("sums", source(str(tmp_path / "?.json"), train="all", test=0), 0)
    assert len(train) == 40
    assert {p.spec["source"]["row"] for p in train} >= {"item 1 of a.json", "item 20 of b.json"}


def test_a_row_keeps_what_json_does_not_know(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"q": ["1+1?"], "a": [2], "when": pa.array([0], pa.date32()), "raw": [b"x"]}), path)
    config = source(str(path), columns=Columns(prompt="q", answer="a"), train="all", test=0)
    [problem] = source_problems("sums", config, 0)[0]
    assert problem.spec["row"] == {"q": "1+1?", "a": 2, "when": "1970-01-01", "raw": {"base64": "eA=="}}


def test_rows_that_are_broken_are_told_together_and_five_at_most(tmp_path):
    rows = sums(20)
    for at in (2, 3, 5):
        rows[at]["a"] = None
    with pytest.raises(UserErrors) as caught:
        check_table("sums", source(table(tmp_path, rows)))
    assert [error.got.split(" of ")[0] for error in caught.value.errors] == ["line 3", "line 4", "line 6"]
    with pytest.raises(UserErrors) as caught:
        check_table("sums", source(table(tmp_path, [{**row, "a": None} for row in rows])))
    assert len(caught.value.errors) == 5


def test_a_check_says_how_much_of_a_table_it_looked_at(tmp_path):
    rows = sums(20)
    path = table(tmp_path, rows)
    assert check_table("sums", source(path)) == f"sums: all 20 rows of {path} can be read."
    assert check_table("sums", source(path), most=20) == f"sums: all 20 rows of {path} can be read."
    rows[19]["a"] = None  # behind what is looked at
    assert check_table("sums", source(table(tmp_path, rows)), most=19) == (
        f"sums: the first 19 rows of {path} can be read, the others are read when the run begins."
    )


def test_misspelt_columns_are_told_together(tmp_path):
    with pytest.raises(UserErrors) as caught:
        check_table("sums", source(table(tmp_path, sums(3)), columns=Columns(prompt="qu", answer="aa")))
    assert [error.remedy for error in caught.value.errors] == ["did you mean `q`?", "did you mean `a`?"]
