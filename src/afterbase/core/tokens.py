"""Text to token ids: the chat template, and an explicit mask of the tokens that have loss.

A prompt has the ids that the template's text has. A token has loss if and only if the model has to produce it behind
such a prompt: the assistant's text, its calls of tools, and the stop token after them. What the generation prompt
supplies is not trained. Nothing is inferred from token values, so a padding token that equals the stop token does no
harm.

What an answer is, is found out in one of three ways, which `mask_form` names. A template that says so by
`{% generation %}` is taken at its word, except that the generation prompt is never trained and the stop token always
is. Otherwise an answer is what the finished turn has behind the prompt. A template that writes earlier turns anew, as
Qwen3's leaves out earlier thoughts, makes several rows of a conversation: each answer is trained behind exactly what it
would be sampled behind.

Only the template writes control tokens. A `<|end|>` in somebody's text is tokenised as the seven characters that it is:
it cannot end a turn, nor begin one. Does not cover: control marks of a single character, marks that only a normaliser
of the tokenizer makes out of other text, and marks that a tokenizer does not declare special, in assistant turns (there
`<think>` is the model's own).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from afterbase.core.chat.chat_template import Chat
from afterbase.core.chat.template_facts import Messages, Spans, Tools, template_of
from afterbase.core.errors import UserError
from afterbase.core.reasoning import CLOSE, OPEN

SPECIAL_TOKENS = ("<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")
BEGIN, END, PAD = SPECIAL_TOKENS[:3]
_LEADS = ("\n", "a", "1", ".")

# The same form as DeepSeek-V3's own template: the system prompt bare after the first token, then the turns.
CHAT_TEMPLATE = (
    "{{ '<|begin|>' }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ '<|system|>' + message.content }}"
    "{% elif message.role == 'user' %}{{ '<|user|>' + message.content }}"
    "{% else %}{{ '<|assistant|>' + message.content + '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@dataclass(frozen=True)
class Tokenized:
    """One conversation: token ids, and for each whether it bears loss."""

    ids: list[int]
    trained: list[bool]


MaskForm = Literal["generation_tags", "prefix", "row_per_turn"]
_Pieces = list[tuple[str, bool]]
"""An answer's text, and of each piece whether it is trained; pieces never merge into one token."""


def prompt_ids(tokenizer: Any, messages: Messages, tools: Tools | None = None) -> list[int]:
    """Token ids of a conversation up to and including the generation prompt.

    `tools`: definitions as OpenAI's API has them. A message has a role and a content, and may have `tool_calls`,
    `tool_call_id` and `name`. Raises UserError where the template refuses the conversation, or loses what somebody
    wrote. UserWarning where a system turn has to stand within the first user's.
    """
    chat = Chat(tokenizer, messages, tools)
    return _Encoder(chat).encode(chat.prompt(len(chat.messages))[0])


def user_prompt_ids(tokenizer: Any, prompt: str, *, system: str | None = None) -> list[int]:
    """Token ids of one user turn, after the system prompt if there is one, ready for generation."""
    head = [{"role": "system", "content": system}] if system is not None else []
    return prompt_ids(tokenizer, [*head, {"role": "user", "content": prompt}])


def tokenize(tokenizer: Any, messages: Messages) -> Tokenized:
    """A conversation with its loss mask, in one row.

    Raises UserError as `training_rows` does, and where it takes several rows.
    """
    rows = training_rows(tokenizer, messages)
    if len(rows) > 1:
        raise UserError(
            "a chat template must extend its own generation prompt",
            got="a template that renders earlier turns differently once later ones are there",
            remedy="use a template whose rendering of earlier turns does not depend on later ones",
        )
    return rows[0]


def mask_form(tokenizer: Any, rows: Sequence[Tokenized]) -> MaskForm:
    """How the loss masks of a conversation's rows were found."""
    if template_of(tokenizer).tags:
        return "generation_tags"
    return "prefix" if len(rows) == 1 else "row_per_turn"


