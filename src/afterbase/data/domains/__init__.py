"""The domains that afterbase ships: one small file each, with its problems and its own way of creating data."""

from afterbase.core.sample import Problem
from afterbase.data.domains import arithmetic, chat, chat_drafts, code, logic
from afterbase.verify.format import Style

DOMAINS = {module.NAME: module for module in (arithmetic, code, logic, chat)}
REASONING = (arithmetic.NAME, code.NAME, logic.NAME)
OPEN = (chat.NAME,)
STYLES: dict[str, Style] = {arithmetic.NAME: "boxed", code.NAME: "python", logic.NAME: "boxed", chat.NAME: "plain"}
REVIEWED = {chat.NAME: chat_drafts.REVIEWED}


def style_of(problem: Problem) -> Style | None:
    """The form that a problem asks for: its domain's, else that which its verifier reads; None: any text will do."""
    if problem.domain in STYLES:
        return STYLES[problem.domain]
    if problem.verifier in ("python", "program"):
        return "python" if problem.verifier == "python" else None
    ways = problem.spec.get("answer_by", ("box",) if problem.verifier in ("maths", "exact", "reasoning_gym") else ())
    return "boxed" if "box" in ways else None
