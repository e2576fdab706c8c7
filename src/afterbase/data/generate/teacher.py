"""Who writes drafts instead of the procedural teacher: an endpoint, a model here, or one on a vLLM server."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from afterbase.core.config import Config, How, what
from afterbase.core.errors import UserError
from afterbase.core.reasoning import Form
from afterbase.core.sample import Problem
from afterbase.core.store import Cost, folder_digest
from afterbase.data.system_prompts import system_prompt
from afterbase.model.folders import find
from afterbase.rollout.chat_model import ChatModel, ChatRequest
from afterbase.rollout.endpoint.budget import Budget, Limits, prompt_estimate
from afterbase.rollout.endpoint.endpoint_client import Endpoint, EndpointConfig
from afterbase.rollout.problem_replies import problem_requests

Kind = Literal["original", "reflective"]
_PROMPT_TOKENS = 100  # for plans, where the problems are not made yet


class Price(Config):
    """Money for a million tokens, in `currency`; of a provider's page, as they change and differ."""

    prompt: float = Field(ge=0)
    """For a million tokens of prompts."""
    completion: float = Field(ge=0)
    """For a million tokens of answers."""
    currency: str = "USD"
    """The name of the currency, for messages."""


class Teacher(Config):
    """The teacher's address or weights, how it is asked, and what it may cost."""

    endpoint: EndpointConfig | None = None
    """An OpenAI-compatible server, in place of `model`."""
    model: How[str | None] = None
    """A shipped model's name, or the path of a Hugging Face folder, to sample from here."""
    engine_url: How[str | None] = None
    """A vLLM server (`afterbase serve-rollouts`) that samples from `model`."""
    system: How[str] = "reflect"
    """The system prompt of reflective drafts: a shipped name (`data/system_prompts`), or a text file."""
    originals: Literal["teacher", "gold"] = "teacher"
    """Who writes the original responses: the teacher, without the system prompt, or the problems' gold responses."""
    reasoning: Form = "tags"
    """How reasoning that is apart from the answer is trained on; verified is the answer alone."""
    samples: int = Field(default=1, ge=1)
    """Drafts of a problem and kind."""
    temperature: float = Field(default=0.7, ge=0)
    """Of sampling; 0 takes the most probable token."""
    max_new_tokens: int = Field(default=1024, ge=1)
    """Tokens of a draft at most."""
    most_failed: How[float] = Field(default=0.01, ge=0, lt=1)
    """Share of requests that may stay without an answer, each a dropped row; above it the stage stops."""
    price: How[Price | None] = None
    """The provider's; without it plans name no money."""
    max_cost: How[float | None] = Field(default=None, gt=0)
    """Most money that the recipe may spend on the teacher, over all runs, seeds and domains."""
    cache: How[str | None] = None
    """A file or a postgresql:// address for what the endpoint answered; default: requests.sqlite in the store."""

    @model_validator(mode="after")
    def _one(self) -> "Teacher":
        if (self.endpoint is None) == (self.model is None):
            raise UserError(
                "a teacher is an endpoint or a model",
                got="both" if self.endpoint else "neither",
                remedy="give [teacher.endpoint] or `model`, not both",
            )
        if self.endpoint is not None and self.engine_url is not None:
            raise UserError(
                "`engine_url` is where a `model` is sampled from", got="[teacher.endpoint]", remedy="leave it out"
            )
        if self.max_cost is not None and (self.price is None or not self.price.prompt + self.price.completion):
            raise UserError(
                "`max_cost` needs a price", got="none", remedy="add [teacher.price] with the provider's own"
            )
        if self.endpoint is None and self.price is not None:
            raise UserError("a price belongs to an endpoint", got="[teacher.price] and `model`", remedy="leave it out")
        return self

    def settings(self) -> dict[str, Any]:
        """What belongs into the key of its drafts."""
        weights = None if self.model is None else folder_digest(find(self.model))
        engine = "local" if self.engine_url is None else "vllm"
        where = {} if weights is None else {"weights": weights, "engine": engine}
        return {**what(self), "system": system_prompt(self.system), **where}

    def asks(self, kinds: Sequence[Kind]) -> dict[Kind, str | None]:
        """The kinds that the teacher writes, with their system prompts."""
        prompts: dict[Kind, str | None] = {"original": None, "reflective": system_prompt(self.system)}
        return {kind: prompts[kind] for kind in kinds if kind == "reflective" or self.originals == "teacher"}

    def model_asked(self, cache: Path, *, account: str) -> ChatModel:
        """Who is asked; `cache` is where an endpoint's answers are kept unless the recipe says else."""
        if self.endpoint is None:
            from afterbase.model.load import load  # here: a recipe is checked before torch is imported
            from afterbase.rollout.engine_model import EngineModel

            folder = find(str(self.model))
            return EngineModel(load(folder), name=folder_digest(folder), engine_url=self.engine_url)
        return self._endpoint(self.endpoint, cache, account)

    def requests(self, problems: Sequence[Problem], *, system: str | None, seed: int) -> list[ChatRequest]:
        """What the teacher is asked, problem by problem."""
        return problem_requests(problems, system=system, samples=self.samples, seed=seed, **self._sampling())

    def lineage(self, model: ChatModel) -> dict[str, Any]:
        """Who wrote a draft, and how it was sampled."""
        return {**model.describe(), **self._sampling()}

    def _sampling(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "max_new_tokens": self.max_new_tokens}

    def _endpoint(self, config: EndpointConfig, cache: Path, account: str) -> Endpoint:
        return Endpoint(config, cache=self.cache or cache, budget=Budget(self._limits(), account=account))

    def _limits(self) -> Limits:
        if self.price is None:
            return Limits()
        return Limits(money=self.max_cost, prompt_price=self.price.prompt, answer_price=self.price.completion)

    def cost(
        self, kinds: Sequence[Kind], count: int, problems: Sequence[Problem] | None, cache: Path, *, seed: int
    ) -> Cost:
        """What drafts of `count` problems take: at most, or what is missing in the cache where `problems` are known."""
        answers = count * self.samples * len(self.asks(kinds))
        if self.endpoint is None:
            return Cost(generated=answers * self.max_new_tokens, verified=answers)
        requests, prompt_tokens = answers, answers * _PROMPT_TOKENS
        if problems is not None:
            missing = self._missing(self.endpoint, kinds, problems, cache, seed)
            requests = len(missing)
            prompt_tokens = sum(prompt_estimate([m["content"] for m in request.messages]) for request in missing)
        answer_tokens = requests * self.max_new_tokens
        money = self._limits().cost(prompt=prompt_tokens, answer=answer_tokens)
        return Cost(
            verified=answers, requests=requests, prompt_tokens=prompt_tokens, answer_tokens=answer_tokens, money=money
        )

    def _missing(
        self, config: EndpointConfig, kinds: Sequence[Kind], problems: Sequence[Problem], cache: Path, seed: int
    ) -> list[ChatRequest]:
        requests = [
            request
            for system in self.asks(kinds).values()
            for request in self.requests(problems, system=system, seed=seed)
        ]
        return self._endpoint(config, cache, "").missing(requests)