def training_rows(
    tokenizer: Any, messages: Messages, *, untrained: Collection[int] = (), tools: Tools | None = None
) -> list[Tokenized]:
    """A conversation with its loss masks: one row, or more where a prompt does not extend what came before it.

    Each assistant's turn is trained once, behind the ids of `prompt_ids` of the turns before it, and ends in the
    template's stop token. `untrained` turns, counted from 0, are context alone. Raises UserError where the template
    refuses, loses or changes a turn, or ends one without a stop token.
    """
    chat = Chat(tokenizer, messages, tools)
    encoder = _Encoder(chat)
    rows: list[Tokenized] = []
    written, stop = "", ""
    for turn, message in enumerate(chat.messages):
        if message["role"] != "assistant" or turn + chat.shift in untrained:
            continue
        if turn == 0:
            raise UserError(
                "an answer follows a turn that asks for it",
                got=f"a conversation that begins with the assistant's `{chat.shown(message['content'])}`",
                remedy="begin with a system's or a user's turn, or leave the conversation out",
            )
        prompt, answer = _Answer(chat, turn).found()
        before = encoder.encode(prompt)
        ids, bears = encoder.extend(before, prompt, answer)
        known = rows.pop() if rows and before[: len(rows[-1].ids)] == rows[-1].ids else None
        trained = [] if known is None else known.trained
        rows.append(Tokenized(ids, trained + [False] * (len(before) - len(trained)) + bears))
        ending = chat.ending(turn)
        assert ending is not None
        written, stop = prompt + "".join(text for text, _ in answer), ending.mark
    whole, _, _ = chat.finished(len(chat.messages))
    if not rows:
        ids = encoder.encode(whole)
        return [Tokenized(ids, [False] * len(ids))]
    if whole.startswith(written):  # what the template writes after the last stop token
        rest = encoder.encode(stop + whole[len(written) :])[1:]
        rows[-1] = Tokenized(rows[-1].ids + rest, rows[-1].trained + [False] * len(rest))
    return rows


class _Answer:
    """What the model has to write behind a turn's prompt: the turn as it was written, through the stop mark.

    It is what the template writes of the turn, or the turn itself where the template cuts a thought out of it.
    """

    def __init__(self, chat: Chat, turn: int) -> None:
        self._chat, self._turn = chat, turn
        self._content = chat.messages[turn]["content"]
        self._prompt, asked = chat.prompt(turn)
        whole, begins, self._spans = chat.finished(turn + 1)
        ending = chat.ending(turn)
        self._stop = None if ending is None else ending.mark
        if ending is not None and ending.next_turns and not whole.endswith(ending.mark):
            whole += ending.mark
        self._whole = whole
        self._end = -1 if self._stop is None else whole.rfind(self._stop)
        # What the prompt has behind the latest request, and as much of it as the finished turn has.
        header = self._prompt[asked:]
        self._marks = (OPEN, CLOSE, *chat.template.special, *chat.template.role_marks)
        shared = _common(header, whole[begins:], self._marks)
        self._begin, self._lacks = begins + shared, header[shared:]

    def found(self) -> tuple[str, _Pieces]:
        """The prompt and the answer. Raises UserError where there is no stop mark, or the turn was changed."""
        # A prompt can open the thought that the turn begins with, or close it, for there shall be none.
        given = next((mark for mark in (OPEN, CLOSE) if self._prompt.rstrip().endswith(mark)), "")
        opened = self._prompt[self._prompt.rfind(given) :] if given else ""
        stop = self._stop
        rest = self._content.rpartition(CLOSE)[2].strip()
        unended = stop is None or self._end < (0 if self._lacks else self._begin)
        if unended and rest in self._whole:
            raise UserError(
                "each assistant turn must end in the stop token, or generation never learns to end",
                got=f"a turn without one after `{self._chat.shown(self._content[-40:])}`",
                remedy="add the tokenizer's eos_token to the assistant turn of the chat template",
            )
        if stop is None or unended:
            raise self._changed()
        if not self._lacks and self._chat.holds(self._turn, opened + self._whole[self._begin : self._end]):
            return self._prompt, self._pieces(self._begin)
        return self._prompt, self._behind_more() or self._with_thought(given, opened, stop)

    def _pieces(self, start: int) -> _Pieces:
        """The finished turn from `start` through the stop mark, and what of it the template's tags have trained."""
        assert self._stop is not None
        stop_end = self._end + len(self._stop)
        if not self._chat.template.tags:
            return [(self._whole[start:stop_end], True)]
        tagged: Spans = [(max(a, start), min(b, stop_end)) for a, b in self._spans if b > start and a < stop_end]
        if not tagged:
            raise UserError(
                "a chat template with `{% generation %}` has it around each turn of the assistant's",
                got=f"none around `{self._chat.shown(self._content)}`",
                remedy="put it around the turn, or take it out of the template everywhere",
            )
        tagged[-1] = (tagged[-1][0], stop_end)  # all that has to be generated for the turn to end
        pieces: _Pieces = []
        for a, b in tagged:
            pieces += [(self._whole[start:a], False), (self._whole[a:b], True)]
            start = b
        return [(text, bears) for text, bears in pieces if text]

    def _behind_more(self) -> _Pieces:
        """The answer behind a prompt that has what the finished turn has not; nothing where that begins the answer.

        A line break after `<think>`, as Nemotron 3's prompt has it, or a control mark at the end: an empty thought, as
        Gemma 4's can have.
        """
        lacks, start = self._lacks.rstrip(), self._begin
        if lacks:
            start = self._whole.find(self._content.strip(), self._begin)
            if lacks.endswith(OPEN) or not lacks.endswith(self._marks) or start < 0:
                return []
        if not self._chat.holds(self._turn, self._whole[start : self._end]):
            return []
        return self._pieces(start)

    def _with_thought(self, given: str, opened: str, stop: str) -> _Pieces:
        """The turn as it was written, where the template leaves its thought out; UserError for another change."""
        _, thought, rest = self._content.rpartition(CLOSE)
        rest = rest.strip()
        kept = self._whole.find(rest, self._begin) if not rest else self._whole.rfind(rest, 0, self._end)
        text = self._content.strip()
        if given == OPEN and not thought:  # DeepSeek-R1's prompt opens a thought: an answer without one closes it
            text, thought = f"{OPEN}\n\n{CLOSE}\n\n{text}", CLOSE
        if given and text.startswith(given):
            text = text[len(given) :].removeprefix(opened[len(given) :])
        answer = text + self._whole[kept + len(rest) : self._end + len(stop)]
        beside = self._chat.template.thought_field  # where the template has a form for thoughts, it is not this one
        if not thought or kept < 0 or given == CLOSE or beside or not self._chat.holds(self._turn, opened + answer):
            raise self._changed()
        return [(answer, True)]

    def _changed(self) -> UserError:
        chat, said = self._chat, self._whole[: max(self._end, 0)][-60:]
        return UserError(
            "a chat template must extend its own generation prompt with the answer as it was written",
            got=f"a template that renders turn {self._turn + chat.shift}, `{chat.shown(self._content)}`, as "
            f"`{chat.shown(said)}`",
            remedy="use answers as the template has them, with or without a thought; or a template that keeps them, "
            "or one with other settings, such as `enable_thinking`",
        )


