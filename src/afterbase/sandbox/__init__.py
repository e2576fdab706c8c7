"""Untrusted programs in isolation: all that the rest of the tree uses of this package, and may use.

A name is imported when it is first asked for. The small interpreters that confine programs import modules of this
package, too, and know no other packages.
"""

# ruff: noqa: F401  # what is imported is for others

TYPE_CHECKING = False  # as `typing` has it, whose import would cost each program's start some milliseconds
if TYPE_CHECKING:
    from afterbase.sandbox.confinement import Confinement, Limits
    from afterbase.sandbox.forks.fork_client import Fault, ForkLimits, ForkServer, Server, Work
    from afterbase.sandbox.forks.fork_pool import fork_pool
    from afterbase.sandbox.isolation import find_confinement
    from afterbase.sandbox.languages import LANGUAGES, SPELLINGS, language_of, toolchain
    from afterbase.sandbox.process import Ended
    from afterbase.sandbox.programs import Case, CaseRow, Program, ProgramRunner, worker_count
    from afterbase.sandbox.python_calls import CallRunner, Reason, Run, RunResult, missing_isolation
    from afterbase.sandbox.remote import URL, RemoteSandbox, remote_or
    from afterbase.sandbox.server import serve

_MODULES = {
    "confinement": ("Confinement", "Limits"),
    "forks.fork_client": ("Fault", "ForkLimits", "ForkServer", "Server", "Work"),
    "forks.fork_pool": ("fork_pool",),
    "isolation": ("find_confinement",),
    "languages": ("LANGUAGES", "SPELLINGS", "language_of", "toolchain"),
    "process": ("Ended",),
    "programs": ("Case", "CaseRow", "Program", "ProgramRunner", "worker_count"),
    "python_calls": ("CallRunner", "Reason", "Run", "RunResult", "missing_isolation"),
    "remote": ("URL", "RemoteSandbox", "remote_or"),
    "server": ("serve",),
}
__all__ = [name for names in _MODULES.values() for name in names]  # pyright: ignore[reportUnsupportedDunderAll]

if not TYPE_CHECKING:  # or it would know every name

    def __getattr__(name: str) -> object:
        import importlib

        for module, names in _MODULES.items():
            if name in names:
                return getattr(importlib.import_module(f"{__name__}.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
