r"""A response's thought and its answer, separated by the tags that families of reasoning models write.

Code that scores, judges or shows an answer reads `answer_of` alone: the thought is not part of it. A thought
that never ends has no answer behind it. What the formats of rewards ask of the thought itself sees the whole response.

A thought opens at the beginning of a line and ends at the first closing tag. A closing tag without an opening one ends
a thought too: many chat templates put the opening one into the prompt. What follows the last thought is the answer. A
tag between backticks or quotation marks is spoken of, and so is one that opens inside a block of code.

Tags, as the families' chat templates and model cards have them: `<think>` DeepSeek-R1, Qwen3, GLM-4.5, Nemotron, Phi-4;
`<thinking>`, `<reasoning>`, `<reflection>`, `<scratchpad>` and the like prompts of this form; `<thought>` EXAONE Deep,
Gemini's API; `<seed:think>` Seed-OSS; `<longcat_think>` LongCat-Flash-Thinking; `[THINK]` Magistral; `◁think▷` Kimi-VL;
`<|begin_of_thought|>` Sky-T1, OpenThinker; `<|START_THINKING|>` Command A; `<|inner_prefix|>` Apertus;
`<|channel>thought` Gemma 4; `<unused94>thought` MedGemma; channels before `final` gpt-oss (OpenAI's harmony format).

Does not cover: thoughts without tags, and tags that a tokenizer has already dropped as special tokens.
"""

import re
from typing import Literal, NamedTuple

from afterbase.core.code.code_fences import FENCE, closes, opens

OPEN, CLOSE = "<think>", "</think>"
"""The tags in which this project writes a thought."""

Form = Literal["tags", "plain", "dropped"]
"""How a thought stands before the answer: in `<think>` tags, as plain text, or not at all."""

UNFINISHED = "unfinished_thought"
"""The reason of a response that has no answer, since its thought never ends."""

_NAMES = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "reflection", "scratchpad", "inner_monologue"),
    *("seed:think", "longcat_think", "mm:think"),
)
_PAIRS = [
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
]
_HARMONY = (
    r"\|channel\|>(?:analysis|commentary)\b[^<\n]{0,200}<\|message\|>",
    r"\|channel\|>final\b[^<\n]{0,200}<\|message\|>",
)


def _tags() -> str:
    """One pattern whose groups are `o` (opening) or `c` (closing) and the family's number.

    Families stand together by their first character, which then tells at once that a tag begins nowhere else.
    """
    by_first: dict[str, list[str]] = {"<": [f"(?P<o>{_HARMONY[0]})|(?P<c>{_HARMONY[1]})"]}
    for i, (opening, closing) in enumerate(_PAIRS):
        either = f"(?P<o{i}>{re.escape(opening[1:])})|(?P<c{i}>{re.escape(closing[1:])})"
        by_first.setdefault(opening[0], []).append(either)
    return "|".join(f"{re.escape(first)}(?:{'|'.join(group)})" for first, group in by_first.items())


_TAG = re.compile(_tags(), re.IGNORECASE)
_TAG_OR_FENCE = re.compile(f"{_tags()}|^{FENCE}", re.IGNORECASE | re.MULTILINE)
_FENCE_HERE = re.compile(FENCE, re.MULTILINE)
# What may stand before a tag in its line: the marks of the turn itself.
_LINE_START = re.compile(r"\s*(?:<\|\w{1,40}\|>\s*(?:assistant)?\s*)*")
_MARKS = 400  # characters
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "«": "»"}
# What some of these families put around the answer.
_AROUND = re.compile(
    r"\A\s*<\|(?:begin_of_solution|START_RESPONSE)\|>|<\|(?:end_of_solution|END_RESPONSE|return|end)\|>\s*\Z"
)


class SplitResponse(NamedTuple):
    """The thought with its tags left out, None if there is none, and the answer, None if the thought never ends."""

    thought: str | None
    answer: str | None


def part(response: str) -> SplitResponse:
    """Thought and answer of a response, in linear time; without any tag, all of it is the answer, as it stands."""
    if _TAG.search(response) is None:
        return SplitResponse(None, response)
    began = 0  # where the answer begins, as far as is known
    thinking: str | None = None  # the closing tag of the thought that is open
    block: re.Match[str] | None = None  # the fence of the block that is open in the answer
    shown: set[str] = set()  # closing tags whose opening ones are shown in this block
    for found in _TAG_OR_FENCE.finditer(response):
        kind = found.lastgroup or ""
        if kind == "info":
            if thinking is None and found.start() >= began:
                block = (found if opens(found) else None) if block is None else None if closes(found, block) else block
                shown = set()
        elif _quoted(response, found):
            continue
        elif kind[0] == "c":
            if thinking not in (None, kind) or kind in shown:
                shown.discard(kind)
                continue
            began, thinking = found.end(), None
            block = _FENCE_HERE.match(response, began)
        elif thinking is None and _begins_a_line(response, found.start(), began):
            if block is None:
                thinking = f"c{kind[1:]}"
            else:
                shown.add(f"c{kind[1:]}")
    if thinking is not None:
        return SplitResponse(_bare(response), None)
    if began == 0:
        return SplitResponse(None, response)
    return SplitResponse(_bare(response[:began]) or None, _AROUND.sub("", response[began:]))


def answer_of(response: str) -> str | None:
    """What a response answers, without its thought; None if the thought never ends."""
    return part(response).answer


def split(text: str, reasoning: str | None = None) -> tuple[str | None, str]:
    """A reply's thought, None if there is none, and its answer: as a server kept them apart, or else by tags.

    A thought that never ends has an empty answer behind it.
    """
    if reasoning is not None:
        return reasoning.strip() or None, text.strip()
    thought, answer = part(text)
    return (None, text) if answer == text else (thought, (answer or "").strip())


def join(thought: str | None, answer: str, form: Form) -> str:
    """One text to train on; `split` reads it again where it is in tags."""
    if thought is None or form == "dropped":
        return answer
    return f"{OPEN}\n{thought}\n{CLOSE}\n\n{answer}" if form == "tags" else f"{thought}\n\n{answer}"


def _quoted(response: str, tag: re.Match[str]) -> bool:
    before = response[tag.start() - 1 : tag.start()]
    return before in _QUOTES and response[tag.end() : tag.end() + 1] == _QUOTES[before]


def _begins_a_line(response: str, at: int, began: int) -> bool:
    """Whether nothing but marks of the turn stands before a place in its line, or in the answer that began there."""
    start = max(response.rfind("\n", max(0, at - _MARKS), at) + 1, began, at - _MARKS)
    return _LINE_START.fullmatch(response, start, at) is not None


def _bare(thought: str) -> str:
    """A thought without the tags around it."""
    thought = thought.strip()
    first = _TAG.match(thought)
    if first is not None:
        thought = thought[first.end() :]
    last = next((tag for tag in _TAG.finditer(thought, max(0, len(thought) - 300)) if tag.end() == len(thought)), None)
    return (thought if last is None else thought[: last.start()]).strip()
