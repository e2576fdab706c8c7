"""What an answer is worth. Called, it is `afterbase.reward(...)`: the training of a reward model.

That function and this package have one name, and Python lets an attribute of `afterbase` be either: it is both.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return importlib.import_module("afterbase.cli.start_job").reward(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
