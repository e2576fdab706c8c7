"""MultiPL-E's problems (Cassano et al. 2023, arXiv 2208.08227): from prompt, response and tests to a program.

Tests there continue a prompt's open function: for most languages they begin by closing it. A response with the whole
function in a block of code stands in the place of the prompt, and the tests follow without what they close; other code
continues the prompt as it would in a completion. A program has passed if it prints, after all tests, the word `DONE`.

Ours: the pairs of `org.javatuples`, which no JDK has, are records in the same file; C#'s Debug.Assert, which does
nothing in a release, is a method that throws.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from afterbase.core.code.code_blocks import programs
from afterbase.eval.tasks.code.braces import closing, enclosing, without
from afterbase.sandbox import language_of

DONE = "every test has passed"
_BODY = r"\s*\([^;]*?\)[^;{}]*?(?:\{|=>)"  # what makes a function's name its definition
_MAIN = r"(?:\b(?:public|private|static|async)\s+)*\bstatic\s+(?:async\s+)?(?:void|int|Task)\s+[Mm]ain\s*\("
_TUPLES = "import org.javatuples.*;"
_RECORDS = "\n".join(
    f"record {name}<{types}>({fields}) {{ static <{types}> {name}<{types}> with({parameters}) "
    f"{{ return new {name}<>({arguments}); }} }}"
    for name, letters in (("Unit", "A"), ("Pair", "AB"), ("Triplet", "ABC"), ("Quartet", "ABCD"), ("Quintet", "ABCDE"))
    for types, fields, parameters, arguments in [
        (
            ", ".join(letters),
            ", ".join(f"{letter} getValue{i}" for i, letter in enumerate(letters)),
            ", ".join(f"{letter} {letter.lower()}" for letter in letters),
            ", ".join(letters.lower()),
        )
    ]
)
_REQUIRE = '    static void Require(bool holds) { if (!holds) throw new Exception("a test failed"); }\n'
_SAY = {
    "java": f'System.out.println("\\n{DONE}");',
    "csharp": f'Console.WriteLine("\\n{DONE}");',
    "cpp": f'std::cout << "\\n{DONE}" << std::endl;',
    "javascript": f'console.log("\\n{DONE}");',
    "typescript": f'console.log("\\n{DONE}");',
    "php": f'echo "\\n{DONE}\\n";',
    "bash": f"echo; echo '{DONE}'",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A prompt that ends in an open function, its tests, and where a completion of it stops."""

    language: str
    prompt: str
    tests: str
    stops: Sequence[str]

    @property
    def function(self) -> str:
        """The name of the function that is to be written."""
        head = r"^def\s+(\w+)" if self.language == "python" else r"(\w+)\s*\([^\n]*$"
        names = re.findall(head, self.prompt.rstrip(), re.MULTILINE)
        assert names, self.prompt
        return names[-1]


def program(problem: Problem, response: str) -> str:
    """The source to build and run."""
    tests = _reporting(problem)
    code = _code(problem, response)
    if code is None:
        return _finished(problem, f"{problem.prompt}{_completion(problem, response)}\n{tests}")
    head = _head(problem)
    if problem.language in ("java", "csharp"):
        return _finished(problem, f"{head}{_in_class(problem, code, tests)}")
    if problem.language == "cpp":
        code = without(code, r"\b(?:int|void|auto)\s+main\s*\(")
    if problem.language == "php":
        code = re.sub(r"<\?php\b|\?>", "", code)
    return _finished(problem, f"{head}{code}\n{_without_closing(tests)}")


def _code(problem: Problem, response: str) -> str | None:
    """The last block that defines the function; None where none does."""
    name = re.escape(problem.function)
    form = {
        "bash": rf"(?:^|\n)\s*(?:function\s+{name}\b|{name}\s*\(\s*\))",
        "php": rf"\bfunction\s+&?{name}\s*\(",
        "javascript": rf"\bfunction\s*\*?\s*{name}\s*\(|\b{name}\s*=",
        "typescript": rf"\bfunction\s+{name}\b|\b{name}\s*(?::[^=\n]+)?=",
    }.get(problem.language, rf"[\w>\]&*]\s+[*&]?{name}{_BODY}")
    return next((block for block in reversed(_blocks(problem, response)) if re.search(form, block)), None)


def _blocks(problem: Problem, response: str) -> list[str]:
    found = programs(response, language_of(problem.language).spellings)
    return [block.replace("\r\n", "\n") for block in found]


def _completion(problem: Problem, response: str) -> str:
    """A continuation of the prompt, up to where the function ends; the prompt is taken off, if it is repeated."""
    blocks = _blocks(problem, response)
    text = (blocks[-1] if blocks else response).removeprefix(problem.prompt)
    ends = [place for stop in problem.stops if (place := text.find(stop)) >= 0]
    return text[: min(ends)] if ends else text


def _head(problem: Problem) -> str:
    """What the prompt brings before the function: imports, includes, the first line of a script."""
    kept = r"(?:import|using|#include|#!|<\?php)"
    lines = [line for line in problem.prompt.splitlines() if re.match(kept, line)]
    return "".join(f"{line}\n" for line in lines)


def _in_class(problem: Problem, code: str, tests: str) -> str:
    """The class that holds the function, with the tests' `main` in the place of its own; bare methods get a class."""
    code = without(code, _MAIN)
    main = _without_closing(tests).rstrip()
    main = main[: main.rstrip().rfind("}")]  # the class is closed by its own brace
    found = re.search(rf"\b{re.escape(problem.function)}{_BODY}", code)
    opening = enclosing(code, found.start()) if found is not None else None
    end = closing(code, opening) if opening is not None else None
    if end is None:
        imports = "".join(
            f"{line}\n" for line in code.splitlines() if re.match(r"\s*(?:import|using)\s[\w.*\s]+;", line)
        )
        bare = "\n".join(line for line in code.splitlines() if not re.match(r"\s*(?:import|using)\s[\w.*\s]+;", line))
        return f"{imports}class Problem {{\n{bare}\n{main}\n}}\n"
    return f"{code[:end]}\n{main}\n{code[end:]}"


def _without_closing(tests: str) -> str:
    return re.sub(r"\A\s*\}", "", tests)


def _reporting(problem: Problem) -> str:
    """The tests, with the word at their end that says that all have passed."""
    say, tests = _SAY[problem.language], problem.tests.rstrip()
    if problem.language in ("javascript", "typescript", "php", "bash"):
        return f"{tests}\n{say}\n"
    last = tests.rfind("}")
    if problem.language == "cpp":
        return f"{tests[:last]}{say}\n}}\n"
    before = tests.rfind("}", 0, last)  # main's, inside the class's
    return f"{tests[:before]}{say}\n{tests[before:]}\n"


def _finished(problem: Problem, source: str) -> str:
    if problem.language == "java" and _TUPLES in source:
        return f"{source.replace(_TUPLES, '')}\n{_RECORDS}\n"
    if problem.language == "csharp":
        source = source.replace("Debug.Assert(", "Require(")
        return re.sub(r"(?=^[ \t]*public static void Main\()", lambda _: _REQUIRE, source, count=1, flags=re.MULTILINE)
    return source
