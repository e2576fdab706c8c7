"""What an edit changed: as a unified diff to keep, and word by word to look at."""

import difflib
import re
from collections.abc import Iterator

_LONGEST = 20_000  # characters; beyond, comparing word by word takes too long
_WORD = re.compile(r"\w+\s*|[^\w\s]\s*|\s+")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


def difference(draft: str, edited: str) -> str:
    """A unified diff of lines with one line around; a last line without a line feed shows as such."""
    lines = difflib.unified_diff(_LINE.findall(draft), _LINE.findall(edited), "draft", "edited", n=1)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def words(draft: str, edited: str) -> Iterator[tuple[str, str]]:
    """(`same`, `gone` or `new`; text) in reading order; long texts as one change."""
    if max(len(draft), len(edited)) > _LONGEST:
        yield from (("gone", draft), ("new", edited))
        return
    a, b = _WORD.findall(draft), _WORD.findall(edited)
    for operation, i, j, k, m in difflib.SequenceMatcher(None, a, b).get_opcodes():
        if operation == "equal":
            yield "same", "".join(a[i:j])
        else:
            if i < j:
                yield "gone", "".join(a[i:j])
            if k < m:
                yield "new", "".join(b[k:m])
