"""Who writes answers: anything that turns problems into responses, a model here, a procedural teacher or a server."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from afterbase.core.sample import Problem
from afterbase.core.tokens import user_prompt_ids
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.rollout.engine import Completion, Engine, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.vllm.vllm_engine import VllmEngine


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer as text; `tokens` with the stop token counted, under the producer's own tokenizer.

    `reasoning` is what a producer keeps apart from the text. `failure` says why there is none of either, else None.
    """

    text: str
    tokens: int
    truncated: bool
    reasoning: str | None = None
    failure: str | None = None


class Producer(Protocol):
    """Writes `samples` responses to each problem, as [problem][sample]; the same seed gives the same text."""

    def describe(self) -> dict[str, Any]:
        """Who this is, for a sample's lineage."""
        ...

    def respond(
        self,
        problems: Sequence[Problem],
        *,
        system: str | None,
        samples: int,
        seed: int,
        on_finished: Callable[[], None] | None = None,
    ) -> list[list[Response]]:
        """Responses to each problem's prompt, after the system prompt if there is one; `on_finished` counts them."""
        ...


@dataclass(frozen=True)
class ModelProducer:
    """A model in this process, or at a rollout server; temperature 0 is greedy.

    `checkpoint` is the artifact key that lineage names.
    """

    lm: LanguageModel
    checkpoint: str
    temperature: float
    max_new_tokens: int
    engine_url: str | None = None
    """Of a vLLM server (`afterbase serve-rollouts`); its token is in AFTERBASE_ROLLOUT_TOKEN."""

    def describe(self) -> dict[str, Any]:
        return {
            "name": "model",
            "checkpoint": self.checkpoint,
            "temperature": self.temperature,
            "max_new_tokens": self.max_new_tokens,
        }

    def respond(
        self,
        problems: Sequence[Problem],
        *,
        system: str | None,
        samples: int,
        seed: int,
        on_finished: Callable[[], None] | None = None,
    ) -> list[list[Response]]:
        sampling = Sampling(
            temperature=self.temperature,
            max_new_tokens=self.max_new_tokens,
            stop_token_ids=stop_token_ids(self.lm),
            seed=seed,
        )
        prompts = [user_prompt_ids(self.lm.tokenizer, p.prompt, system=system) for p in problems]
        with contextlib.ExitStack() as stack:
            groups = self._engine(stack).generate(
                prompts,
                samples=samples,
                sampling=sampling,
                on_finished=None if on_finished is None else lambda _: on_finished(),
            )
        return [[self._response(c) for c in group] for group in groups]

    def _engine(self, stack: contextlib.ExitStack) -> Engine:
        if self.engine_url is None:
            return LocalEngine(self.lm.model)
        engine = VllmEngine(self.engine_url, self.lm, token=os.environ.get("AFTERBASE_ROLLOUT_TOKEN"))
        stack.callback(engine.close)
        engine.sync(0)
        return engine

    def _response(self, completion: Completion) -> Response:
        return Response(
            text=text_of(self.lm, completion),
            tokens=len(completion.token_ids),
            truncated=completion.finish is FinishReason.LENGTH,
        )


def text_of(lm: LanguageModel, completion: Completion) -> str:
    """The completion's text without its stop token; other special tokens stay visible."""
    ids = completion.token_ids
    text = lm.tokenizer.decode(ids[:-1] if completion.finish is FinishReason.STOP else ids)
    assert isinstance(text, str)
    return text
