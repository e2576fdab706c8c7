"""Win rates against the published ones, against scikit-learn's way of fitting, and where there is nothing to fit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold

from afterbase.core.errors import UserError
from afterbase.eval.judged.alpaca_eval.files import Instructions, read_folds, read_models, read_regulariser
from afterbase.eval.judged.alpaca_eval.score import (
    CS,
    Answers,
    Regulariser,
    _training_rows,
    choose_penalty,
    reference_folds,
    score,
)


def _toy(seed: int = 0, n: int = 60) -> tuple[Answers, Regulariser]:
    rng = np.random.default_rng(seed)
    difficulty, gamed = rng.normal(size=n), 2 * n
    lengths = rng.normal(300, 500, size=n).round()
    y = 1 / (1 + np.exp(-(0.8 * difficulty - 1 + np.tanh(-lengths / 500) + rng.normal(size=n))))
    answers = Answers(
        model="toy",
        is_baseline=False,
        index_N=np.arange(n),
        difficulty_N=difficulty,
        length_difference_N=lengths,
        y_N=y,
    )
    regulariser = Regulariser(
        length_difference_G=rng.normal(size=gamed), difficulty_G=np.tile(difficulty, 2), y_G=rng.uniform(size=gamed)
    )
    return answers, regulariser


@pytest.fixture(scope="module")
def published(afterbase_data: Path):
    folder = afterbase_data / "alpaca_eval"
    rows = {row["model"]: row for row in json.loads((folder / "published.json").read_text())}
    instructions = Instructions(folder / "instructions.csv")
    models = read_models([folder / f"{name}.csv.gz" for name in rows], instructions)
    regulariser = read_regulariser(folder / "df_gamed_reconstructed.csv.gz")
    folds = read_folds(folder / "cv_folds_reference.csv.gz", n=1610 + 805)
    return [(answers, rows[answers.model]) for answers in models], regulariser, folds


def test_published_win_rates_and_the_length_controlled_ones_at_the_published_penalty(published) -> None:
    models, regulariser, _ = published
    for answers, row in models:
        got = score(answers, regulariser, C=row["reference_code_on_this_bundle"]["C"])
        assert got.n_total == row["published"]["n_total"]
        assert got.win_rate == pytest.approx(row["published"]["win_rate"], abs=1e-8)
        assert got.standard_error == pytest.approx(row["published"]["standard_error"], abs=1e-8)
        assert got.length_controlled_win_rate == pytest.approx(row["published"]["length_controlled_winrate"], abs=0.02)
        exact = row["independent_exact_optimum"]["l1_at_same_C"]["lc"]
        assert got.length_controlled_win_rate == pytest.approx(exact, abs=1e-6)
        reference = row["reference_code_on_this_bundle"]["lc_standard_error"]
        assert got.lc_standard_error == pytest.approx(reference, abs=2e-3)


def test_own_cross_validation_is_near_the_published_scores_and_uses_the_reference_partition(published) -> None:
    models, regulariser, folds = published
    np.testing.assert_array_equal(reference_folds(2415), folds)
    same = 0
    for answers, row in models:
        got = score(answers, regulariser)
        assert got.length_controlled_win_rate == pytest.approx(row["published"]["length_controlled_winrate"], abs=0.15)
        assert got == score(answers, regulariser, folds_R=folds)
        same += abs(got.C / row["reference_code_on_this_bundle"]["C"] - 1) < 1e-6
    assert same >= 6  # of 8: what liblinear leaves open decides the others


@pytest.mark.parametrize("n", [2, 15, 16, 17, 100, 2412])
def test_reference_partition_is_an_even_one(n: int) -> None:
    counts = np.bincount(reference_folds(n), minlength=5)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= 1


def test_cross_validation_chooses_as_scikit_learn_does() -> None:
    answers, regulariser = _toy(1)
    rows, _ = _training_rows(answers, regulariser)
    folds = np.arange(len(rows.y_N)) % 5
    x, labels = np.vstack([rows.x_NK] * 2), np.repeat([1, 0], len(rows.y_N))
    true, weights = np.tile(rows.y_N, 2), np.tile(rows.w_SN[0], 2)

    def held_out(model, inputs, _, sample_weight) -> float:
        # scikit-learn gives rows, not their places: found by their values.
        place = [int(np.flatnonzero((rows.x_NK == row).all(axis=1))[0]) for row in inputs]
        p = model.predict_proba(inputs)[:, 1]
        y, w = rows.y_N[place], rows.w_SN[0, place]
        return float(np.mean(w * (y * np.log(p) + (1 - y) * np.log(1 - p))))

    splits = [(np.flatnonzero(np.tile(folds, 2) != k), np.flatnonzero(np.tile(folds, 2) == k)) for k in range(5)]
    # Its stubs know less.
    options: Any = {"Cs": CS, "l1_ratios": (1,), "scoring": held_out, "use_legacy_attributes": False}
    peer = LogisticRegressionCV(
        solver="liblinear", fit_intercept=False, tol=1e-8, max_iter=10_000, cv=splits, random_state=0, **options
    )
    peer.fit(x, labels, sample_weight=weights * np.where(labels == 1, true, 1 - true))
    assert choose_penalty(rows, folds)[0] == pytest.approx(peer.C_)
    got = score(answers, regulariser, folds_R=folds)
    q = 1 / (1 + np.exp(-(peer.coef_[0][1] * answers.difficulty_N + peer.coef_[0][2])))
    assert got.length_controlled_win_rate == pytest.approx(100 * q.mean(), abs=1e-3)


def test_groupkfold_deals_equal_groups_out_in_turn() -> None:
    n = 12
    dealt = [set(test) for _, test in GroupKFold(5).split(np.zeros(n), groups=np.arange(n))]
    ours = reference_folds(n)  # short enough that every sort leaves equal keys where they are
    assert [set(np.flatnonzero(ours == k)) for k in range(5)] == dealt


def test_a_row_without_preference_is_predicted_but_not_fitted_or_counted() -> None:
    answers, regulariser = _toy()
    y = answers.y_N.copy()
    y[7] = np.nan
    got = score(replace(answers, y_N=y), regulariser, C=2.0)
    assert got.n_total == 59
    assert got.win_rate == pytest.approx(100 * np.delete(answers.y_N, 7).mean())
    whole, regulariser_only = _training_rows(answers, regulariser)[0], 120
    fewer, kept = _training_rows(replace(answers, y_N=y), regulariser)
    assert np.flatnonzero(~kept).tolist() == [regulariser_only + 7]
    # The scale of lengths is that of all rows.
    np.testing.assert_array_equal(fewer.x_NK, np.delete(whole.x_NK, regulariser_only + 7, axis=0))


def test_the_baseline_is_even_and_not_fitted() -> None:
    answers, regulariser = _toy()
    got = score(replace(answers, is_baseline=True, y_N=np.full(60, 0.5)), regulariser)
    assert (got.win_rate, got.standard_error, got.length_controlled_win_rate, got.lc_standard_error) == (50, 0, 50, 0)
    assert (got.n_total, got.C) == (60, None)


@pytest.mark.parametrize(("y", "low", "high"), [(0.0, 0, 1), (0.5, 49.9, 50.1), (1.0, 99, 100)])
def test_all_lost_all_even_all_won(y: float, low: float, high: float) -> None:
    answers, regulariser = _toy()
    got = score(replace(answers, y_N=np.full(60, y)), replace(regulariser, y_G=np.full(120, 0.5)))
    assert (got.win_rate, got.standard_error) == (100 * y, 0)
    assert low <= got.length_controlled_win_rate <= high


def test_a_model_that_wins_by_length_is_marked_down() -> None:
    answers, regulariser = _toy()
    y = np.where(np.arange(60) % 4 > 0, 0.95, 0.05)
    longer = replace(answers, y_N=y, length_difference_N=np.where(y > 0.5, -600.0, 300.0))
    gamed = replace(regulariser, y_G=np.where(regulariser.length_difference_G < 0, 0.9, 0.1))
    got = score(longer, gamed, C=100.0)
    assert got.length_controlled_win_rate < got.win_rate - 5


def test_too_little_to_score_is_refused() -> None:
    answers, regulariser = _toy()
    one = np.full(60, np.nan)
    one[0] = 0.3
    with pytest.raises(UserError, match="two preferences or more"):
        score(replace(answers, y_N=one), regulariser)
    with pytest.raises(UserError, match="differences of length have to differ"):
        score(replace(answers, length_difference_N=np.zeros(60)), regulariser)
