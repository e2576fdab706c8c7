"""Scores of judged benchmarks, ours against scikit-learn as the reference implementations call it, on made-up verdicts.

    PYTHONPATH=src python benchmarks/scoring.py [--json] [--rounds 3] [--models 15]

`lc_win_rate_vs_sklearn`: one model's length-controlled win rate on AlpacaEval's shape, 805 instructions and 1,610 rows
of the prompted baseline, with its C chosen among ten in five folds: LogisticRegressionCV on every row twice, by
liblinear with an L1 penalty, and a scorer for soft labels, as alpaca_eval's glm_winrate.py.
`arena_bootstrap_vs_sklearn`: scores and intervals of 15 models on Arena-Hard's shape, some 23,000 battles: a
LogisticRegression over all models and every battle twice, and 100 more on battles drawn with replacement, as
arena-hard-auto's utils_math.py.

The two take turns; each is
given its fastest round, in seconds of the processor. Both see the same folds and draws, and the largest difference
between their numbers, in points of a hundred, is told beside the times.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from measures import tell
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import make_scorer
from sklearn.model_selection import PredefinedSplit

from afterbase.eval.judged.alpaca_eval import score as alpaca_eval
from afterbase.eval.judged.alpaca_eval.score import CS, Answers, Regulariser
from afterbase.eval.judged.arena_hard import score as arena_hard
from afterbase.eval.judged.arena_hard.score import Battles


def preferences() -> tuple[Answers, Regulariser]:
    """A model that wins less than half, more often where its answer is the longer one."""
    rng = np.random.default_rng(0)
    difficulty_I = rng.normal(size=805)

    def judged(skill: float, gap: float) -> tuple[np.ndarray, np.ndarray]:
        lengths = rng.normal(gap, 900, size=805).round()
        logit = skill + 0.7 * difficulty_I - 1.2 * np.tanh(lengths / 900) + rng.normal(scale=3, size=805)
        return lengths, 1 / (1 + np.exp(-logit))

    (lengths, y), (long, y_long), (short, y_short) = judged(-1.3, 500), judged(0.0, -1200), judged(0.0, 1100)
    answers = Answers(
        model="made-up", is_baseline=False, index_N=np.arange(805), difficulty_N=difficulty_I,
        length_difference_N=lengths, y_N=y,
    )  # fmt: skip
    gamed = np.concatenate([long / long.std(ddof=1), short / short.std(ddof=1)])
    return answers, Regulariser(
        length_difference_G=gamed, difficulty_G=np.tile(difficulty_I, 2), y_G=np.concatenate([y_long, y_short])
    )


def battles(models: int) -> Battles:
    """500 questions, two games each, a third of them clear: three battles."""
    rng = np.random.default_rng(1)
    share = np.linspace(0.05, 0.9, models)[:, None]
    won = rng.random((models, 1000))
    outcome = np.where(won < share * 0.93, 1.0, np.where(won < share * 0.93 + 0.07, 0.5, 0.0))
    times = np.where((outcome != 0.5) & (rng.random(outcome.shape) < 0.33), 3, 1)
    model, game = np.divmod(np.repeat(np.arange(models * 1000), times.ravel()), 1000)
    return Battles(
        baseline="baseline", models=[f"m{i}" for i in range(models)], questions=[str(i) for i in range(500)],
        model_B=model, question_B=game // 2, outcome_B=np.repeat(outcome.ravel(), times.ravel()),
    )  # fmt: skip


def lc_by_sklearn(answers: Answers, regulariser: Regulariser) -> np.ndarray:
    """The length-controlled win rate as glm_winrate.py has it."""
    own, gamed = len(answers.y_N), len(regulariser.y_G)
    lengths = answers.length_difference_N / answers.length_difference_N.std(ddof=1)
    x = np.column_stack([
        np.tanh(np.concatenate([regulariser.length_difference_G, lengths])),
        np.concatenate([regulariser.difficulty_G, answers.difficulty_N]),
        np.repeat([0.0, 1.0], [gamed, own]),
    ])  # fmt: skip
    y, weight = np.concatenate([regulariser.y_G, answers.y_N]), np.repeat([0.1, 1.0], [gamed, own])
    true, weights, labels = np.concatenate([y, 1 - y]), np.tile(weight, 2), np.repeat([1, 0], gamed + own)

    def loss(label: np.ndarray, p: np.ndarray, true: np.ndarray, weights: np.ndarray) -> float:
        p, soft = np.clip(p, 1e-15, 1 - 1e-15), np.where(label == 1, true, 1 - true)
        return -float(np.mean(weights * (soft * np.log(p) + (1 - soft) * np.log(1 - p))))

    scorer: Any = make_scorer(loss, response_method="predict_proba", greater_is_better=False)
    folds = np.tile(alpaca_eval.reference_folds(gamed + own), 2)
    options: Any = {"Cs": CS, "l1_ratios": (1,), "use_legacy_attributes": False}  # its stubs know less
    with sklearn.config_context(enable_metadata_routing=True):
        model: Any = LogisticRegressionCV(
            cv=PredefinedSplit(folds), scoring=scorer.set_score_request(true=True, weights=True),
            solver="liblinear", fit_intercept=False, random_state=123, **options,
        )  # fmt: skip
        model.set_fit_request(sample_weight=True)
        model.fit(np.vstack([x, x]), labels, sample_weight=true * weights, true=true, weights=weights)
        b = model.coef_[0]
    return np.array([100 * np.mean(1 / (1 + np.exp(-(b[1] * answers.difficulty_N + b[2]))))])


def arena_by_sklearn(made: Battles, draws: int) -> np.ndarray:
    """Scores and the ends of their intervals, a column a model, as utils_math.py has them."""
    models = len(made.models)

    def elo(chosen: np.ndarray) -> np.ndarray:
        n = len(chosen)
        x = np.zeros((2 * n, models + 1))
        x[np.arange(2 * n), np.tile(made.model_B[chosen], 2)] = np.log(10)
        x[:, models] = -np.log(10)
        outcome = made.outcome_B[chosen]
        y = np.concatenate([outcome >= 0.5, outcome == 1])  # a tie is won once and lost once
        coefficients = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-8).fit(x, y).coef_[0]
        return 400 * (coefficients[:models] - coefficients[models])

    drawn = [elo(chosen) for chosen, _ in zip(arena_hard.draws(len(made.model_B), "0.1"), range(draws), strict=False)]
    ends = np.percentile(drawn, [2.5, 97.5], axis=0)
    return 100 / (1 + 10 ** (-np.vstack([elo(np.arange(len(made.model_B))), ends]) / 400))


def lc_by_us(answers: Answers, regulariser: Regulariser) -> np.ndarray:
    return np.array([alpaca_eval.score(answers, regulariser).length_controlled_win_rate])


def arena_by_us(made: Battles, _: int) -> np.ndarray:
    scores = arena_hard.score(made, "0.1")
    return np.array([[getattr(scores[m], part) for m in made.models] for part in ("score", "ci_low", "ci_high")])


def compare(
    name: str, ours: Callable[..., np.ndarray], peer: Callable[..., np.ndarray], *made: Any, rounds: int, as_json: bool
) -> None:
    """Seconds of both, in turns, and how far their numbers are apart."""
    seconds: dict[Callable, float] = {}
    said = {}
    for _ in range(rounds):
        for way in (ours, peer):
            started = time.process_time()
            said[way] = way(*made)
            seconds[way] = min(seconds.get(way, np.inf), time.process_time() - started)
    ratio = seconds[peer] / seconds[ours]
    tell(f"{name}_vs_sklearn", seconds[ours], "s", peer=seconds[peer], ratio=ratio, as_json=as_json)
    tell(f"{name}_difference", float(np.abs(said[ours] - said[peer]).max()), "points", as_json=as_json)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", type=int, default=15)
    arguments = parser.parse_args()
    shared = {"rounds": arguments.rounds, "as_json": arguments.json}
    compare("lc_win_rate", lc_by_us, lc_by_sklearn, *preferences(), **shared)
    compare("arena_bootstrap", arena_by_us, arena_by_sklearn, battles(arguments.models), arena_hard.DRAWS, **shared)


if __name__ == "__main__":
    main()
