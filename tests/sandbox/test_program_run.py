"""Each language is built and run for real where its tools are installed; the test is skipped where not."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.temporary_folders import sweep
from afterbase.sandbox.confinement import SCRATCH, Limits, Unconfined
from afterbase.sandbox.languages import LANGUAGES, SPELLINGS
from afterbase.sandbox.program_run import ProgramRun, lines_of, make_executable, work_dir
from afterbase.sandbox.programs import Case, Program, ProgramRunner
from afterbase.sandbox.users import USERS
from confinements import confinement_or_skip, skip_without_tools

# A sum of what is read; a broken source; an uncaught error. Each in a language's own words.
PROGRAMS = {
    "python": ("import sys\nprint(sum(map(int, sys.stdin.read().split())))", "print(3", "raise ValueError"),
    "javascript": (
        "const s = require('fs').readFileSync('/dev/stdin', 'utf8');\n"
        "console.log(s.trim().split(/\\s+/).map(Number).reduce((a, b) => a + b))",
        "console.log(3",
        "throw 1",
    ),
    "typescript": (
        "import * as fs from 'fs';\nconst s: string = fs.readFileSync(0, 'utf8');\n"
        "console.log(s.trim().split(/\\s+/).map(Number).reduce((a: number, b: number) => a + b))",
        "const x: number = 'three'",
        "throw 1",
    ),
    "java": (
        "import java.util.*;\nclass Helper {}\npublic class Sum { public static void main(String[] a) {\n"
        "var s = new Scanner(System.in); long t = 0; while (s.hasNext()) t += s.nextLong(); System.out.println(t); } }",
        'class A { public static void main(String[] a) { int x = "three"; } }',
        "class A { public static void main(String[] a) { throw new RuntimeException(); } }",
    ),
    "cpp": (
        "#include <iostream>\nint main() { long t = 0, x; while (std::cin >> x) t += x; std::cout << t << '\\n'; }",
        "int main() { return }",
        "int main() { return 3; }",
    ),
    "csharp": (
        "using System; using System.Linq;\nclass P { static void Main() { Console.WriteLine(Console.In.ReadToEnd()\n"
        ".Split((char[]) null, StringSplitOptions.RemoveEmptyEntries).Select(long.Parse).Sum()); } }",
        'class P { static void Main() { int x = "three"; } }',
        "class P { static void Main() { throw new System.Exception(); } }",
    ),
    "php": (
        "<?php echo array_sum(preg_split('/\\s+/', trim(file_get_contents('php://stdin')))), PHP_EOL;",
        "<?php echo (3;",
        "<?php throw new Exception();",
    ),
    "bash": ("t=0; for x in $(cat); do t=$((t + x)); done; echo $t", "if true; then echo 3", "exit 3"),
}
ROOMY = Limits()
SLOW = {"typescript", "java", "cpp", "csharp"}


def judged(language: str, text: str, stdout: str = "6\n", limits: Limits = ROOMY) -> str:
    skip_without_tools(language)
    with work_dir() as place:
        run = ProgramRun(
            language=SPELLINGS[language], text=text, work_dir=place, confinement=confinement_or_skip(), limits=limits
        )
        return run.fault_of_building() or run.reason(stdin="1 2\n3\n", stdout=stdout)


def test_all_languages_are_here() -> None:
    assert list(PROGRAMS) == [language.name for language in LANGUAGES]


@pytest.mark.parametrize("language", PROGRAMS)
def test_a_right_program_matches(language: str) -> None:
    assert judged(language, PROGRAMS[language][0]) == "match"


@pytest.mark.parametrize("language", [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in PROGRAMS])
def test_wrong_ones_are_told_apart(language: str) -> None:
    right, broken, crashing = PROGRAMS[language]
    assert judged(language, right, "7\n") == "mismatch"
    assert judged(language, broken) == "compile"
    assert judged(language, crashing) == "crash"


MEMORY_BOMBS = {
    "python": "a = []\nwhile True: a.append('x' * 10 ** 6)",
    "javascript": "const a = []; while (true) a.push(Buffer.alloc(1e7, 1))",
    "java": "class A { public static void main(String[] a) { var l = new java.util.ArrayList<int[]>(); "
    "while (true) l.add(new int[1000000]); } }",
    "cpp": "#include <vector>\nint main() { std::vector<long> v; while (true) v.push_back(1); }",
    "csharp": "using System.Collections.Generic; class P { static void Main() { var l = new List<byte[]>(); "
    "while (true) { var b = new byte[1000000]; for (int i = 0; i < b.Length; i += 4096) b[i] = 1; l.Add(b); } } }",
    "php": "<?php $a = []; while (true) $a[] = str_repeat('x', 1000000);",
    "bash": "a=x; while :; do a=$a$a; done",
}


@pytest.mark.parametrize(
    "language", [pytest.param(x, marks=[pytest.mark.slow] * (x != "python")) for x in MEMORY_BOMBS]
)
def test_memory_bombs_are_told_as_such(language: str) -> None:
    assert judged(language, MEMORY_BOMBS[language]) == "memory"


DEEP = {
    "python": "import functools, sys\nsys.setrecursionlimit(10 ** 6)\n@functools.lru_cache(None)\n"
    "def f(n): return n and 1 + f(n - 1)\nprint(f(20000))",
    "javascript": "const f = n => n && 1 + f(n - 1); console.log(f(200000))",
    "typescript": "const f = (n: number): number => n && 1 + f(n - 1); console.log(f(50000))",
    "java": "class A { static int f(int n) { return n == 0 ? 0 : 1 + f(n - 1); } "
    "public static void main(String[] a) { System.out.println(f(200000)); } }",
    "cpp": "#include <cstdio>\nint f(volatile int n) { volatile char room[512]; room[0] = n; "
    'return n ? 1 + f(n - 1) + 0 * room[0] : 0; }\nint main() { std::printf("%d\\n", f(200000)); }',
    "csharp": "class P { static int F(int n) { return n == 0 ? 0 : 1 + F(n - 1); } "
    "static void Main() { System.Console.WriteLine(F(200000)); } }",
    "php": "<?php function f($n) { return $n ? 1 + f($n - 1) : 0; } echo f(50000);",
    "bash": "f() { if (( $1 )); then f $(( $1 - 1 )); fi; }; f 5000; echo 5000",
}


@pytest.mark.parametrize("language", [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in DEEP])
def test_deep_recursion_is_no_crash(language: str) -> None:
    """As it is none where a stack of 256 MiB is given in the open."""
    depth = "".join(re.findall(r"\d{4,}", DEEP[language])[-1:])
    assert judged(language, DEEP[language], f"{depth}\n") == "match"


@pytest.mark.parametrize("language", [pytest.param(x, marks=[pytest.mark.slow] * (x in SLOW)) for x in DEEP])
def test_recursion_without_end_is_one(language: str) -> None:
    text = {
        "python": "def f(): f()\nf()",
        "javascript": "const f = () => 1 + f(); f()",
        "typescript": "const f = (): number => 1 + f(); f()",
        "java": "class A { static int f() { return 1 + f(); } public static void main(String[] a) { f(); } }",
        "cpp": "int f(volatile int n) { return 1 + f(n + 1); }\nint main() { return f(0); }",
        "csharp": "class P { static int F(int n) { return 1 + F(n + 1); } static void Main() { F(0); } }",
        "php": "<?php function f() { return 1 + f(); } f();",
        "bash": "f() { f; }; f",
    }[language]
    limits = replace(ROOMY, cpu_seconds=2) if language == "bash" else ROOMY  # it takes long to fill 256 MiB
    assert judged(language, text, limits=limits) in ("crash", "memory", "timeout")


def test_impossible_blocks_are_memory_too() -> None:
    assert judged("python", "'x' * 10 ** 13") == "memory"


def test_a_bomb_of_processes_in_bash_ends() -> None:
    limits = Limits(wall_seconds=2.0, processes=24)
    assert judged("bash", "f() { f | f & }; f; wait", limits=limits) in ("timeout", "crash", "mismatch")


def test_bytes_that_are_no_text_equal_none() -> None:
    assert judged("python", "import os; os.write(1, b'\\xff')", "\ufffd") == "mismatch"
    assert judged("python", "print(chr(0xfffd))", "\ufffd") == "match"


@pytest.mark.parametrize("text", ["import fs from 'fs';\nlet a = ;", "let a = ;", "#!/usr/bin/node\n(", "let a, a;"])
def test_broken_modules_and_scripts_of_javascript_are_told_as_such(text: str) -> None:
    assert judged("javascript", text) == "compile"


@pytest.mark.parametrize("text", ["JSON.parse('(')", "import fs from 'fs';\nfs.nothing()", "return nothing"])
def test_whole_ones_that_fail_have_crashed(text: str) -> None:
    assert judged("javascript", text) == "crash"


@pytest.mark.slow
def test_types_of_node_are_taken_on_trust_and_others_are_not() -> None:
    named = '/// <reference types="node" />\nlet t: NodeJS.Timeout = setTimeout(() => console.log(6), 1);\n'
    assert judged("typescript", named) == "match"
    assert judged("typescript", named + "let other: Nowhere.Timeout;") == "compile"


@pytest.mark.slow
def test_a_package_of_java_may_have_any_name() -> None:
    text = "package tmp; public class A { public static void main(String[] a) { System.out.println(6); } }"
    assert judged("java", text) == "match"


@pytest.mark.slow
def test_a_source_may_not_be_put_together_from_files_outside() -> None:
    assert judged("cpp", '#include "/etc/passwd"\nint main() {}') == "compile"


class Stubborn(Unconfined):
    """Leaves in each scratch folder a file that even root cannot remove, until the test is done with it."""

    def __init__(self) -> None:
        self.stuck: list[Path] = []

    def confined(self, command, work_dir, limits, *, building, status):
        file = work_dir.folder / SCRATCH / "stuck"
        file.touch()
        if subprocess.run(["chattr", "+i", file], capture_output=True).returncode:
            pytest.skip("files cannot be made immutable here")
        self.stuck.append(work_dir.folder)
        return super().confined(command, work_dir, limits, building=building, status=status)


def test_what_a_program_leaves_for_ever_costs_no_verdict() -> None:
    confinement = Stubborn()
    program = Program("python", "print(6)", [Case("", "6"), Case("", "7")])
    try:
        assert (
            ProgramRunner(confinement=confinement).reasons([program, program], all_tests=True)
            == [["match", "mismatch"]] * 2
        )
        assert all(folder.exists() for folder in confinement.stuck)
    finally:
        for folder in confinement.stuck:
            subprocess.run(["chattr", "-R", "-i", folder], check=True)
        sweep(USERS)
    assert not any(folder.exists() for folder in confinement.stuck)


@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder", "second name", "closed file", "nothing"])
def test_what_a_build_leaves_for_an_executable_is_only_made_one_if_it_is_a_file_of_its_own(
    tmp_path: Path, kind: str
) -> None:
    path, other = tmp_path / "main", tmp_path / "other"
    other.touch(mode=0o600)
    match kind:
        case "link" | "dangling link":
            path.symlink_to(other if kind == "link" else tmp_path / "nowhere")
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "second name":
            path.hardlink_to(other)
        case "closed file":
            path.touch(mode=0)
    before = path.lstat().st_mode if os.path.lexists(path) else None
    make_executable(path)
    assert other.stat().st_mode & 0o777 == 0o600
    if kind != "closed file":  # root opens it, another user is refused
        assert (path.lstat().st_mode if os.path.lexists(path) else None) == before
    path = tmp_path / "file"
    path.touch(mode=0o600)
    make_executable(path)
    assert path.stat().st_mode & 0o777 == 0o755


@given(st.lists(st.text("ab \t\r", max_size=4), max_size=5))
def test_blank_ends_do_not_count(lines: list[str]) -> None:
    bare = lines_of("\n".join(line.rstrip() for line in lines))
    assert lines_of("\n".join(lines)) == lines_of("\n".join(lines) + "\n\n") == bare


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "a  b"), (" a", "a"), ("a\n\nb", "a\nb"), ("1.0", "1"), ("\na", "a")]
)
def test_all_else_counts(one: str, other: str) -> None:
    assert lines_of(one) != lines_of(other)