def _common(a: str, b: str, marks: tuple[str, ...]) -> int:
    """How many characters two texts begin with alike, without a part of a mark of the first one's."""
    alike = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    cut = (i for mark in marks for i in range(max(0, alike - len(mark) + 1), alike) if a.startswith(mark, i))
    return min(cut, default=alike)


class _Encoder:
    """Text with seams to ids. What begins as the latest text did is encoded from its last control mark on."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._tokenizer = chat.tokenizer
        self._marks = [(m, chat.tokenizer.convert_tokens_to_ids(m)) for m in chat.template.special]
        self._text, self._ids = "", []

    def encode(self, text: str) -> list[int]:
        kept, at = self._restart() if text.startswith(self._text) else (0, 0)
        first, *pieces = text[at:].split(self._chat.seam)
        ids = self._ids[:kept] + self._plain(first)
        for piece in pieces:
            ids += self._continued(piece)
        self._text, self._ids = text, ids
        return ids

    def extend(self, before: list[int], prompt: str, answer: _Pieces) -> tuple[list[int], list[bool]]:
        """The ids of a prompt and its answer, which never merge, and for those of the answer whether they are trained.

        Where a prompt ends in text, ChatML's in a line break, its last token can merge with white space at the
        beginning of the answer, and generation never meets that token. Elsewhere the text stays whole.
        """
        if len(answer) == 1:
            ids = self.encode(prompt + answer[0][0])
            if ids[: len(before)] == before:
                return ids, [answer[0][1]] * (len(ids) - len(before))
        ids, bears = list(before), []
        for text, trained in answer:
            added = [i for piece in text.split(self._chat.seam) for i in self._continued(piece)]
            ids += added
            bears += [trained] * len(added)
        return ids, bears

    def _restart(self) -> tuple[int, int]:
        at, _, token = max(((self._text.rfind(m), len(m), i) for m, i in self._marks), default=(-1, 0, 0))
        if at < 0:
            return 0, 0
        for kept in range(len(self._ids) - 1, -1, -1):
            if self._ids[kept] == token:
                return kept, at
        return 0, 0

    def _plain(self, text: str) -> list[int]:
        # Not verbose: callers drop what is too long, and say so.
        return self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]

    def _continued(self, text: str) -> list[int]:
        """The ids of a text that continues another one: without the space that some tokenizers put before a text."""
        if not text or not self._chat.template.pieces_gain_space:
            return self._plain(text)
        for lead in _LEADS:
            before, both = self._plain(lead), self._plain(lead + text)
            if before and both[: len(before)] == before:
                return both[len(before) :]
        raise UserError(
            "a text with control marks is tokenised in pieces",
            got=f"`{self._chat.shown(text)}`, which merges with all that stands before it",
            remedy="leave the control marks out of the text",
        )
