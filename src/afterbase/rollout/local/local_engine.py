"""The rollout engine in this process: a prompt is read once, rows leave as they finish, waiting ones take their place.

Equal prompts give equal samples (the randomness depends on seed, prompt and sample index only), so a prompt that is
given several times is sampled once, and a greedy answer is computed once however many samples are asked for.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from transformers import PreTrainedModel

from afterbase.core.errors import UserError
from afterbase.model.decoding.decode_deepseek_v3 import LatentDecoder
from afterbase.model.decoding.decode_mtp import MtpDecoder
from afterbase.model.decoding.decoder import decoder_for
from afterbase.model.mtp import MtpModule
from afterbase.rollout.engine import Completion, Engine, Sampling
from afterbase.rollout.local.batch import Batch, Ended, Row
from afterbase.rollout.local.prefill import prefill
from afterbase.rollout.local.prompt_queue import PromptQueue, Reader
from afterbase.rollout.local.recorded_routing import Routing
from afterbase.rollout.local.speculative import Drafts, Speculation


class LocalEngine(Engine):
    """Continuous batching of a causal LM on the CPU, in float32, or its linear layers in int8.

    At most `max_rows` samples run at once, and fewer where `rows x (longest prompt + max_new_tokens)` would pass
    `token_budget` cached tokens: each of 4 bytes x layers x (kv_lora_rank + qk_rope_head_dim) in a DeepSeek-V3 model,
    and of 4 bytes x layers x key heads x head width x 2 in others. The weights are those of `model` at the last `sync`.
    With `draft`, the model's multi-token prediction module, a step gives up to two tokens a row where that is faster;
    the samples are the same. `record_routing` adds `routed_experts` to completions. `int8` quantises a Llama's linear
    layers at each `sync`; log-probabilities are then those of the int8 policy, the one which sampled.
    Raises UserError for a family that cannot be run, and for what its decoder cannot do.

    >>> from afterbase.model.folders import find
    >>> from afterbase.model.load import load
    >>> lm = load(find("tiny-v3"))
    >>> sampling = Sampling(temperature=0, max_new_tokens=4, stop_token_ids=(), seed=0)
    >>> [[answer]] = LocalEngine(lm.model).generate([lm.tokenizer.encode("1 + 1 =")], samples=1, sampling=sampling)
    >>> len(answer.token_ids), len(answer.logps), str(answer.finish)
    (4, 4, 'length')
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        max_rows: int = 256,
        token_budget: int = 262_144,
        int8: bool = False,
        draft: MtpModule | None = None,
        record_routing: bool = False,
    ) -> None:
        self.max_rows = max_rows
        self.token_budget = token_budget
        self._model = model
        self._decoder = decoder_for(model, int8=int8)
        self._draft_decoder: MtpDecoder | None = None
        if isinstance(self._decoder, LatentDecoder):
            self._draft_decoder = None if draft is None else MtpDecoder(draft, self._decoder)
        elif draft is not None or record_routing:
            raise UserError(
                "only a DeepSeek-V3 model drafts, and records its routing, in the local engine",
                got=type(model).__name__,
                remedy="leave draft and record_routing out",
            )
        self._drafts: Drafts | None = None
        self._record_routing = record_routing
        self._version = 0
        self._draft = draft
        self._written = self._times_written()

    @property
    def speculation(self) -> Speculation | None:
        """What drafting came to in the latest call; None where there was none."""
        return None if self._drafts is None else self._drafts.report

    def sync(self, version: int) -> None:
        """Take the model's present weights for decoding; completions sampled from now on carry `version`."""
        self._decoder.refresh()
        if self._draft_decoder is not None:
            self._draft_decoder.refresh()
        self._version = version
        self._written = self._times_written()

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
        assert self._written == self._times_written(), "the weights have moved: `sync` first"
        # Prompts of like length run together, so that little of what a step reads is padding.
        distinct = sorted(places, key=len, reverse=True)
        computed = 1 if sampling.temperature == 0.0 else samples
        rows = min(self.max_rows, len(distinct) * computed, self._most_rows(distinct, sampling))
        batch, read = self._new_batch(rows, prompt_width=len(distinct[0]), sampling=sampling)
        waiting = PromptQueue(distinct, samples=computed, sampling=sampling, read=read, most=rows)
        for ended in _run(batch, waiting, abort):
            copies = range(samples) if computed < samples else [ended.row.sample]
            for prompt_index, sample_index in itertools.product(places[ended.row.prompt], copies):
                yield self._completion(ended, prompt_index, sample_index)

    def _new_batch(self, rows: int, *, prompt_width: int, sampling: Sampling) -> tuple[Batch[Row], Reader]:
        """A batch, and the reading of prompts for it."""
        if self._draft_decoder is not None:
            self._drafts = Drafts(self._draft_decoder, rows=rows, prompt_width=prompt_width, sampling=sampling)
        routing = None
        if self._record_routing:
            assert isinstance(self._decoder, LatentDecoder)
            routing = Routing(self._decoder.model.config, rows=rows, new_tokens=sampling.max_new_tokens)
        batch: Batch[Row] = Batch(
            self._decoder,
            rows=rows,
            prompt_width=prompt_width,
            own_width=sampling.max_new_tokens,
            common=sampling,
            drafts=self._drafts,
            routing=routing,
        )
        return batch, partial(prefill, self._decoder, drafts=self._drafts, routing=routing)

    def _completion(self, ended: Ended[Row], prompt_index: int, sample_index: int) -> Completion:
        if isinstance(ended.finish, ArithmeticError):
            raise UserError(
                "a policy has finite logits",
                got="infinite or not-a-number logits from the model",
                remedy="go back to an earlier checkpoint, with a lower learning rate",
            )
        return Completion(
            token_ids=ended.token_ids.tolist(),
            logps=ended.logps.tolist(),
            finish=ended.finish,
            prompt_index=prompt_index,
            sample_index=sample_index,
            weight_version=self._version,
            routed_experts=ended.routed_experts,
            kept_tokens=None if ended.kept_tokens is None else ended.kept_tokens.copy(),
            top_logps=_pairs(ended) if ended.top_ids.shape[1] else None,
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

    def _times_written(self) -> int:
        """A number that grows with every write to the weights: torch counts them for autograd."""
        draft = () if self._draft is None else self._draft.parameters()
        return sum(weight._version for weight in itertools.chain(self._model.parameters(), draft))


def _pairs(ended: Ended[Row]) -> list[list[tuple[int, float]]]:
    places = zip(ended.top_ids.tolist(), ended.top_logps.tolist(), strict=True)
    return [list(zip(ids, logps, strict=True)) for ids, logps in places]


@torch.inference_mode()
def _run(batch: Batch[Row], waiting: PromptQueue, abort: Callable[[], bool] | None) -> Iterator[Ended[Row]]:
    """Every row as it ends; when `abort` says so all others end, those that never started too."""
    while waiting or batch.rows:
        if abort is not None and abort():
            yield from batch.abort(waiting.rest())
            return
        while waiting and batch.free:
            batch.begin(waiting.take(batch.free))
            yield from batch.retire()
        if batch.rows:
            batch.step()
            yield from batch.retire()
