"""Router biases after exact steps, what is counted and how often, and the sequence-wise loss against a plain loop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.checkpoint import checkpoint
from transformers import DeepseekV3Config
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3MoE, DeepseekV3TopkRouter

from afterbase.model.attention import Segments
from afterbase.model.balance import LoadCounter, routers, sequence_balance_loss

EXPERTS = 4


def toy_config() -> DeepseekV3Config:
    config = DeepseekV3Config(
        hidden_size=EXPERTS,
        moe_intermediate_size=4,
        n_routed_experts=EXPERTS,
        num_experts_per_tok=1,
        n_shared_experts=1,
        n_group=1,
        topk_group=1,
    )
    config._experts_implementation = "eager"
    return config


def toy_router() -> DeepseekV3TopkRouter:
    """Scores are the sigmoids of the hidden state itself."""
    router = DeepseekV3TopkRouter(toy_config())
    torch.nn.init.eye_(router.weight)
    return router


def toy_moe() -> DeepseekV3MoE:
    torch.manual_seed(0)
    moe = DeepseekV3MoE(toy_config())
    for parameter in moe.parameters():
        torch.nn.init.normal_(parameter)
    return moe


def test_biases_after_exact_steps():
    """Scores are 0.73, 0.50, 0.27, 0.12 for four tokens and 0.50, 0.73, 0.27, 0.12 for one; the mean load is 1.25."""
    router = toy_router()
    counter = LoadCounter(router)
    hidden = torch.tensor([[1.0, 0.0, -1.0, -2.0]] * 4 + [[0.0, 1.0, -1.0, -2.0]])
    steps = [
        ([4, 1, 0, 0], [-0.125, 0.125, 0.125, 0.125]),
        ([0, 5, 0, 0], [0.0, 0.0, 0.25, 0.25]),
        ([4, 1, 0, 0], [-0.125, 0.125, 0.375, 0.375]),
        ([0, 1, 4, 0], [0.0, 0.25, 0.25, 0.5]),
    ]
    for loads, biases in steps:
        with counter.counting():
            _, gates, _ = router(hidden)
        assert counter.loads[0].tolist() == loads
        assert (gates == router.routed_scaling_factor).all(), "the bias chooses; it never enters the gate"
        counter.update_biases(0.125)
        assert router.e_score_correction_bias.tolist() == biases
        assert counter.loads[0].tolist() == [0] * EXPERTS


def test_a_balanced_router_and_a_speed_of_zero_leave_the_bias_alone():
    router = toy_router()
    counter = LoadCounter(router)
    with counter.counting():
        router(torch.eye(EXPERTS))
    counter.update_biases(0.5)
    with counter.counting():
        router(torch.eye(EXPERTS)[:1])
    counter.update_biases(0.0)
    assert router.e_score_correction_bias.tolist() == [0.0] * EXPERTS


def test_loads_add_up_over_passes():
    router = toy_router()
    counter = LoadCounter(router)
    for rows in (2, 3):
        with counter.counting():
            router(torch.eye(EXPERTS)[:rows])
    router(torch.eye(EXPERTS))  # outside: not counted
    assert counter.loads[0].tolist() == [2, 2, 1, 0]
    assert counter.max_over_mean() == [pytest.approx(2 / 1.25)]


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputed_activations_count_once(reentrant):
    moe = toy_moe()
    hidden = torch.randn(7, EXPERTS, requires_grad=True)
    counter, careless = LoadCounter(moe), LoadCounter(moe)
    with careless.counting():
        with counter.counting():
            out = checkpoint(moe, hidden, use_reentrant=reentrant)
        out.sum().backward()
    assert counter.loads[0].sum() == 7
    assert careless.loads[0].sum() == 14, "the recomputation does pass the router a second time"


def test_routers_come_in_order_of_depth_and_the_prediction_modules_last(toy_lm):
    found = routers(toy_lm.modules())
    layers = toy_lm.model.model.layers
    assert [id(r) for r in found] == [id(block.mlp.gate) for block in (layers[1], layers[2], toy_lm.mtp.block)]


lengths_of_samples = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def drawn_scores(lengths: list[int], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(sum(lengths), 5, generator=generator, dtype=torch.float64, requires_grad=True)


def naive_balance_loss(scores: torch.Tensor, *, top_k: int) -> torch.Tensor:
    """Equations 17 to 20 of the V3 report for one sample, in loops; f is a count and bears no gradient."""
    tokens, experts = scores.shape
    loss = torch.zeros((), dtype=scores.dtype)
    for i in range(experts):
        chosen = sum(int((scores[t] > scores[t, i]).sum() < top_k) for t in range(tokens))
        f = experts / (top_k * tokens) * chosen
        p = torch.stack([scores[t, i] / scores[t].sum() for t in range(tokens)]).mean()
        loss = loss + f * p
    return loss


@given(lengths_of_samples, st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_sequence_loss_is_a_mean_over_samples(lengths, top_k, seed):
    scores = drawn_scores(lengths, seed)
    segments = Segments.of(lengths)
    packed = sequence_balance_loss(scores, segments.sample_ids, len(lengths), top_k=top_k)
    naive = torch.stack([naive_balance_loss(part, top_k=top_k) for part in scores.split(lengths)]).mean()
    torch.testing.assert_close(packed, naive, rtol=0, atol=1e-12)
    ours, theirs = (torch.autograd.grad(loss, scores)[0] for loss in (packed, naive))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_sequence_loss_is_not_that_of_the_pack():
    """Two samples, each on one expert of its own: balanced as a pack, as unbalanced as can be as samples."""
    scores = torch.tensor([[0.9, 0.1]] * 3 + [[0.1, 0.9]] * 3)
    apart = sequence_balance_loss(scores, torch.tensor([0, 0, 0, 1, 1, 1]), 2, top_k=1)
    together = sequence_balance_loss(scores, torch.zeros(6, dtype=torch.long), 1, top_k=1)
    assert apart.item() == pytest.approx(1.8)
    assert together.item() == pytest.approx(1.0)


def test_statistics_do_not_depend_on_what_is_packed_beside(exact_lm):
    """Scores of all routers, the prediction module's included, and with them loads and the sequence loss."""
    lengths = [3, 1, 6]
    ids = torch.randint(400, (10,), generator=torch.Generator().manual_seed(0))
    modules = exact_lm.modules()

    def run(part: torch.Tensor, sizes: list[int]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        counter, segments = LoadCounter(modules, keep_logits=True), Segments.of(sizes)
        with counter.counting():
            exact_lm.mtp_hidden(part, exact_lm.hidden(part, segments), segments)
        return counter.logits, counter.loads

    packed_scores, packed_loads = run(ids, lengths)
    alone = [run(part, [len(part)]) for part in ids.split(lengths)]
    assert len(packed_scores) == len(packed_loads) == 3
    for router in range(3):
        alone_scores = torch.cat([scores[router] for scores, _ in alone])
        torch.testing.assert_close(packed_scores[router], alone_scores, rtol=0, atol=1e-9)
        assert torch.equal(packed_loads[router], torch.stack([loads[router] for _, loads in alone]).sum(0))
        assert packed_loads[router].sum() == 2 * 10


def test_kept_scores_bear_gradients_and_are_those_of_the_last_pass(toy_lm):
    counter = LoadCounter(toy_lm.model, keep_logits=True)
    for _ in range(2):
        with counter.counting():
            toy_lm.hidden(torch.arange(4), Segments.of([4]))
    assert len(counter.logits) == 2
    torch.stack([s.sum() for s in counter.logits]).sum().backward()
    assert toy_lm.model.model.layers[1].mlp.gate.weight.grad.abs().sum() > 0
