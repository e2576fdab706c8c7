"""Load balance of the experts without an auxiliary loss (arXiv 2408.15664; V3 report section 2.1.2).

After each optimizer step the router's bias moves by gamma * sign(mean load - load): overloaded experts become less
likely to be chosen, while the gate's weights stay those of the unbiased scores. `transformers` holds the bias but
never updates it. The report adds a tiny sequence-wise loss (its equations 17 to 20), computed here per sample, not
per pack.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3TopkRouter

from afterbase.core import distributed as ranks


def routers(module: nn.Module) -> list[DeepseekV3TopkRouter]:
    """All routers below a module, in order of depth."""
    return [m for m in module.modules() if isinstance(m, DeepseekV3TopkRouter)]


class LoadCounter:
    """Counts, per router, how many tokens each expert gets; optionally keeps the logits for the sequence-wise loss."""

    def __init__(self, module: nn.Module, *, keep_logits: bool = False) -> None:
        self.routers = routers(module)
        self.loads = [torch.zeros(r.num_experts) for r in self.routers]
        self.logits: list[Tensor] = []
        self._keep_logits = keep_logits

    @contextmanager
    def counting(self) -> Iterator["LoadCounter"]:
        """Count forward passes inside the block; nested recomputation in backward lies outside and counts once."""
        self.logits = []
        handles = [r.register_forward_hook(self._hook(i)) for i, r in enumerate(self.routers)]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, index: int):
        def count(_module: nn.Module, _inputs: object, output: tuple[Tensor, Tensor, Tensor]) -> None:
            logits, _, chosen = output
            self.loads[index] += torch.bincount(chosen.flatten(), minlength=logits.shape[-1]).cpu()
            if self._keep_logits:
                self.logits.append(logits)  # and no more: what is recomputed in backward must be the same operations

        return count

    def global_loads(self) -> list[Tensor]:
        """Per router, the tokens each expert got on all ranks."""
        return [torch.tensor(ranks.totals(*load.tolist())) for load in self.loads]

    def update_biases(self, gamma: float) -> None:
        """One step of b_i += gamma * sign(mean load - load_i) over all ranks, then start counting again."""
        for router, load in zip(self.routers, self.global_loads(), strict=True):
            router.e_score_correction_bias.add_(torch.sign(load.mean() - load), alpha=gamma)
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        for load in self.loads:
            load.zero_()

    def max_over_mean(self) -> list[float]:
        """Per router, the busiest expert's load over the mean load: 1 is perfect balance."""
        return [float(load.max() / load.mean()) if load.sum() else 1.0 for load in self.global_loads()]


def sequence_balance_loss(scores: Tensor, sample_ids: Tensor, samples: int, *, top_k: int) -> Tensor:
    """Mean over samples of sum_i f_i P_i.

    scores: (tokens, experts) sigmoid scores without bias; f_i = experts / (top_k T) * #{tokens whose top-k has i},
    P_i = mean over the T tokens of the normalised score (equations 18 to 20 of the V3 report, T the sample's length).
    """
    experts = scores.shape[-1]
    lengths = torch.bincount(sample_ids, minlength=samples).to(scores.dtype)[:, None]
    chosen = F.one_hot(scores.topk(top_k, dim=-1).indices, experts).sum(1).to(scores.dtype)
    normalised = scores / scores.sum(-1, keepdim=True)
    f = torch.zeros(samples, experts, dtype=scores.dtype).index_add(0, sample_ids, chosen) * experts / (top_k * lengths)
    p = torch.zeros(samples, experts, dtype=scores.dtype).index_add(0, sample_ids, normalised) / lengths
    return (f.detach() * p).sum(-1).mean()
