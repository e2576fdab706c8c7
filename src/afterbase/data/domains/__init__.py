"""The domains that afterbase ships: one small file each, with its problems and its own way of creating data."""

from afterbase.core.sample import Problem
from afterbase.data.domains import arithmetic, chat, chat_drafts, code, logic
from afterbase.verify.format import Style

DOMAINS = {module.NAME: module for module in (arithmetic, code, logic, chat)}
REASONING = (arithmetic.NAME, code.NAME, logic.NAME)
OPEN = (chat.NAME,)
STYLES: dict[str, Style] = {arithmetic.NAME: "boxed", code.NAME: "python", logic.NAME: "boxed", chat.NAME: "plain"}
REVIEWED = {chat.NAME: chat_drafts.REVIEWED}
_STYLES: dict[str, Style] = {"python": "python", "program": "plain"}


def style(problem: Problem) -> Style:
    """The form that an answer to the problem should have: its domain's, or that which its verifier reads."""
    if problem.domain in STYLES:
        return STYLES[problem.domain]
    boxed: Style = "boxed" if "box" in problem.spec.get("answer_by", ("box",)) else "plain"
    return _STYLES.get(problem.verifier, boxed)
