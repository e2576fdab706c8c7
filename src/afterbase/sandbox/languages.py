"""The eight languages of HumanEval-Mul: how a program in each is named, built, checked and run.

In commands `{work}` is the program's folder, `{heap}` the megabytes that a run-time may give to objects, `{stack}` the
kilobytes of its stack, `{file}` and `{main}` the names that the source asks for (Java), `{typescript}` the compiler's
library. The first word of a command is one of `binaries`, each with the Debian package that holds it.

Does not cover: C# by Microsoft's compiler (Mono's knows C# 6 and some of 7), programs of several files, packages beyond
the standard library.
"""

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from afterbase.core.errors import UserError
from afterbase.sandbox.confinement import reachable

# Node's own names and modules have no types here; those of browsers would take two seconds to read.
_TYPESCRIPT = """
const ts = require(process.argv[1]), file = process.argv[2];
const options = {target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.CommonJS, esModuleInterop: true, types: [],
                 lib: ["lib.es2022.d.ts"], skipLibCheck: true};
const untyped = new Set([2307, 2580, 2584, 2591, 2688, 2792, 7016]);
const given = (code, name) => untyped.has(code) || ([2304, 2552].includes(code) && name in globalThis)
    || (code === 2503 && name === "NodeJS");
const program = ts.createProgram([file], options), source = program.getSourceFile(file);
const text = found => ts.flattenDiagnosticMessageText(found.messageText, "\\n");
const errors = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    .filter(found => !given(found.code, (text(found).match(/'(\\w+)'/) || [])[1]));
errors.forEach(found => console.error(text(found)));
program.emit();
process.exit(errors.length ? 1 : 0);
"""
# `node --check` lets a broken module through.
_JAVASCRIPT = """
const vm = require("vm"), text = require("fs").readFileSync(process.argv[1], "utf8").replace(/^#!.*/, "");
try { vm.compileFunction(text, ["exports", "require", "module", "__filename", "__dirname"]); }
catch { new vm.SourceTextModule(text); }
"""
_NODE = ("node", "--max-old-space-size={heap}", "--stack-size={stack}")
# Both in linear time on any text: what is not closed goes to the end, and nothing repeats without bound.
_JAVA_TEXTS = re.compile(
    r'//[^\n]*|/\*.*?(?:\*/|\Z)|"""(?:\\.|[^\\])*?(?:"""|\Z)|"(?:\\.|[^"\\\n])*+"?|\'(?:\\.|[^\'\\\n])*+\'?', re.DOTALL
)
_JAVA_TOKENS = re.compile(
    r"[{}]|(public\s+)?(?:\b(?:static|final|abstract|sealed|strictfp)\s+){0,4}\b(?:class|interface|enum|record)\s+([\w$]+)"
    r"|\bstatic\b[^;{}()=]{0,99}?\bvoid\s+main\s*\(\s*(?:final\s+)?(String)\b|\bvoid\s+main\s*\("
)
_FILE_NAME_BYTES = 200
_JAVA = ("-XX:+UseSerialGC", "-XX:-UsePerfData", "-XX:ActiveProcessorCount=1")


@dataclass(frozen=True, kw_only=True)
class Language:
    """One row of the table. `check` tells a broken source from one that crashes; it is asked only after a crash."""

    name: str
    spellings: Sequence[str]
    binaries: Mapping[str, str]
    file: str
    build: Sequence[str] | None = None
    check: Sequence[str] | None = None
    run: Sequence[str]
    executable: str | None = None
    """The file that building makes and running starts."""
    reserves: bool = False
    """Whether the run-time reserves far more addresses than it uses."""


