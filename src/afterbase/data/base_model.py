"""The base model enters the store: a copy of its folder, so that lineage ends in bytes that cannot change.

It may get another chat template on the way, or settings of its own template: they are written into the folder, so that
training, sampling, evaluation and serving have the same context, and so has whoever loads the result.
"""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AddedToken, PreTrainedTokenizerFast

from afterbase.core.errors import UserError
from afterbase.core.store import Artifact, Store, Workspace, folder_digest
from afterbase.core.tokens import user_prompt_ids
from afterbase.data.shipped_templates import BOS, SHIPPED_TEMPLATES, ShippedTemplate
from afterbase.model.folders import tokenizer_of
from afterbase.model.new_tokens import save_with_new_tokens

VERSION = 1

_ALWAYS_GIVEN = {"messages", "tools", "documents", "add_generation_prompt"}


def import_base(
    store: Store,
    folder: Path,
    *,
    chat_template: str | None = None,
    template_args: Mapping[str, Any] | None = None,
) -> Artifact:
    """The base model as an artifact, keyed by its content, and by its template where that is to be another one.

    `chat_template` and `template_args` as `prepared_tokenizer` has them; without them the folder is as it was.

    >>> from afterbase.model.folders import find
    >>> base = import_base(store, find("tiny-v3"))
    >>> base.name
    'base model'
    """
    what: dict[str, Any] = {"folder": folder_digest(folder)}
    tokenizer = None
    if chat_template is not None or template_args:
        tokenizer = prepared_tokenizer(folder, chat_template=chat_template, template_args=template_args)
        what |= {"chat_template": tokenizer.chat_template, "eos_token": tokenizer.eos_token}

    def make(work: Workspace) -> None:
        if tokenizer is not None and _new_tokens(folder, tokenizer):
            save_with_new_tokens(folder, work.payload, tokenizer)
            return
        shutil.copytree(folder, work.payload, dirs_exist_ok=True)
        if tokenizer is not None:
            shutil.rmtree(work.payload / "additional_chat_templates", ignore_errors=True)
            tokenizer.save_pretrained(work.payload)

    return store.produce("base model", "base", VERSION, what=what, inputs={}, make=make)


def prepared_tokenizer(
    folder: Path, *, chat_template: str | None = None, template_args: Mapping[str, Any] | None = None
) -> PreTrainedTokenizerFast:
    """A model folder's tokenizer with another chat template, and with settings of it.

    `chat_template`: a file of Jinja, or a name of `shipped_templates.py`, whose marks become tokens if they are none.
    `template_args`: plain values by the names that the template reads, such as `enable_thinking`; what a caller of the
    template gives goes before them. Raises UserError for a folder without a template when none is named, for a template
    that renders no question, and for a setting that the template does not read.
    """
    tokenizer = tokenizer_of(folder)
    if chat_template in SHIPPED_TEMPLATES:
        _use_shipped(tokenizer, SHIPPED_TEMPLATES[chat_template])
    elif chat_template is not None:
        tokenizer.chat_template = _read(Path(chat_template))
    elif not tokenizer.chat_template:
        raise UserError(
            "post-training needs a model with a chat template",
            got=f"{folder}, whose tokenizer has none",
            remedy=f"name one: `--chat-template chatml` (or {_named()}), or the path of a file of Jinja",
        )
    given = template_args or {}
    if isinstance(tokenizer.chat_template, dict):  # one for tools, say, beside the default one
        tokenizer.chat_template = {n: _with_settings(source, given) for n, source in tokenizer.chat_template.items()}
    else:
        tokenizer.chat_template = _with_settings(tokenizer.chat_template, given)
    try:
        user_prompt_ids(tokenizer, "Wherefore?")
    except UserError as error:
        whose = chat_template or f"the template of {folder}"
        raise UserError(error.rule, got=f"{error.got}, by {whose}", remedy=error.remedy) from error
    return tokenizer


def preparation_note(folder: Path, *, chat_template: str | None) -> str | None:
    """What `import_base` changes of a model for a template, in a sentence for the user; None where nothing."""
    if chat_template is None:
        return None
    tokenizer = prepared_tokenizer(folder, chat_template=chat_template)
    new = _new_tokens(folder, tokenizer)
    tokens = f", with {', '.join(new)} as new tokens, whose embeddings are the mean of the others" if new else ""
    ends = f"; {tokenizer.eos_token} ends a turn" if chat_template in SHIPPED_TEMPLATES else ""
    return f"The base model gets the chat template {chat_template}{tokens}{ends}."


def _new_tokens(folder: Path, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    known = tokenizer_of(folder).get_vocab()
    return [str(token) for token in tokenizer.added_tokens_decoder.values() if str(token) not in known]


def _use_shipped(tokenizer: PreTrainedTokenizerFast, shipped: ShippedTemplate) -> None:
    known = tokenizer.get_vocab()
    new: list[str | AddedToken] = [
        AddedToken(mark, special=True, normalized=False) for mark in shipped.marks if mark not in known
    ]
    tokenizer.add_special_tokens({"additional_special_tokens": new}, replace_extra_special_tokens=False)
    tokenizer.eos_token = shipped.ending
    begins = tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
    tokenizer.chat_template = shipped.source.replace(BOS, "{{ bos_token }}" if begins else "")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"a chat template is a file of Jinja, or a shipped name: {_named()}",
            got=f"`{path}`: {error}",
            remedy="give the path of a `.jinja` file, or one of these names",
        ) from error


def _named() -> str:
    return ", ".join(SHIPPED_TEMPLATES)


def _with_settings(source: str, given: Mapping[str, Any]) -> str:
    return "".join(_setting(source, name, value) for name, value in given.items()) + source


def _setting(source: str, name: str, value: Any) -> str:
    """Jinja that gives a name a value where the caller gives none; what stands behind it stays as it was."""
    if not re.fullmatch(r"[A-Za-z]\w*", name) or name in _ALWAYS_GIVEN or not re.search(rf"\b{name}\b", source):
        raise UserError(
            "a setting of a chat template is one that the template reads",
            got=f"`{name}`",
            remedy="take the name from the template, such as `enable_thinking` in Qwen3's",
        )
    return f"{{%- if {name} is not defined -%}}{{%- set {name} = {_literal(name, value)} -%}}{{%- endif +%}}"


def _literal(name: str, value: Any) -> str:
    """A plain value as Jinja spells it."""
    match value:
        case None | bool():
            return str(value).lower()
        case int() | float() | str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(_literal(name, inner) for inner in value)}]"
        case dict():
            return f"{{{', '.join(f'{_literal(name, str(k))}: {_literal(name, v)}' for k, v in value.items())}}}"
    raise UserError(
        "a setting of a chat template is a plain value",
        got=f"`{name}`, a {type(value).__name__}",
        remedy="use true, false, a number, a text, or a list of these",
    )
