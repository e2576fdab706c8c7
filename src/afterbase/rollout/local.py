"""The rollout engine in this process: a prompt is read once, rows leave as they finish, waiting ones take their place.

Equal prompts give equal samples (the randomness depends on seed, prompt and sample index only), so a prompt that is
given several times is sampled once, and a greedy answer is computed once however many samples are asked for.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import DeepseekV3ForCausalLM, PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.decode import LatentCache, LatentDecoder
from afterbase.rollout.engine import Completion, Engine, FinishReason, Sampling
from afterbase.rollout.sampler import greedy, sample, uniforms

PREFILL_TOKENS = 4096
# The cache reads less padding when long rows come first; moving them costs about two steps' attention.
SORT_STEPS = 32


class LocalEngine(Engine):
    """Continuous batching of a DeepSeek-V3 model on the CPU, in float32.

    At most `max_rows` samples run at once, and fewer where `rows x (longest prompt + max_new_tokens)` would pass
    `token_budget` cached tokens (each 4 bytes x layers x (kv_lora_rank + qk_rope_head_dim)). The weights are those of
    `model` at the last `sync`. Raises UserError for other model families.
    """

    def __init__(self, model: PreTrainedModel, *, max_rows: int = 256, token_budget: int = 262_144) -> None:
        if not isinstance(model, DeepseekV3ForCausalLM):
            raise UserError(
                "the local engine runs DeepSeek-V3 models (DeepseekV3ForCausalLM)",
                got=type(model).__name__,
                remedy="use `tiny-v3` or another folder with model_type deepseek_v3",
            )
        self.max_rows = max_rows
        self.token_budget = token_budget
        self._model = model
        self._decoder = LatentDecoder(model)
        self._version = 0
        self._written = _times_written(model)

    def sync(self, version: int) -> None:
        """Take the model's present weights for decoding; completions sampled from now on carry `version`."""
        self._decoder.refresh()
        self._version = version
        self._written = _times_written(self._model)

    def stream(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        samples: int,
        sampling: Sampling,
        abort: Callable[[], bool] | None = None,
    ) -> Iterator[Completion]:
        """`samples` completions of each prompt, each as it ends; `abort` is asked once a step.

        Raises UserError for an empty prompt, where one sequence does not fit in the token budget, and for a model
        whose logits are not finite.
        """
        places: dict[tuple[int, ...], list[int]] = {}
        for index, prompt in enumerate(prompts):
            places.setdefault(tuple(prompt), []).append(index)
        if not places:
            return
        assert self._written == _times_written(self._model), "the weights have moved: `sync` first"
        # Prompts of like length run together, so that little of what a step reads is padding.
        distinct = sorted(places, key=len, reverse=True)
        computed = 1 if sampling.temperature == 0.0 else samples
        rows = min(self.max_rows, len(distinct) * computed, self._most_rows(distinct, sampling))
        batch = _Batch(self._decoder, distinct, samples=computed, sampling=sampling, rows=rows)
        for ended in batch.run(abort):
            copies = range(samples) if computed < samples else [ended.sample]
            for prompt_index in places[distinct[ended.prompt]]:
                for sample_index in copies:
                    yield Completion(
                        token_ids=ended.token_ids.tolist(),
                        logps=ended.logps.tolist(),
                        finish=ended.finish,
                        prompt_index=prompt_index,
                        sample_index=sample_index,
                        weight_version=self._version,
                    )

    def _most_rows(self, distinct: list[tuple[int, ...]], sampling: Sampling) -> int:
        if not distinct[-1]:
            raise UserError(
                "a prompt has at least one token", got="an empty prompt", remedy="start it with a BOS token"
            )
        tokens = len(distinct[0]) + sampling.max_new_tokens
        if tokens > self.token_budget:
            raise UserError(
                "one sequence must fit in the engine's token budget",
                got=f"a prompt of {len(distinct[0])} tokens + max_new_tokens {sampling.max_new_tokens} = {tokens} > "
                f"token_budget {self.token_budget}",
                remedy="raise token_budget, lower max_new_tokens, or drop the longest prompts",
            )
        return self.token_budget // tokens


def _times_written(model: PreTrainedModel) -> int:
    """A number that grows with every write to the weights: torch counts them for autograd."""
    return sum(weight._version for weight in model.parameters())