LANGUAGES = (
    Language(
        name="python",
        spellings=("python", "py", "python3"),
        binaries={"python3": "python3"},
        file="main.py",
        check=("python3", "-c", "compile(open('{work}/main.py', 'rb').read(), 'main.py', 'exec')"),
        run=("python3", "-s", "-P", "-X", "utf8", "{work}/main.py"),
    ),
    Language(
        name="javascript",
        spellings=("javascript", "js", "node", "nodejs"),
        binaries={"node": "nodejs"},
        file="main.js",
        check=("node", "--experimental-vm-modules", "-e", _JAVASCRIPT, "{work}/main.js"),
        run=(*_NODE, "{work}/main.js"),
        reserves=True,
    ),
    Language(
        name="typescript",
        spellings=("typescript", "ts"),
        binaries={"node": "nodejs", "tsc": "node-typescript"},
        file="main.ts",
        build=("node", "-e", _TYPESCRIPT, "{typescript}", "{work}/main.ts"),
        run=(*_NODE, "{work}/main.js"),
        reserves=True,
    ),
    Language(
        name="java",
        spellings=("java",),
        binaries={"javac": "default-jdk-headless", "java": "default-jdk-headless"},
        file="{file}.java",
        build=(
            *("javac", *(f"-J{option}" for option in _JAVA), "-J-XX:TieredStopAtLevel=1", "-proc:none", "-nowarn"),
            *("-encoding", "UTF-8", "-d", "{work}", "{work}/{file}.java"),
        ),
        run=("java", *_JAVA, "-Xmx{heap}m", "-Xss{stack}k", "-ea", "-cp", "{work}", "{main}"),
        reserves=True,
    ),
    Language(
        name="cpp",
        spellings=("cpp", "c++", "cxx", "cc"),
        binaries={"g++": "g++"},
        file="main.cpp",
        build=("g++", "-std=c++20", "-O2", "-pipe", "-w", "-o", "{work}/main", "{work}/main.cpp"),
        run=("{work}/main",),
        executable="main",
    ),
    Language(
        name="csharp",
        spellings=("csharp", "c#", "cs"),
        binaries={"mcs": "mono-mcs", "mono": "mono-runtime"},
        file="main.cs",
        build=("mcs", "-nologo", "-warn:0", "-r:System.Numerics", "-out:{work}/main.exe", "{work}/main.cs"),
        run=("mono", "{work}/main.exe"),
        reserves=True,
    ),
    Language(
        name="php",
        spellings=("php",),
        binaries={"php": "php-cli"},
        file="main.php",
        check=("php", "-l", "{work}/main.php"),
        run=("php", "-d", "display_errors=stderr", "-d", "memory_limit={heap}M", "{work}/main.php"),
    ),
    Language(
        name="bash",
        spellings=("bash", "sh", "shell"),
        binaries={"bash": "bash"},
        file="main.sh",
        check=("bash", "-n", "{work}/main.sh"),
        run=("bash", "{work}/main.sh"),
    ),
)
SPELLINGS = {spelling: language for language in LANGUAGES for spelling in language.spellings}


def language_of(spelling: str) -> Language:
    """The language of this name, in any of its spellings and cases; UserError for another."""
    try:
        return SPELLINGS[spelling.lower()]
    except KeyError:
        raise UserError(
            f"a program is in one of {', '.join(language.name for language in LANGUAGES)}",
            got=repr(spelling),
            remedy="correct the language",
        ) from None


def toolchain(language: Language) -> dict[str, Path]:
    """The real path of each of the language's binaries; UserError that names the package of a missing one."""
    return {binary: _binary(language, binary, package) for binary, package in language.binaries.items()}


def _binary(language: Language, binary: str, package: str) -> Path:
    candidates = [sys.executable] if language.name == "python" else []
    candidates += [found for found in (shutil.which(binary), shutil.which(binary, path="/usr/bin:/bin")) if found]
    for candidate in candidates:
        path = Path(candidate).resolve()
        if reachable(path.parent):
            return Path("/usr/bin", binary) if path.is_relative_to("/usr") and binary == "mcs" else path
    raise UserError(
        f"programs in {language.name} need `{binary}`",
        got=f"{candidates[0]}, which other users may not read" if candidates else "no such command",
        remedy=f"install it (Debian: apt-get install {package}), or leave those programs out",
    )


def typescript_library(tsc: Path) -> Path:
    """The compiler as a module, beside the command that calls it."""
    return tsc.parent.parent / "lib" / "typescript.js"


def java_names(source: str) -> tuple[str, str]:
    """The name that the source file must have, and the class to start with its package.

    The file is named for its public type; started is the top-level class in whose braces `main` stands.
    """
    bare = _JAVA_TEXTS.sub(" ", source)
    package = re.search(r"^\s*package\s+([\w.]+)\s*;", bare)
    public, started, other, current, depth = None, None, None, None, 0
    for token in _JAVA_TOKENS.finditer(bare):
        text = token.group()
        if text in "{}":
            depth += 1 if text == "{" else -1
        elif token.group(2) and depth == 0:
            current = token.group(2)
            public = current if token.group(1) else public
        elif token.group(3):
            started = started or current
        elif not token.group(2):
            other = other or current
    main = started or other or public or "Main"
    name = public or main
    if len(name.encode()) > _FILE_NAME_BYTES:  # the compiler refuses it by any name
        return "Main", "Main"
    return name, f"{package.group(1)}.{main}" if package else main
