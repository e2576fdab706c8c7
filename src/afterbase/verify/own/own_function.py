"""A user's own reward by its name: `file.py:function`, `module:function`, or a callable of this process.

What identifies it is the digest of its source: that of its file and of the local modules that the file imports. Where
the file lies is no part of it. Nothing is imported here: the workers do that (`own_worker.py`).

Does not cover: what a function reads while it runs, and packages that are installed; neither is in the digest.
"""

import ast
import functools
import hashlib
import inspect
import marshal
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from types import CodeType
from typing import Any

from afterbase.core.errors import UserError

OWN = "own"
"""The verifier of a problem whose answers the user's own function judges."""

_CALLABLE = "callable"
_FOUND: dict[str, "OwnFunction"] = {}  # by key: what this process has found before


@dataclass(frozen=True)
class OwnFunction:
    """A function of the user's. `file` and `module` say where it is, `call` is one of this process.

    `module` is the module's name where it was named so, and otherwise empty.
    """

    name: str
    digest: str
    file: str = ""
    module: str = ""
    call: Callable[..., Any] | None = field(default=None, hash=False)

    @property
    def shown(self) -> str:
        """Its name in messages and verdicts, without the folder."""
        return f"{self.module or os.path.basename(self.file) or _CALLABLE}:{self.name}"

    @property
    def key(self) -> str:
        """What stands for it in an artifact's key and in a problem: name and digest, no path."""
        return f"{self.name}@{self.digest}"

    @property
    def reference(self) -> str:
        """What `find` finds it by again; a file from any folder, a callable in this process alone."""
        return f"{_CALLABLE}:{self.key}" if self.call is not None else f"{self.module or self.file}:{self.name}"

    def files(self) -> set[Path]:
        """What the digest is of: its file and the local modules that this imports; none of a callable."""
        return set() if self.call is not None else _sources(Path(self.file))

    def unchanged(self) -> bool:
        """Whether its files are still those that its digest is of."""
        return self.call is not None or (Path(self.file).is_file() and _digest(Path(self.file)) == self.digest)


def is_own(name: str) -> bool:
    """Whether a verifier's name is that of a function: FILE.py:FUNCTION or MODULE:FUNCTION."""
    return ":" in name or name.endswith(".py")


def find(reference: str | Callable[..., Any]) -> OwnFunction:
    """The function of that name, found in its source; a callable stands for itself.

    Raises UserError for a file or module that does not exist, and for a function that it does not have; the message
    names those that it has.
    """
    if not isinstance(reference, str):
        return _remembered(_callable(reference))
    place, _, name = reference.rpartition(":")
    if place == _CALLABLE:
        return _known(name)
    if not place:
        place, name = reference, ""
    module = "" if place.endswith(".py") else place
    file = _module_file(module) if module else Path(place)
    if file is None or not file.is_file():
        kind = "module" if module else "file"
        raise UserError(
            "one's own reward is FILE.py:FUNCTION or MODULE:FUNCTION",
            got=f"`{reference}`: there is no {kind} `{place}`",
            remedy=f"correct the {kind}; paths count from {os.getcwd()}",
        )
    _refuse_missing(file, name)
    return _remembered(OwnFunction(name=name, digest=_digest(file), file=str(file.resolve()), module=module))


def of_problem(spec: dict[str, Any]) -> OwnFunction:
    """The function that a problem names: `spec["function"]`, a reference, or the key of one found before.

    Raises UserError where it cannot be found, or where its file is not that which the problem was made for.
    """
    reference, digest = spec["function"], spec.get("digest")
    known = _FOUND.get(f"{reference.rpartition(':')[2]}@{digest}") if digest else None
    if known is not None:
        return known
    found = find(reference)
    if digest and found.digest != digest:
        raise UserError(
            "problems are judged by the function that they were made for",
            got=f"`{reference}`, which has changed since",
            remedy="run the whole command again: the problems are then made anew",
        )
    return found


def _remembered(function: OwnFunction) -> OwnFunction:
    _FOUND[function.key] = function
    return function


def _known(key: str) -> OwnFunction:
    if key not in _FOUND:
        raise UserError(
            "a callable is a reward in the process that has it",
            got=f"`{key.partition('@')[0]}`, which this process does not have",
            remedy="put the function into a file, and name it FILE.py:FUNCTION",
        )
    return _FOUND[key]


