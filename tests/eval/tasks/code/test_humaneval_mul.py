"""Programs in eight languages, made of prompt, response and MultiPL-E's kind of tests."""

# ruff: noqa: E501 (programs are written as they are)

import json

import pytest

from afterbase.eval.tasks.benchmark_rows import Folder
from afterbase.eval.tasks.code import humaneval_mul
from afterbase.eval.tasks.task import Item

# (prompt, tests, stops, body, whole answers that are right)
TOY = {
    "java": (
        "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n    // adds\n"
        "    public static long add(long a, long b) {\n",
        "    }\n    public static void main(String[] args) {\n    assert(add((2l), (3l)) == (5l));\n    }\n\n}\n",
        ["\n    }\n"],
        "        return a + b;",
        [
            "class Problem {\n    static long other(long a) { return a; }\n    public static long add(long a, long b) {\n"
            "        return other(a) + b; // }\n    }\n}\n",
            "import java.util.List;\n\npublic class Solution {\n    public static long add(long a, long b) { return a + b; }\n"
            "    public static void main(String[] args) {\n        System.out.println(add(1, 2));\n    }\n}\n",
            "public static long add(long a, long b) {\n    Pair<Long, Long> p = Pair.with(a, b);\n"
            "    return p.getValue0() + p.getValue1();\n}\n",
        ],
    ),
    "cpp": (
        "#include<assert.h>\n#include<bits/stdc++.h>\n// adds\nlong add(long a, long b) {\n",
        "}\nint main() {\n    auto candidate = add;\n    assert(candidate((2), (3)) == (5));\n}\n",
        ["\n}"],
        "    return a + b;",
        [
            "#include <vector>\nlong other(long a) { return a; }\nlong add(long a, long b) {\n  return other(a) + b;\n}\n\n"
            "int main() {\n  std::cout << add(1, 2);\n}\n"
        ],
    ),
    "cs": (
        "using System;\nusing System.Diagnostics;\nclass Problem {\n    // adds\n    public static long Add(long a, long b) {\n",
        "    }\n    public static void Main(string[] args) {\n    Debug.Assert(Add((2L), (3L)) == (5L));\n    }\n\n}\n",
        ["\n    }\n"],
        "        return a + b;",
        [
            "class Problem {\n    public static long Add(long a, long b) {\n        return a + b;\n    }\n}\n",
            "using System;\n\nclass Program\n{\n    public static long Add(long a, long b)\n    {\n        return a + b;\n"
            '    }\n\n    static void Main()\n    {\n        Console.WriteLine(Add(1, 2) + "}");\n    }\n}\n',
            "public static long Add(long a, long b) => a + b;\n",
        ],
    ),
    "js": (
        "//adds\nfunction add(a, b){\n",
        "const assert = require('node:assert');\n\n\nfunction test() {\n  let candidate = add;\n"
        "  assert.deepEqual(candidate(2, 3),5);\n}\n\ntest();",
        ["\nfunction ", "\n/*", "\n//", "\nconsole.log"],
        "  return a + b;\n}",
        ["const add = (a, b) => a + b;\nconsole.log(add(1, 2));\n", "function add(a, b) {\n  return a + b;\n}\n"],
    ),
    "ts": (
        "//adds\nfunction add(a: number, b: number): number {\n",
        "declare var require: any;\nconst assert = require('node:assert');\n\n\nfunction test() {\n  let candidate = add;\n"
        "  assert.deepEqual(candidate(2, 3),5);\n}\n\ntest();",
        ["\nfunction ", "\n/*", "\n//", "\nclass"],
        "  return a + b;\n}",
        ["const add = (a: number, b: number): number => a + b;\n"],
    ),
    "php": (
        "<?php\n// adds\nfunction add($a, $b) {\n",
        "function candidate(...$args) {\n    return add(...$args);\n}\n\nfunction test(): void {\n"
        '    if (candidate(2, 3) !== 5) { throw new Exception("Test failed!"); }\n}\n\ntest();',
        ["\nfunction", "\n?>", "\n//", "\n#"],
        "    return $a + $b;\n}",
        ["<?php\nfunction add($a, $b) {\n    return $a + $b;\n}\n?>\n"],
    ),
    "sh": (
        "#!/bin/bash\n# adds\n#\n# $1 is an integer\n# $2 is an integer\nadd() {\n",
        '}\n\ncandidate() {\n    add "$@"\n}\n\nset -e\nrun_test() {\n    [[ $(candidate "2" "3") = "5" ]]\n}\n\nrun_test',
        ["\n}"],
        "    echo $(($1 + $2))",
        ["add() {\n    echo $(($1 + $2))\n}\n", "#!/bin/bash\nfunction add {\n  echo $(($1 + $2))\n}\nadd 1 2\n"],
    ),
}
PYTHON = ("def add(a, b):\n    '''adds'''\n", "def check(f):\n    assert f(2, 3) == 5\n\ncheck(add)")


