"""Style control, against scikit-learn on the design as the references write it out, and where style says nothing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from afterbase.core.errors import UserError
from afterbase.eval.judged.arena_hard.score import Battles, Version
from afterbase.eval.judged.arena_hard.score import score as plain
from afterbase.eval.judged.arena_hard.style import features, score


def _toy(models: int = 3, questions: int = 60) -> tuple[Battles, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    model, question = np.divmod(np.repeat(np.arange(models * questions), 2), questions)
    counts = [rng.integers(0, [800, 6, 20, 9], size=(models * questions, 4)).repeat(2, axis=0) for _ in range(2)]
    tilt = rng.normal(size=models)[model] + 1.5 * (counts[0] - counts[1])[:, 0] / 800
    outcome = rng.binomial(2, 1 / (1 + np.exp(-tilt))) / 2
    battles = Battles(
        baseline="base",
        models=[f"m{i}" for i in range(models)],
        questions=[str(i) for i in range(questions)],
        model_B=model,
        question_B=question,
        outcome_B=outcome,
    )
    return battles, counts[0].astype(float), counts[1].astype(float)


def _written_out(battles: Battles, own: np.ndarray, baseline: np.ndarray, version: Version) -> np.ndarray:
    """A column a model, the baseline's, and the four of style; as the references do it."""
    n, models = len(battles.model_B), len(battles.models)
    x = np.zeros((n, models + 5))
    x[:, models] = -1
    x[np.arange(n), battles.model_B] = 1
    if version == "0.1":
        x[:, : models + 1] *= np.log(10)
        f = (own - baseline) / (own + baseline + 1)
        x[:, -4:] = (f - f.mean(axis=0)) / f.std(axis=0)
        return x
    f = np.empty((n, 4))
    f[:, 0] = (own[:, 0] - baseline[:, 0]) / (own[:, 0] + baseline[:, 0])
    dense, base_dense = (c[:, 1:] / (c[:, :1] + 1) for c in (own, baseline))
    f[:, 1:] = (dense - base_dense) / (dense + base_dense + 1)
    x[:, -4:] = (f - f.mean(axis=0)) / f.std(axis=0, ddof=1)
    return x


@pytest.mark.parametrize(("version", "C", "copies"), [("0.1", 1.0, 2), ("2.0", np.inf, 1)])
def test_scikit_learn_agrees(version: Version, C: float, copies: int) -> None:
    battles, own, baseline = _toy()
    x = _written_out(battles, own, baseline, version)
    peer = LogisticRegression(C=C, fit_intercept=False, tol=1e-12, max_iter=10_000)
    weights = copies * np.r_[battles.outcome_B, 1 - battles.outcome_B]
    peer.fit(np.vstack([x, x]), np.repeat([1, 0], len(x)), sample_weight=weights)
    unit = np.log(10) if version == "0.1" else 1
    expected = 100 / (1 + np.exp(unit * (peer.coef_[0][3] - peer.coef_[0][:3])))
    got = score(battles, own, baseline, version)
    assert [got[name].score for name in battles.models] == pytest.approx(expected.tolist(), abs=1e-3)
    assert all(got[name].ci_low < got[name].score < got[name].ci_high for name in battles.models)
    assert got["base"].score == 50


def test_models_that_differ_by_length_alone_are_equal_at_equal_length() -> None:
    battles, own, baseline = _toy(models=2, questions=400)
    own[:, 0] += np.where(battles.model_B == 0, 300, 0)
    chance = 1 / (1 + np.exp(-3 * (own - baseline)[:, 0] / (own + baseline)[:, 0]))
    outcome = np.random.default_rng(2).binomial(1, chance).astype(float)
    by_length = Battles(**{**vars(battles), "outcome_B": outcome})
    raw, controlled = plain(by_length, "2.0"), score(by_length, own, baseline, "2.0")
    assert raw["m0"].score - raw["m1"].score > 10
    assert abs(controlled["m0"].score - controlled["m1"].score) < 4


def test_style_that_never_differs_changes_nothing() -> None:
    battles, own, _ = _toy()
    controlled, raw = score(battles, own, own, "2.0"), plain(battles, "2.0")
    for name in battles.models:
        assert controlled[name].score == pytest.approx(raw[name].score, abs=1e-9)
    assert features(own, own, "0.1").tolist() == [[0, 0, 0, 0]] * len(own)
    assert np.isfinite(features(own * 0, own * 0, "2.0")).all()


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (1.0, 100)])
def test_a_model_that_lost_or_won_everything_is_at_the_end_and_leaves_the_others_alone(
    share: float, expected: int
) -> None:
    battles, own, baseline = _toy()
    outcome = np.where(battles.model_B == 1, share, battles.outcome_B)
    got = score(Battles(**{**vars(battles), "outcome_B": outcome}), own, baseline, "2.0")
    assert (got["m1"].score, got["m1"].ci_low, got["m1"].ci_high) == (expected, expected, expected)
    before = score(battles, own, baseline, "2.0")
    assert got["m0"].score == pytest.approx(before["m0"].score, abs=5)
    penalised = score(Battles(**{**vars(battles), "outcome_B": outcome}), own, baseline, "0.1")["m1"].score
    assert 0 < abs(penalised - expected) < 20


def test_battles_that_style_decides_are_refused() -> None:
    battles, own, baseline = _toy(models=1)
    decided = Battles(**{**vars(battles), "outcome_B": np.where(own[:, 0] > baseline[:, 0], 1.0, 0.0)})
    with pytest.raises(UserError, match="style does not decide"):
        score(decided, own, baseline, "2.0")
    assert 0 < score(decided, own, baseline, "0.1")["m0"].score < 100  # its penalty always leaves an optimum