@dataclass(frozen=True, kw_only=True)
class _Ended:
    """A finished row: `prompt` indexes the distinct prompts; the arrays are views, to be read before the next step."""

    prompt: int
    sample: int
    token_ids: np.ndarray
    logps: np.ndarray
    finish: FinishReason


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A prompt after prefill, waiting for its rows to start."""

    prompt: int
    latents_LWD: Tensor
    logits_V: Tensor


class _Batch:
    """The rows that are running, and the queue behind them. Row state is held in arrays, in the order of the cache."""

    def __init__(
        self,
        decoder: LatentDecoder,
        prompts: list[tuple[int, ...]],
        *,
        samples: int,
        sampling: Sampling,
        rows: int,
    ) -> None:
        self._decoder = decoder
        self._prompts = prompts
        self._sampling = sampling
        self._capacity = rows
        self._cache: LatentCache = decoder.new_cache(
            rows=rows, prompt_width=len(prompts[0]), own_width=sampling.max_new_tokens
        )
        self._waiting = deque((prompt, index) for prompt in range(len(prompts)) for index in range(samples))
        self._read: deque[_Read] = deque()
        self._next_read = 0
        self._steps = 0
        self._prompt = np.zeros(rows, dtype=np.int64)
        self._sample = np.zeros(rows, dtype=np.int64)
        self._length = np.zeros(rows, dtype=np.int64)
        self._tokens = np.empty((rows, sampling.max_new_tokens), dtype=np.int64)
        self._logps = np.empty((rows, sampling.max_new_tokens), dtype=np.float32)
        self._uniforms = np.empty((rows, sampling.max_new_tokens), dtype=np.float64)
        self._is_stop = np.zeros(decoder.model.config.vocab_size, dtype=bool)
        self._is_stop[list(sampling.stop_token_ids)] = True

    @torch.inference_mode()
    def run(self, abort: Callable[[], bool] | None) -> Iterator[_Ended]:
        """Yield every row as it ends; when `abort` says so all others end, those that never started too."""
        while self._waiting or self._cache.rows:
            if abort is not None and abort():
                yield from self._abort()
                return
            while self._waiting and self._cache.rows < self._capacity:
                start = self._cache.rows
                self._extend(start, self._admit())
                yield from self._retire()
            if self._cache.rows:
                last = self._tokens[np.arange(self._cache.rows), self._length[: self._cache.rows] - 1]
                self._extend(0, self._decoder.step(torch.from_numpy(last), self._cache))
                yield from self._retire()

    def _abort(self) -> Iterator[_Ended]:
        for row in range(self._cache.rows):
            yield self._ended(row, FinishReason.ABORT)
        for prompt, index in self._waiting:
            yield _Ended(
                prompt=prompt,
                sample=index,
                token_ids=self._tokens[0, :0],
                logps=self._logps[0, :0],
                finish=FinishReason.ABORT,
            )

    def _ended(self, row: int, finish: FinishReason) -> _Ended:
        length = self._length[row]
        return _Ended(
            prompt=int(self._prompt[row]),
            sample=int(self._sample[row]),
            token_ids=self._tokens[row, :length],
            logps=self._logps[row, :length],
            finish=finish,
        )

    def _admit(self) -> Tensor:
        """Start waiting samples in the free rows; gives the logits_NV of their first tokens."""
        logits = []
        while self._waiting and self._cache.rows < self._capacity:
            prompt, index = self._waiting.popleft()
            while not self._read or self._read[0].prompt != prompt:
                if self._read:
                    self._read.popleft()
                else:
                    self._prefill()
            row = self._cache.rows
            self._cache.add_rows(1, key=prompt, latents_LWD=self._read[0].latents_LWD)
            self._prompt[row], self._sample[row], self._length[row] = prompt, index, 0
            if self._sampling.temperature > 0:
                self._uniforms[row] = uniforms(
                    seed=self._sampling.seed,
                    prompt=self._prompts[prompt],
                    sample=index,
                    count=self._sampling.max_new_tokens,
                )
            logits.append(self._read[0].logits_V)
        return torch.stack(logits)

    def _prefill(self) -> None:
        """Read the next prompts in one pass: a bounded number of tokens, and no more prompts than rows."""
        end, tokens = self._next_read, 0
        most = min(len(self._prompts), end + self._capacity)
        while end < most and (tokens == 0 or tokens + len(self._prompts[end]) <= PREFILL_TOKENS):
            tokens += len(self._prompts[end])
            end += 1
        latents, logits = self._decoder.prefill(self._prompts[self._next_read : end])
        for offset, (latents_LWD, logits_V) in enumerate(zip(latents, logits, strict=True)):
            self._read.append(_Read(prompt=self._next_read + offset, latents_LWD=latents_LWD, logits_V=logits_V))
        self._next_read = end

    def _extend(self, start: int, logits_NV: Tensor) -> None:
        """Append one token to every row from `start` on."""
        if not torch.isfinite(logits_NV.sum()):
            raise UserError(
                "a policy has finite logits",
                got="infinite or not-a-number logits from the model",
                remedy="go back to an earlier checkpoint, with a lower learning rate",
            )
        rows = np.arange(start, self._cache.rows)
        column = self._length[rows]
        if self._sampling.temperature == 0.0:
            tokens, logps = greedy(logits_NV)
        else:
            drawn = torch.from_numpy(self._uniforms[rows, column])
            tokens, logps = sample(logits_NV, drawn, temperature=self._sampling.temperature)
        self._tokens[rows, column] = tokens.numpy()
        self._logps[rows, column] = logps.numpy()
        self._length[rows] += 1

    def _retire(self) -> Iterator[_Ended]:
        """Take finished rows out, the last ones moving into their places; now and then put the longest first."""
        rows = self._cache.rows
        stopped = self._is_stop[self._tokens[np.arange(rows), self._length[:rows] - 1]]
        done = stopped | (self._length[:rows] == self._sampling.max_new_tokens)
        self._steps += 1
        due = self._steps % SORT_STEPS == 0
        if not (done.any() or due):
            return
        for row in np.flatnonzero(done):
            yield self._ended(row, FinishReason.STOP if stopped[row] else FinishReason.LENGTH)
        left = np.flatnonzero(~done)
        order = left[np.argsort(-self._length[left], kind="stable")] if due else _fill_holes(left)
        moved = np.flatnonzero(order != np.arange(len(order)))
        for state in (self._prompt, self._sample, self._length, self._tokens, self._logps, self._uniforms):
            state[moved] = state[order[moved]]
        self._cache.keep_rows(order)


def _fill_holes(left: np.ndarray) -> np.ndarray:
    """An order of the rows left over that moves as few as can be: the last ones, into the places of those gone."""
    order = np.arange(len(left))
    stay = left[left < len(left)]
    order[np.setdiff1d(order, stay)] = left[len(stay) :]
    return order