@pytest.fixture(scope="module")
def isolated():
    lack = humaneval_mul.needs()
    if lack is not None:
        pytest.skip(f"needs {lack}")


def _item(tmp_path, language: str) -> Item:
    if language == "python":
        row = {"task_id": "t", "prompt": PYTHON[0], "test": PYTHON[1], "canonical_solution": "    return a + b\n"}
    else:
        prompt, tests, stops, *_ = TOY[language]
        row = {"task_id": "t", "language": language, "prompt": prompt, "test": tests, "stop_tokens": stops}
    (tmp_path / "humaneval_multilang.jsonl").write_text(json.dumps(row) + "\n")
    (item,) = humaneval_mul.items(Folder(tmp_path))
    return item


@pytest.mark.parametrize("language", TOY)
def test_right_programs_pass_in_any_form_and_wrong_ones_fail(isolated, tmp_path, language):
    item = _item(tmp_path, language)
    *_, body, whole = TOY[language]
    right = [
        f"{item.gold.prompt}{body}\n",
        body + TOY[language][2][0] + "more of it",
        *(f"Sure:\n```{language}\n{code}```\n" for code in whole),
    ]
    wrong = [response.replace("+", "-") for response in right]
    marks = humaneval_mul.score([(item, response) for response in right + wrong])
    assert [mark.reason for mark in marks[: len(right)]] == ["match"] * len(right)
    assert [mark.value for mark in marks[len(right) :]] == [0.0] * len(wrong)
    assert not any(mark.failed for mark in marks)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("js", "function add(a, b) { process.exit(0); }"),
        ("php", "<?php\nfunction add($a, $b) { exit(0); }"),
        ("sh", "add() { echo; }\nexit 0"),
        ("cpp", "long add(long a, long b) { exit(0); }"),
        ("java", "class Problem {\n public static long add(long a, long b) { System.exit(0); return 0; }\n}"),
        ("cs", "class Problem {\n public static long Add(long a, long b) { Environment.Exit(0); return 0; }\n}"),
        ("python", "import sys\ndef add(a, b):\n    sys.exit(0)"),
    ],
)
def test_who_leaves_before_the_tests_has_not_passed(isolated, tmp_path, language, code):
    (mark,) = humaneval_mul.score([(_item(tmp_path, language), f"```{language}\n{code}\n```")])
    assert (mark.value, mark.reason) == (0, "ended_before_the_tests")


@pytest.mark.parametrize("language", [*TOY, "python"])
def test_what_is_no_program_is_wrong_and_no_fault_of_ours(isolated, tmp_path, language):
    item = _item(tmp_path, language)
    marks = humaneval_mul.score([(item, response) for response in ("", "I cannot do that.", "```java\nclass {\n```")])
    assert [(mark.value, mark.failed) for mark in marks] == [(0, False)] * 3


def test_published_problems_have_the_function_that_their_tests_call(afterbase_data):
    for item in humaneval_mul.items(Folder(afterbase_data / "capability")):
        assert item.gold.function in item.gold.tests
        assert item.gold.function in item.prompt


def test_published_python_solutions_pass(isolated, afterbase_data):
    items = [item for item in humaneval_mul.items(Folder(afterbase_data / "capability")) if item.right]
    assert len(items) == 7
    assert [mark.reason for mark in humaneval_mul.score([(item, item.right or "") for item in items])] == ["match"] * 7
