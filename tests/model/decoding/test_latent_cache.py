"""What rows attend to through the cache is what they attend to over their own tokens, laid out one after the other."""

import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from afterbase.model.decoding.latent_cache import LatentCache, Layout

LAYERS, HEADS, KEY, VALUE = 2, 3, 5, 4  # a cached token is its latent, whose first part is the value, as in MLA
LATENT = {"shares": 1, "share_dim": KEY, "key": slice(0, KEY), "value": slice(0, VALUE)}
# Two groups of heads, with keys and values of their own.
GROUPED = {"shares": 2, "share_dim": 5, "key": slice(0, 3), "value": slice(3, 5)}


class Plain:
    """The same, by hand: a list of tokens a row and layer."""

    def __init__(self, layout=LATENT) -> None:
        self.rows: list[list[list[Tensor]]] = []
        self.layout = layout

    def attend(self, layer: int, row: int, query_HD: Tensor, upto: int) -> Tensor:
        key, value = self.layout["key"], self.layout["value"]
        tokens = torch.stack(self.rows[row][layer][:upto])
        shares = tokens.split(self.layout["share_dim"], 1)
        queries = query_HD.split(len(query_HD) // len(shares))
        pairs = zip(queries, shares, strict=True)
        return torch.cat([(query @ own[:, key].T).softmax(-1) @ own[:, value] for query, own in pairs])


def cache_of(heads: int = HEADS, layout=LATENT, *, rows: int = 8, own: int = 16) -> LatentCache:
    return LatentCache(Layout(layers=LAYERS, heads=heads, **layout), rows=rows, prompt_width=6, own_width=own)


def add(cache: LatentCache, plain: Plain, key: int, prompt_LWD: Tensor, count: int) -> None:
    cache.add_rows(count, key=key, cached_LWD=prompt_LWD)
    plain.rows += [[list(prompt_LWD[layer]) for layer in range(LAYERS)] for _ in range(count)]


def step_is_equal(cache: LatentCache, plain: Plain, rng: torch.Generator, *, tokens: int = 1, heads: int = HEADS):
    dim = plain.layout["shares"] * plain.layout["share_dim"]
    before = [len(row[0]) for row in plain.rows]
    positions, attend = cache.begin_step(tokens)
    assert positions.tolist() == [start + t for start in before for t in range(tokens)]
    key_dim = plain.layout["key"].stop
    for layer in range(LAYERS):
        query = torch.randn(cache.rows * tokens, heads, key_dim, generator=rng)
        new = torch.randn(cache.rows * tokens, dim, generator=rng)
        for m in range(cache.rows * tokens):
            plain.rows[m // tokens][layer].append(new[m])
        got = attend(layer, query, new)
        for m in range(cache.rows * tokens):
            row, t = divmod(m, tokens)
            torch.testing.assert_close(got[m], plain.attend(layer, row, query[m], before[row] + t + 1))


@given(st.integers(0, 2**20), st.lists(st.tuples(st.integers(0, 6), st.integers(1, 3)), min_size=1, max_size=3))
def test_rows_that_come_and_go_attend_to_their_own_prompt_and_tokens(seed: int, prompts) -> None:
    rng = torch.Generator().manual_seed(seed)
    cache, plain = cache_of(rows=10), Plain()
    for key, (width, count) in enumerate(prompts):
        add(cache, plain, key, torch.randn(LAYERS, width, KEY, generator=rng), count)
        step_is_equal(cache, plain, rng)
    kept = torch.randperm(cache.rows, generator=rng)[: max(1, cache.rows - 2)].numpy()
    order = np.sort(kept)
    cache.keep_rows(order)
    plain.rows = [plain.rows[i] for i in order]
    step_is_equal(cache, plain, rng)
    add(cache, plain, 99, torch.randn(LAYERS, 2, KEY, generator=rng), 1)
    step_is_equal(cache, plain, rng)


def test_a_prompt_is_stored_once_and_goes_with_its_last_row() -> None:
    rng = torch.Generator().manual_seed(0)
    cache, plain = cache_of(rows=4), Plain()
    add(cache, plain, 7, torch.randn(LAYERS, 3, KEY, generator=rng), 2)
    add(cache, plain, 8, torch.randn(LAYERS, 1, KEY, generator=rng), 2)
    cache.keep_rows(np.array([2, 3]))  # prompt 7 has no row any more
    plain.rows = plain.rows[2:]
    add(cache, plain, 8, torch.full((LAYERS, 1, KEY), torch.nan), 1)  # there already: not looked at again
    plain.rows[2] = [[token.clone() for token in layer[:1]] for layer in plain.rows[0]]
    step_is_equal(cache, plain, rng)


def test_several_tokens_a_step_see_each_other_in_order_and_can_be_taken_back() -> None:
    rng = torch.Generator().manual_seed(1)
    cache, plain = cache_of(), Plain()
    add(cache, plain, 0, torch.randn(LAYERS, 4, KEY, generator=rng), 3)
    step_is_equal(cache, plain, rng, tokens=3)
    cache.forget(np.array([0, 1, 2]))
    for row, count in enumerate([0, 1, 2]):
        for layer in plain.rows[row]:
            del layer[len(layer) - count :]
    assert cache.lengths.tolist() == [3, 2, 1]
    step_is_equal(cache, plain, rng, tokens=2)


def test_one_query_a_row_may_be_asked_of_several_tokens() -> None:
    rng = torch.Generator().manual_seed(2)
    cache, plain = cache_of(), Plain()
    add(cache, plain, 0, torch.randn(LAYERS, 2, KEY, generator=rng), 2)
    positions, attend = cache.begin_step(2, np.array([0, 1]))
    assert positions.tolist() == [2, 3, 2, 3]
    new = torch.randn(4, KEY, generator=rng)
    query = torch.randn(2, HEADS, KEY, generator=rng)
    for m in range(4):
        plain.rows[m // 2][0].append(new[m])
    got = attend(0, query, new)
    torch.testing.assert_close(got[0], plain.attend(0, 0, query[0], 3))
    torch.testing.assert_close(got[1], plain.attend(0, 1, query[1], 4))


@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(1, 3), min_size=1, max_size=3), tokens=st.integers(1, 3))
def test_groups_of_heads_have_keys_and_values_of_their_own(seed: int, counts: list[int], tokens: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    cache, plain = cache_of(heads=4, layout=GROUPED, rows=9), Plain(GROUPED)
    for key, count in enumerate(counts):
        add(cache, plain, key, torch.randn(LAYERS, 3, 10, generator=rng), count)
    step_is_equal(cache, plain, rng, heads=4, tokens=tokens)
    order = np.arange(len(plain.rows))[::-1][: max(1, len(plain.rows) - 1)]
    cache.keep_rows(order)
    plain.rows = [plain.rows[i] for i in order]
    step_is_equal(cache, plain, rng, heads=4)


@pytest.mark.parametrize("rows", [1, 70])
def test_rows_of_very_different_lengths_are_cut_into_spans(rows: int) -> None:
    rng = torch.Generator().manual_seed(4)
    cache, plain = cache_of(rows=rows + 1, own=12), Plain()
    add(cache, plain, 0, torch.randn(LAYERS, 2, KEY, generator=rng), 1)
    for _ in range(5):
        step_is_equal(cache, plain, rng)
    add(cache, plain, 0, torch.randn(LAYERS, 2, KEY, generator=rng)[:, :2], rows)
    for row in plain.rows[1:]:
        for layer in range(LAYERS):
            row[layer] = [token.clone() for token in plain.rows[0][layer][:2]]
    step_is_equal(cache, plain, rng)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc")
def test_memory_follows_what_is_written_and_not_what_could_be():
    """Strips of two megabytes, a token in each: huge pages made all of them resident."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    rows = 64
    cache = LatentCache(Layout(layers=2, heads=1, **LATENT), rows=rows, prompt_width=1, own_width=1 << 17)
    cache.add_rows(rows, key=0, cached_LWD=torch.ones(2, 1, KEY))
    before = resident()
    _, attend = cache.begin_step()
    for layer in range(2):
        attend(layer, torch.ones(rows, 1, KEY), torch.ones(rows, KEY))
    assert resident() - before < 32 << 20
