"""What a response thought apart from what it answers: as the endpoint keeps it apart, or by `<think>` tags."""

from typing import Literal

from afterbase.rollout.producer import Response

Form = Literal["tags", "plain", "dropped"]
"""How reasoning stands before the answer: in `<think>` tags, as plain text, or not at all."""

_OPEN, _CLOSE = "<think>", "</think>"


def apart(response: Response) -> tuple[str | None, str]:
    """Reasoning, None if there is none, and answer; text that opens a tag and never closes it is all reasoning.

    A closing tag alone ends reasoning too: some chat templates put the opening one into the prompt.
    """
    text = response.text
    if response.reasoning is not None:
        return response.reasoning.strip() or None, text.strip()
    head, closed, tail = text.partition(_CLOSE)
    if closed:
        return head.strip().removeprefix(_OPEN).strip() or None, tail.strip()
    if text.lstrip().startswith(_OPEN):
        return text.lstrip().removeprefix(_OPEN).strip() or None, ""
    return None, text


def together(reasoning: str | None, answer: str, form: Form) -> str:
    """One text to train on."""
    if reasoning is None or form == "dropped":
        return answer
    return f"{_OPEN}\n{reasoning}\n{_CLOSE}\n\n{answer}" if form == "tags" else f"{reasoning}\n\n{answer}"
