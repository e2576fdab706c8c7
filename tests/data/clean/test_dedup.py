import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.clean.buckets import FULL
from afterbase.data.clean.dedup import BANDS, Deduplicator, Sketches, sketch
from afterbase.data.clean.shingles import ngrams, tokens

WORDS = [f"word{i}" for i in range(24)]
PHRASES = st.lists(st.sampled_from(WORDS[:4]), max_size=12).map(" ".join)


def prose(words: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(WORDS) + str(rng.randrange(50)) for _ in range(words)]


def changed(words: list[str], count: int, seed: int = 0) -> str:
    """The text with `count` of its words replaced."""
    out = list(words)
    for i in random.Random(seed).sample(range(len(words)), count):
        out[i] = f"other{i}x{seed}"
    return " ".join(out)


def kept(texts: list[str], *, similarity: float = 0.8, batch: int = 1000, shingle: int = 5) -> list[int]:
    return np.flatnonzero(repeats(texts, similarity=similarity, batch=batch, shingle=shingle)[0] < 0).tolist()


def repeats(texts: list[str], *, similarity: float = 0.8, batch: int = 1000, shingle: int = 5):
    deduplicator = Deduplicator(similarity)
    found = [deduplicator.decide(sketch(texts[i : i + batch], shingle)) for i in range(0, len(texts), batch)]
    return tuple(np.concatenate([getattr(f, name) for f in found]) for name in ("of", "similarity", "exact"))


def similarity_of(a: str, b: str, shingle: int) -> float:
    one, two = (set(ngrams(tokens([text]), shingle)[0].tolist()) for text in (a, b))
    return len(one & two) / len(one | two) if one | two else 0.0


def test_white_space_and_composition_make_no_other_text():
    of, similarity, exact = repeats(["Café  au\nlait", "Cafe\u0301 au lait ", "tea"])
    assert of.tolist() == [-1, 0, -1]
    assert similarity[1] == 1
    assert exact.tolist() == [False, True, False]


def test_case_and_punctuation_alone_make_a_near_duplicate():
    of, similarity, exact = repeats(["Why is the sky blue?", "why is the sky blue"])
    assert (of[1], similarity[1], exact[1]) == (0, 1.0, False)


def test_another_operator_is_another_problem():
    assert kept(["What is 3 + 4?", "What is 3 - 4?", "What is 3 * 4?"]) == [0, 1, 2]


def test_texts_without_a_token_repeat_only_themselves():
    assert kept(["", "...", "?!", "", "..."]) == [0, 1, 2]


def test_the_first_in_order_is_kept_and_named():
    words = prose(200, seed=1)
    texts = [" ".join(words), "unlike all the others", changed(words, 1), changed(words, 2, seed=5)]
    assert repeats(texts)[0].tolist() == [-1, -1, 0, 0]
    assert repeats(texts[::-1])[0].tolist() == [-1, 0, -1, 0]


def test_an_exact_copy_is_named_before_a_near_one():
    words = prose(100, seed=2)
    near = changed(words, 4)  # far enough from the first to be kept, given the threshold
    texts = [" ".join(words), near, near]
    assert similarity_of(texts[0], near, 5) < 0.9
    of, _, exact = repeats(texts, similarity=0.9)
    assert (of.tolist(), exact.tolist()) == ([-1, -1, 1], [False, False, True])


def test_a_row_is_not_compared_with_one_that_was_dropped():
    """a ~ b and b ~ c, a and c unlike: b goes, c stays."""
    words = prose(300, seed=3)
    a, b, c = " ".join(words), changed(words, 6), changed(changed(words, 6).split(), 6, seed=9)
    assert similarity_of(a, b, 5) >= 0.8 <= similarity_of(b, c, 5)
    assert similarity_of(a, c, 5) < 0.8
    assert kept([a, b, c]) == [0, 2]


