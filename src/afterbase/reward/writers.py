"""Who writes judgements: a model in this process, or an endpoint within a budget."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from afterbase.core.errors import UserError
from afterbase.core.tokens import prompt_ids
from afterbase.model.families import context_length
from afterbase.model.load import LanguageModel
from afterbase.model.stop import stop_token_ids
from afterbase.reward.judge import Failed, Reply
from afterbase.rollout.endpoint.chat_request import Answer, ChatRequest, Failure, Reason
from afterbase.rollout.endpoint.endpoint_client import Endpoint
from afterbase.rollout.engine import Completion, FinishReason, Sampling
from afterbase.rollout.local.local_engine import LocalEngine
from afterbase.rollout.producer import text_of

Messages = Sequence[dict[str, str]]


class Writer(Protocol):
    """Writes `samples` replies to each prompt, as [prompt][sample]; the same seed gives the same replies."""

    def write(self, prompts: Sequence[Messages], *, samples: int, seed: int) -> list[list[Reply]]: ...


class ModelWriter:
    """A model in this process: a generative reward model, or the policy as its own judge."""

    def __init__(self, lm: LanguageModel, *, temperature: float, max_new_tokens: int) -> None:
        self._lm = lm
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens
        self._engine = LocalEngine(lm.model)

    def write(self, prompts: Sequence[Messages], *, samples: int, seed: int) -> list[list[Reply]]:
        """A prompt that the template does not render, or that does not fit in with its reply, is not asked."""
        context = context_length(self._lm.model.config)
        ids = [self._rendered(messages) for messages in prompts]
        fitting = {i: t for i, t in enumerate(ids) if t is not None and len(t) + self._max_new_tokens <= context}
        groups = self._engine.generate(
            [*fitting.values()],
            samples=samples,
            sampling=Sampling(
                temperature=self._temperature,
                max_new_tokens=self._max_new_tokens,
                stop_token_ids=stop_token_ids(self._lm),
                seed=seed,
            ),
        )
        unasked = [Failed.NOT_RENDERED if tokens is None else Failed.TOO_LONG for tokens in ids]
        replies = [[Reply(text="", failed=failed)] * samples for failed in unasked]
        for i, group in zip(fitting, groups, strict=True):
            replies[i] = [self._reply(completion) for completion in group]
        return replies

    def _rendered(self, messages: Messages) -> list[int] | None:
        try:
            return prompt_ids(self._lm.tokenizer, messages)
        except UserError:  # what is judged is anything at all: a text that a template loses must not end the run
            return None

    def _reply(self, completion: Completion) -> Reply:
        cut_off = completion.finish is not FinishReason.STOP
        return Reply(text=text_of(self._lm, completion), failed=Failed.CUT_OFF if cut_off else None)


class EndpointWriter:
    """An OpenAI-compatible endpoint; what it keeps apart as reasoning is no part of a reply."""

    def __init__(self, endpoint: Endpoint, *, temperature: float, max_new_tokens: int) -> None:
        self._endpoint = endpoint
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens

    def write(self, prompts: Sequence[Messages], *, samples: int, seed: int) -> list[list[Reply]]:
        """Raises UserError, once nothing is under way any more, where the budget is spent or most requests failed."""
        requests = [
            ChatRequest(
                messages=messages,
                temperature=self._temperature,
                max_tokens=self._max_new_tokens,
                seed=seed,
                sample=sample,
            )
            for messages in prompts
            for sample in range(samples)
        ]
        results = self._endpoint.complete(requests)
        failures = [result for result in results if isinstance(result, Failure)]
        _refuse_spent_budget(failures, len(results))
        _refuse_silence(failures, len(results))
        replies = [_reply(result) for result in results]
        return [replies[start : start + samples] for start in range(0, len(replies), samples)]


def _reply(result: Answer | Failure) -> Reply:
    if isinstance(result, Failure):
        return Reply(text="", failed=Failed.REFUSED if result.reason is Reason.REFUSED else Failed.NO_REPLY)
    return Reply(text=result.text, failed=Failed.CUT_OFF if result.truncated else None)


def _refuse_spent_budget(failures: Sequence[Failure], asked: int) -> None:
    unsent = [failure for failure in failures if failure.reason is Reason.BUDGET]
    if unsent:
        raise UserError(
            "a judge stays within its budget",
            got=f"{len(unsent)} of {asked} requests not sent; {unsent[-1].detail}",
            remedy="raise the budget and run again: with a request cache only what is missing is asked",
        )


def _refuse_silence(failures: Sequence[Failure], asked: int) -> None:
    """A single failure is an abstention; a server that is down is none."""
    down = [failure for failure in failures if failure.reason is not Reason.REFUSED]
    if 2 * len(down) > asked:
        reasons = ", ".join(f"{n} {r}" for r, n in Counter(str(f.reason) for f in down).most_common())
        raise UserError(
            "a judge answers most of what it is asked",
            got=f"{len(down)} of {asked} requests without an answer ({reasons}); the last: {down[-1].detail}",
            remedy="see to the endpoint and run again: with a request cache only what is missing is asked",
        )
