"""Text to token ids: the chat template, and an explicit mask of the tokens that have loss.

A prompt has the ids that the template's text has. A token has loss if and only if the model has to produce it behind
such a prompt: the assistant's text and the stop token after it. What the generation prompt supplies is not trained.
Nothing is inferred from token values, so a padding token that equals the stop token does no harm.

A template that writes earlier turns anew, as Qwen3's leaves out earlier thoughts, makes several rows of a conversation:
each answer is trained behind exactly what it would be sampled behind.

Only the template writes control tokens. A `<|end|>` in somebody's text is tokenised as the seven characters that it is:
it cannot end a turn, nor begin one. Does not cover: control marks of a single character, marks that only a normaliser
of the tokenizer makes out of other text, and marks that a tokenizer does not declare special, in assistant turns (there
`<think>` is the model's own).
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from afterbase.core.chat_template import Chat, Messages
from afterbase.core.errors import UserError

SPECIAL_TOKENS = ("<|begin|>", "<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>")
BEGIN, END, PAD = SPECIAL_TOKENS[:3]
_THINK, _THOUGHT = "<think>", "</think>"
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


def prompt_ids(tokenizer: Any, messages: Messages) -> list[int]:
    """Token ids of a conversation up to and including the generation prompt.

    Raises UserError where the template refuses the conversation, or loses what somebody wrote.
    """
    chat = Chat(tokenizer, messages)
    return _Encoder(chat).encode(chat.render(len(messages), generation=True))


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


def training_rows(tokenizer: Any, messages: Messages, *, untrained: Collection[int] = ()) -> list[Tokenized]:
    """A conversation with its loss masks: one row, or more where a prompt does not extend what came before it.

    Each assistant's turn is trained once, behind the ids of `prompt_ids` of the turns before it, and ends in the
    template's stop token. `untrained` turns, counted from 0, are context alone. Raises UserError where the template
    refuses, loses or changes a turn, or ends one without a stop token.
    """
    chat = Chat(tokenizer, messages)
    encoder = _Encoder(chat)
    rows: list[Tokenized] = []
    written = ""
    for turn, message in enumerate(messages):
        if message["role"] != "assistant" or turn in untrained:
            continue
        if turn == 0:
            raise UserError(
                "an answer follows a turn that asks for it",
                got=f"a conversation that begins with the assistant's `{chat.shown(message['content'])}`",
                remedy="begin with a system's or a user's turn, or leave the conversation out",
            )
        prompt = chat.render(turn, generation=True)
        answer = _answer(chat, turn, prompt)
        before = encoder.encode(prompt)
        ids = encoder.extend(before, prompt, answer)
        known = rows.pop() if rows and before[: len(rows[-1].ids)] == rows[-1].ids else None
        trained = [] if known is None else known.trained
        trained = trained + [False] * (len(before) - len(trained)) + [True] * (len(ids) - len(before))
        rows.append(Tokenized(ids, trained))
        written = prompt + answer
    whole = chat.render(len(messages), generation=False)
    if not rows:
        ids = encoder.encode(whole)
        return [Tokenized(ids, [False] * len(ids))]
    if whole.startswith(written):  # what the template writes after the last stop token
        stop = chat.template.stop
        assert stop is not None
        rest = encoder.encode(stop + whole[len(written) :])[1:]
        rows[-1] = Tokenized(rows[-1].ids + rest, rows[-1].trained + [False] * len(rest))
    return rows


def _answer(chat: Chat, turn: int, prompt: str) -> str:
    """What the model has to write behind the prompt: the turn as it was written, through the stop mark.

    It is what the template writes of the turn, or the turn itself where the template cuts a thought out of it.
    """
    whole, content, stop = chat.render(turn + 1, generation=False), chat.messages[turn]["content"], chat.template.stop
    end = -1 if stop is None else whole.rfind(stop)
    # A prompt can open the thought that the turn begins with, or close it, for there shall be none.
    given = next((mark for mark in (_THINK, _THOUGHT) if prompt.rstrip().endswith(mark)), "")
    opened = prompt[prompt.rfind(given) :] if given else ""
    extends = whole.startswith(prompt)
    _, thought, rest = content.rpartition(_THOUGHT)
    if rest.strip() in whole and (stop is None or end < (len(prompt) if extends else 0)):
        raise UserError(
            "each assistant turn must end in the stop token, or generation never learns to end",
            got=f"a turn without one after `{chat.shown(content[-40:])}`",
            remedy="add the tokenizer's eos_token to the assistant turn of the chat template",
        )
    if stop is not None and extends and content.strip() in opened + whole[len(prompt) : end]:
        return whole[len(prompt) : end + len(stop)]
    kept = whole.rfind(rest.strip(), 0, max(end, 0))
    if stop is None or not thought or kept < 0 or given == _THOUGHT:
        raise UserError(
            "a chat template must extend its own generation prompt with the answer as it was written",
            got=f"a template that renders turn {turn}, `{chat.shown(content)}`, as `{chat.shown(whole[:end][-60:])}`",
            remedy="use a template that keeps it, or answers as the template has them: with or without a thought",
        )
    turn_text = content.strip()
    if given and turn_text.startswith(given):
        turn_text = turn_text[len(given) :].removeprefix(opened[len(given) :])
    return turn_text + whole[kept + len(rest.strip()) : end + len(stop)]


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

    def extend(self, before: list[int], prompt: str, answer: str) -> list[int]:
        """The ids of a prompt and its answer, which never merge.

        Where a prompt ends in text, ChatML's in a line break, its last token can merge with white space at the
        beginning of the answer, and generation never meets that token. Elsewhere the text stays whole.
        """
        ids = self.encode(prompt + answer)
        if ids[: len(before)] == before:
            return ids
        return before + [i for piece in answer.split(self._chat.seam) for i in self._continued(piece)]

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
