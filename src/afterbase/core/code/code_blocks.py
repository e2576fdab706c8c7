"""Which block of a response is the program: the one extractor of code for verifiers, rewards and benchmarks.

The last block that bears the language's tag, whatever stands around it; one that is closed before one that is not. If
none does, the last block without a tag, one with a line of code in it first: a sample of output is no program. Blocks
of other languages never are. Where there is no fence at all, the caller decides what the text is.
"""

import re
from collections.abc import Sequence

from afterbase.core.code.code_fences import Block, fenced
from afterbase.core.code.code_lines import is_code
from afterbase.core.reasoning import answer_of

_MARKDOWN = ("markdown", "md")
_HERE_DOCUMENT = re.compile(r"<<[-<]?[ \t]*['\"]?([A-Za-z_]\w*)")


def programs(response: str, spellings: Sequence[str]) -> list[str]:
    """The texts of the blocks that may be a program in the language of these tags, the likeliest last.

    None for a response whose thought never ends, and for a program without a fence that holds a block in a text or a
    comment of its own.
    """
    answer = answer_of(response)
    if answer is None:
        return []
    blocks = fenced(answer)
    if not blocks or _inside_a_text(answer, blocks[0]):
        return []
    names = tuple(spelling.lower() for spelling in spellings)
    found = _ranked(blocks, names)
    if not found:  # an answer that is shown as Markdown as a whole
        shown = [inner for block in blocks if block.tag in _MARKDOWN for inner in fenced(block.text)]
        found = _ranked(shown, names)
    return found


def program_with(response: str, spellings: Sequence[str], function: str) -> str | None:
    """Python's block that defines the function, the last one of them; else the likeliest; None if there is none.

    What follows a solution is often a block that calls or tests it.
    """
    found = programs(response, spellings)
    name = re.escape(function)
    defines = re.compile(
        rf"^(?:(?:async\s+)?def\s+{name}\b|class\s+{name}\b|{name}\s*(?::[^\n=]*)?=(?!=))", re.MULTILINE
    )
    defining = [text for text in found if defines.search(text)]
    return (defining or found or [None])[-1]


def _ranked(blocks: Sequence[Block], names: tuple[str, ...]) -> list[str]:
    tagged = [block for block in blocks if block.is_in(names)]
    untagged = [block for block in blocks if not block.tag and (block.closed or block.text.strip())]
    order = [
        *(block for block in untagged if not _has_code(block.text)),
        *(block for block in untagged if _has_code(block.text)),
        *(block for block in tagged if not block.closed),
        *(block for block in tagged if block.closed),
    ]
    return [block.text for block in order]


def _has_code(text: str) -> bool:
    return any(is_code(line.rstrip("\r")) for line in text.split("\n"))


def _inside_a_text(program: str, block: Block) -> bool:
    """Whether a block lies in a string of three quotes, in a comment of C's kind, or in a here-document.

    What holds the block is closed after it: prose that has `src/*.c` in it, or speaks of three quotes, holds none.
    """
    before, after = program[: block.start], program[block.end :]
    if any(before.count(quotes) % 2 and after.count(quotes) % 2 for quotes in ('"""', "'''")):
        return True
    if before.rfind("/*") > before.rfind("*/") and 0 <= after.find("*/") < (after.find("/*") + 1 or len(after) + 1):
        return True
    documents = _HERE_DOCUMENT.findall(before)
    last = rf"^[ \t]*{documents[-1]}\b" if documents else r"(?!)"
    return not re.search(last, before, re.MULTILINE) and re.search(last, after, re.MULTILINE) is not None


def last_block(response: str, tags: Sequence[str]) -> str | None:
    """The text of the block that is the program in the language of the tags, else None."""
    found = programs(response, tags)
    return found[-1] if found else None
