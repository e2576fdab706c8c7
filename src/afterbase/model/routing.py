"""Routing kept from the rollout (DeepSeek-V3.2 report, arXiv 2512.02556, section 3.1): the experts chosen there, here.

Gates are computed from the present weights, and so differentiable; only the choice is replayed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from afterbase.model.balance import routers


@contextmanager
def replayed_routing(module: nn.Module, experts_TLK: Tensor) -> Iterator[None]:
    """Inside the block (backward too, where layers are recomputed) each token's experts are the given ones.

    T tokens of the row that is run, L routers in order of depth, K experts a token.
    """
    handles = []
    for layer, router in enumerate(routers(module)):
        chosen_TK = experts_TLK[:, layer].long()

        def replay(router: Any, _inputs: object, output: tuple[Tensor, Tensor, Tensor], chosen_TK=chosen_TK):
            logits, _, _ = output
            gates_TK = logits.sigmoid().gather(1, chosen_TK)
            if router.norm_topk_prob:
                gates_TK = gates_TK / (gates_TK.sum(-1, keepdim=True) + 1e-20)
            return logits, gates_TK * router.routed_scaling_factor, chosen_TK

        handles.append(router.register_forward_hook(replay))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def replay_of_row(places: list[tuple[int, bool]], prompts: list[int], routed: list[Tensor]) -> Tensor:
    """The experts_TLK of a packed row: of each of its segments, which are prompts and what was read of their answers.

    `places` names each segment's answer and whether it is the prompt; `prompts` holds the answers' prompt lengths,
    `routed` what the engine recorded of each answer, over its prompt and all of its tokens but the last.
    """
    return torch.cat([routed[i][: prompts[i]] if is_prompt else routed[i][prompts[i] :] for i, is_prompt in places])
