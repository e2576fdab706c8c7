"""The tokens that end an answer: one set for training, sampling, judging, serving, and for the saved folder."""

from typing import TYPE_CHECKING

from afterbase.core.chat.template_facts import stop_token_ids_of_template

if TYPE_CHECKING:
    from afterbase.model.load import LanguageModel


def stop_token_ids(lm: "LanguageModel") -> tuple[int, ...]:
    """In ascending order: what the chat template ends a turn with, the tokenizer's eos_token, the model's own.

    The model's own are those of its generation settings, one or a list. What no embedding stands for cannot be
    sampled, and is left out.
    """
    own = getattr(lm.model.generation_config, "eos_token_id", None)
    listed = own if isinstance(own, list | tuple) else [own]
    embeddings = lm.model.get_input_embeddings()
    known = range(len(embeddings.weight))  # pyright: ignore[reportArgumentType]
    found = {
        i for i in [*listed, lm.tokenizer.eos_token_id, *stop_token_ids_of_template(lm.tokenizer)] if type(i) is int
    }
    return tuple(sorted(i for i in found if i in known))


def record_stops(lm: "LanguageModel") -> None:
    """Put the stop tokens into the model's generation settings, which are saved with it: others read them there."""
    settings, ids = lm.model.generation_config, stop_token_ids(lm)
    if settings is not None and ids:
        settings.eos_token_id = ids[0] if len(ids) == 1 else list(ids)
