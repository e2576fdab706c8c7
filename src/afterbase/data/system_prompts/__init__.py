"""System prompts that ask a teacher to reflect and to verify (V3 report section 5.1), each in a text file."""

from pathlib import Path

from afterbase.core.errors import UserError

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Those that are shipped."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def system_prompt(name: str) -> str:
    """The text under a shipped name, or of a text file of the user's. Raises UserError where there is neither."""
    path = FOLDER / f"{name}.txt" if name in names() else Path(name)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            "a system prompt is a shipped name or a text file",
            got=f"`{name}`: {error}",
            remedy=f"use one of {', '.join(names())}, or the path of a file",
        ) from None
    if not text:
        raise UserError("a system prompt says something", got=f"{path} is empty", remedy="write it, or name another")
    return text
