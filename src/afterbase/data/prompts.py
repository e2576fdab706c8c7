"""Prompts as they are told apart: by a hash of their text, so that a benchmark can be shipped without its text.

Equal here means equal but for case, Unicode's composed and decomposed forms, and white space. Prompts that are nearly
equal are not found by this.
"""

import hashlib
import re
import unicodedata
from pathlib import Path

from afterbase.core.errors import UserError

_HASH = re.compile(r"[0-9a-f]{64}")


def prompt_hash(prompt: str) -> str:
    """SHA-256 of the normalised prompt, in hexadecimal."""
    return hashlib.sha256(normalised(prompt).encode()).hexdigest()


def normalised(prompt: str) -> str:
    """The prompt in Unicode's form C, in small letters, with single spaces."""
    return " ".join(unicodedata.normalize("NFC", prompt).casefold().split())


def read_hashes(path: Path) -> set[str]:
    """The hashes of a file that has one a line. Raises UserError for any other file, with the line."""
    try:
        lines = path.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "a file of benchmark prompts can be read", got=f"{path}: {error}", remedy="name a file of SHA-256 hashes"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not _HASH.fullmatch(line):
            raise UserError(
                "a file of benchmark prompts has one SHA-256 a line, in small hexadecimal digits",
                got=f"entry {number} of {path}: {line[:80]!r}",
                remedy="write `afterbase.data.prompts.prompt_hash` of each prompt",
            )
    return set(lines)