def _callable(call: Callable[..., Any]) -> OwnFunction:
    name = getattr(call, "__name__", type(call).__name__)
    return OwnFunction(name=name, digest=hashlib.sha256(_identity(call)).hexdigest(), call=call)


def _identity(value: Any) -> bytes:
    """The source of a callable, or else its code's bytes, with what it is bound to; another value as pickle has it.

    A value that cannot be pickled counts by its type alone.
    """
    if isinstance(value, functools.partial):
        return b"partial" + _identity(value.func) + _identity(value.args) + _identity(sorted(value.keywords.items()))
    if inspect.ismethod(value):
        return _identity(value.__func__) + _identity(value.__self__)
    if inspect.isfunction(value):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        bound = [*cells, *(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        return _source(value, value.__code__) + b"".join(map(_identity, bound))
    if callable(value) and not isinstance(value, type) and inspect.isfunction(type(value).__call__):
        return _identity(type(value).__call__) + b"".join(map(_identity, getattr(value, "__dict__", {}).values()))
    try:
        return pickle.dumps(value)
    except Exception:  # anything may be bound, and its pickling may raise anything
        return f"{type(value).__module__}.{type(value).__qualname__}".encode()


def _source(function: Any, code: CodeType) -> bytes:
    try:
        return inspect.getsource(function).encode()
    except (OSError, TypeError):  # typed into an interpreter
        return marshal.dumps(code)


def _module_file(module: str) -> Path | None:
    """Where a module's source lies, by the path of imports; no package on the way is imported."""
    folders: Any = [os.getcwd(), *sys.path]
    spec = None
    for depth, _ in enumerate(parts := module.split("."), start=1):
        spec = PathFinder.find_spec(".".join(parts[:depth]), folders)
        if spec is None:
            return None
        folders = spec.submodule_search_locations or []
    return Path(spec.origin) if spec is not None and spec.origin else None


def _refuse_missing(file: Path, name: str) -> None:
    """UserError where the source defines no such name; a file that imports all of another is taken at its word."""
    tree = _parsed(file)
    defined, functions, open_ended = set(), [], False
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            defined |= {alias.asname or alias.name for alias in node.names}
            open_ended |= any(alias.name == "*" for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append(node.name)
    if name in {*defined, *functions} or (name and open_ended) or name in _nested(tree):
        return
    raise UserError(
        "one's own reward is FILE.py:FUNCTION, and the file has that function",
        got=f"`{file.name}:{name}`" if name else f"`{file.name}` without a function",
        remedy=f"the file has {', '.join(f'`{known}`' for known in functions) or 'no function'}",
    )


def _nested(tree: ast.Module) -> set[str]:
    """Names that a class, or a function within an `if`, defines."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    branches = [node for node in tree.body if isinstance(node, ast.If | ast.Try | ast.With)]
    inner = [node for branch in branches for node in ast.walk(branch)]
    return {node.name for node in [*tree.body, *inner] if isinstance(node, kinds)}


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise UserError(
            "the file of one's own reward is Python", got=f"{file}{line}: {error}", remedy="correct the file"
        ) from None


def _digest(file: Path) -> str:
    """SHA-256 over the file and the local modules that it imports, by their names in their folder."""
    file = file.resolve()
    total = hashlib.sha256()
    for path in sorted(_sources(file)):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{os.path.relpath(path, file.parent)}\0{content}\n".encode())
    return total.hexdigest()


def _sources(file: Path) -> set[Path]:
    """The file, and what it imports from its own folder or package, all the way down."""
    found: set[Path] = set()
    todo = [file]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [near for place in _imported(path, file.parent) for near in _files(place) if near.is_file()]
    return found


def _imported(path: Path, folder: Path) -> Iterator[Path]:
    """Where local modules that a file may import lie, without the suffix; `from x import y` may import x.y."""
    roots = {folder, path.parent, _above_package(path)}
    for node in ast.walk(_parsed(path)):
        if isinstance(node, ast.Import):
            yield from (root.joinpath(*alias.name.split(".")) for alias in node.names for root in roots)
        elif isinstance(node, ast.ImportFrom):
            parts = node.module.split(".") if node.module else []
            bases = roots if node.level == 0 else {path.parents[min(node.level, len(path.parents)) - 1]}
            for base in bases:
                yield base.joinpath(*(parts or ["__init__"]))
                yield from (base.joinpath(*parts, alias.name) for alias in node.names if alias.name != "*")


def _above_package(path: Path) -> Path:
    """The folder that holds the outermost package that a file is in."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _files(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}.py"), place / "__init__.py"
