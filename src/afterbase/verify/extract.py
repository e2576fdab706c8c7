"""Where the answer is in a response: the last box, the last Python block."""

import re

_BLOCK = re.compile(r"^[ \t]*```python[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)


def last_boxed(response: str) -> str | None:
    r"""What stands in the last `\boxed{...}`; None without one, or if its braces (bar `\{`) do not balance."""
    span = last_boxed_span(response)
    return None if span is None else response[span[0] + len("\\boxed{") : span[1] - 1]


def last_boxed_span(response: str) -> tuple[int, int] | None:
    """Start and end of the last box as a whole."""
    start = response.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for brace in re.finditer(r"\\.|[{}]", response[start + 1 :], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0 and brace.group() == "}":
            return start, start + 1 + brace.end()
    return None


def last_python_block(response: str) -> str | None:
    """The text of the last closed ```python block; None if there is none."""
    blocks = _BLOCK.findall(response)
    return blocks[-1] if blocks else None
