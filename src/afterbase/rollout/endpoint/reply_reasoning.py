"""What a response thought apart from what it answers: as the endpoint keeps it apart, or by tags."""

from typing import Literal

from afterbase.core.reasoning import CLOSE, OPEN, part
from afterbase.rollout.producer import Response

Form = Literal["tags", "plain", "dropped"]
"""How reasoning stands before the answer: in `<think>` tags, as plain text, or not at all."""


def apart(response: Response) -> tuple[str | None, str]:
    """Reasoning, None if there is none, and answer; a thought that never ends has none (`core/reasoning.py`)."""
    if response.reasoning is not None:
        return response.reasoning.strip() or None, response.text.strip()
    thought, answer = part(response.text)
    if answer == response.text:
        return None, response.text
    return thought, (answer or "").strip()


def together(reasoning: str | None, answer: str, form: Form) -> str:
    """One text to train on."""
    if reasoning is None or form == "dropped":
        return answer
    return f"{OPEN}\n{reasoning}\n{CLOSE}\n\n{answer}" if form == "tags" else f"{reasoning}\n\n{answer}"
