"""The domains that afterbase ships: one small file each, with its problems and its own way of creating data."""

from pathlib import Path

from afterbase.data.domains import arithmetic, chat, code, logic

DOMAINS = {module.NAME: module for module in (arithmetic, code, logic, chat)}
REASONING = (arithmetic.NAME, code.NAME, logic.NAME)
OPEN = (chat.NAME,)
STYLES = {"arithmetic": "boxed", "code": "python", "logic": "boxed", "chat": "plain"}
REVIEWED = {"chat": Path(__file__).parent / "chat_reviewed.jsonl"}