def test_a_candidate_below_the_threshold_is_kept():
    """Rows of a signature agree with a chance of the similarity: only its true value tells."""
    words = prose(100, seed=4)
    texts = [" ".join(words), *(changed(words, 3, seed=s) for s in range(40))]
    of, similarity, _ = repeats(texts, similarity=0.8)
    for row in range(len(texts)):
        if of[row] >= 0:
            assert similarity[row] == pytest.approx(similarity_of(texts[row], texts[of[row]], 5))
            assert similarity[row] >= 0.8
    assert 0 < np.count_nonzero(of >= 0) < 40


@given(st.lists(PHRASES, min_size=1, max_size=25), st.integers(1, 7))
def test_batches_change_nothing(texts, batch):
    whole, parts = repeats(texts, shingle=2), repeats(texts, shingle=2, batch=batch)
    for a, b in zip(whole, parts, strict=True):
        assert a.tolist() == b.tolist()


@given(st.lists(PHRASES, min_size=1, max_size=25))
def test_what_is_kept_holds_no_duplicates(texts):
    once = [texts[i] for i in kept(texts, shingle=2)]
    assert kept(once, shingle=2) == list(range(len(once)))
    assert len({" ".join(t.split()) for t in once}) == len(once)


@given(st.lists(PHRASES, min_size=1, max_size=25))
def test_every_drop_is_true(texts):
    of, similarity, exact = repeats(texts, shingle=2)
    for row in np.flatnonzero(of >= 0).tolist():
        other = int(of[row])
        assert other < row
        assert of[other] < 0, "what is repeated was kept"
        assert exact[row] == (texts[row].split() == texts[other].split())
        assert similarity[row] == (1 if exact[row] else similarity_of(texts[row], texts[other], 2))


def test_pairs_of_each_similarity_are_found_as_often_as_the_bands_promise():
    found, pairs = 0, 0
    for seed in range(150):
        words = prose(200, seed=seed)
        texts = [" ".join(words), changed(words, 4, seed=seed)]
        if similarity_of(texts[0], texts[1], 5) >= 0.8:
            pairs += 1
            found += kept(texts) == [0]
    assert pairs > 100
    assert found / pairs > 0.98


def test_rows_outside_the_choice_are_counted_and_forgotten():
    deduplicator = Deduplicator(0.8)
    first = deduplicator.decide(sketch(["a b", "c d", "e f"], 5), np.array([False, True, True]))
    second = deduplicator.decide(sketch(["a b", "c d", "c d"], 5), np.array([True, True, False]))
    assert first.of.tolist() == [-1, -1, -1]
    assert second.of.tolist() == [-1, 1, -1]


def test_a_key_that_too_many_share_is_counted():
    words = prose(300, seed=6)
    texts = [" ".join([*prose(12, seed=100 + i), *words]) for i in range(FULL * 2)]
    whole, parts = Deduplicator(1.0), Deduplicator(1.0)
    expected = whole.decide(sketch(texts, 5)).of.tolist()
    assert [parts.decide(sketch([t], 5)).of[0] for t in texts] == expected == [-1] * len(texts)
    assert whole.crowded == parts.crowded > 0


ROWS = 200_000


def _growth() -> tuple[float, float]:
    """Bytes a row that 200,000 unlike rows add: of the process, and as the deduplicator counts them."""
    rng, deduplicator, rows = np.random.default_rng(0), Deduplicator(0.8), 2000

    def more():
        bands = rng.integers(0, 2**32, (rows, BANDS), dtype=np.uint32)
        digests = rng.integers(0, 2**64, (rows, 2), dtype=np.uint64)
        shingles = np.sort(rng.integers(0, 2**32, (rows, 30), dtype=np.uint32), axis=1).ravel()
        deduplicator.decide(Sketches(digests, bands, shingles, np.arange(0, 30 * rows + 1, 30)))

    for _ in range(10):
        more()
    before, counted = _resident(), deduplicator.bytes
    for _ in range(ROWS // rows):
        more()
    return (_resident() - before) / ROWS, (deduplicator.bytes - counted) / ROWS


def _resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_memory_grows_by_less_than_400_bytes_a_row():
    told = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True).stdout
    resident, counted = map(float, told.split())
    assert counted < 400
    assert resident < 400


if __name__ == "__main__":  # in a process of its own, which has no other memory to grow
    print(*_growth())
