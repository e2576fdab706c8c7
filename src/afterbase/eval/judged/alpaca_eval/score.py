"""AlpacaEval 2.0's win rates from a judge's preferences, raw and controlled for length.

Dubois et al. 2024 (arXiv 2404.04475). For each instruction i the judge prefers the model's answer to the
baseline's with probability y_i. The raw win rate is their mean. The length-controlled one comes from a logistic model
fitted for each model, without intercept, on

    t_i = tanh((length of baseline_i - length of model_i) / its standard deviation)     d_i = difficulty of i     1

and, at a tenth of a model's weight, on the 1,610 answers of the baseline when asked to be verbose or concise, whose
third feature is 0. It predicts y_i at equal lengths: q_i = sigmoid(b_d d_i + b_1); the score is their mean. The penalty
is L1; its C is given or found by cross-validation. As in tatsu-lab/alpaca_eval (metrics/glm_winrate.py), but the
fit is exact, and that difficulties are looked up by the instruction, where the reference goes by the row's position.

Not covered: fitting the difficulties themselves, which the authors did once over all models; they are given.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from afterbase.core.errors import UserError
from afterbase.eval.judged.alpaca_eval.l1_logistic import Rows, fit, loss, sigmoid

BASELINE = "gpt4_1106_preview"
CS = np.logspace(-4, 4, 10)
FOLDS = 5
_REGULARISER_WEIGHT = 0.2 / 2  # two ways to prompt the baseline share a fifth
_SURE = -np.log(1e-15)  # cross-validation clips probabilities to [1e-15, 1 - 1e-15]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """One model's rows by instruction: difficulty, length of baseline - model (characters), y in [0, 1] or NaN."""

    model: str
    is_baseline: bool
    index_N: np.ndarray
    difficulty_N: np.ndarray
    length_difference_N: np.ndarray
    y_N: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Regulariser:
    """The prompted baseline's rows: the first two features as they are, and y in [0, 1] or NaN."""

    length_difference_G: np.ndarray
    """Divided by its standard deviation already."""
    difficulty_G: np.ndarray
    y_G: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Score:
    """In percent; `C` is None for the baseline, which is not fitted."""

    win_rate: float
    standard_error: float
    length_controlled_win_rate: float
    lc_standard_error: float
    n_total: int
    C: float | None


def score(
    answers: Answers, regulariser: Regulariser, *, C: float | None = None, folds_R: np.ndarray | None = None
) -> Score:
    """Both win rates of one model with their standard errors; rows without preference count for the prediction alone.

    `folds_R` numbers the fold of each regulariser row and then of each of the model's rows; without it and without `C`,
    the reference's own partition is used. UserError for fewer than two preferences, or lengths that never differ.

    >>> index_N = np.arange(100)
    >>> longer_N, easier_N = 10.0 * (index_N % 7 - 3), index_N % 5 - 2.0
    >>> answers = Answers(
    ...     model="ours", is_baseline=False, index_N=index_N, difficulty_N=easier_N, length_difference_N=longer_N,
    ...     y_N=(index_N % 3 > 0).astype(float),
    ... )
    >>> even = Regulariser(length_difference_G=longer_N / longer_N.std(), difficulty_G=easier_N, y_G=np.full(100, 0.5))
    >>> round(score(answers, even, C=1.0).win_rate)
    66
    """
    rated_N = ~np.isnan(answers.y_N)
    if rated_N.sum() < 2:
        raise UserError(
            "a win rate needs two preferences or more",
            got=f"{rated_N.sum()} in the {len(rated_N)} rows of {answers.model}",
            remedy="have the judge compare more answers",
        )
    y_N = answers.y_N[rated_N]
    raw = {"win_rate": 100 * float(y_N.mean()), "standard_error": 100 * _standard_error(y_N), "n_total": len(y_N)}
    if answers.is_baseline:  # against itself: even by construction
        return Score(**raw, length_controlled_win_rate=50.0, lc_standard_error=0.0, C=None)
    rows, kept_R = _training_rows(answers, regulariser)
    start_SK = None
    if C is None:
        C, start_SK = choose_penalty(rows, reference_folds(len(rows.y_N)) if folds_R is None else folds_R[kept_R])
    _, b_difficulty, b_model = fit(rows, C, start_SK)[0]
    q_N = sigmoid(b_difficulty * answers.difficulty_N + b_model)
    return Score(
        **raw, length_controlled_win_rate=100 * float(q_N.mean()), lc_standard_error=100 * _standard_error(q_N), C=C
    )


def _standard_error(values_N: np.ndarray) -> float:
    return float(values_N.std(ddof=1) / np.sqrt(len(values_N)))


def _training_rows(answers: Answers, regulariser: Regulariser) -> tuple[Rows, np.ndarray]:
    """The rows with a label, the regulariser's first, and which of all they are."""
    spread = answers.length_difference_N.std(ddof=1)
    if not spread > 0:
        raise UserError(
            "to control for length, the differences of length have to differ",
            got=f"{answers.length_difference_N[0]} characters in every row of {answers.model}",
            remedy=f"check its lengths; if it is the baseline, name it {BASELINE}",
        )
    gamed, own = len(regulariser.y_G), len(answers.y_N)
    length = np.concatenate([regulariser.length_difference_G, answers.length_difference_N / spread])
    difficulty = np.concatenate([regulariser.difficulty_G, answers.difficulty_N])
    is_own = np.repeat([0.0, 1.0], [gamed, own])
    y = np.concatenate([regulariser.y_G, answers.y_N])
    kept = ~np.isnan(y)
    x = np.stack([np.tanh(length), difficulty, is_own], axis=1)
    return Rows(x_NK=x[kept], y_N=y[kept], w_SN=np.where(is_own[kept] == 1, 1.0, _REGULARISER_WEIGHT)[None]), kept


def choose_penalty(rows: Rows, folds_N: np.ndarray) -> tuple[float, np.ndarray]:
    """The C of `CS` with the best held-out log-likelihood: the mean over folds of the weighted mean over a fold's rows.

    The first wins a tie. The folds are fitted side by side, along growing C; (1, 3) their mean at the chosen C is where
    the fit to all rows may start.
    """
    fold_N = np.unique(folds_N, return_inverse=True)[1]
    is_out_SN = fold_N == np.arange(fold_N.max() + 1)[:, None]
    training = rows.weighted(np.where(is_out_SN, 0.0, rows.w_SN))
    path_CSK = np.zeros((len(CS), len(is_out_SN), 3))
    for i, C in enumerate(CS):
        path_CSK[i] = fit(training, C, _start(path_CSK[:i]))
    held_out_CS = np.empty(path_CSK.shape[:2])
    for s, out_N in enumerate(is_out_SN):
        z_CN = np.clip(path_CSK[:, s] @ rows.x_KN[:, out_N], -_SURE, _SURE)
        held_out_CS[:, s] = np.mean(rows.w_SN[0, out_N] * loss(z_CN, rows.y_N[out_N]), axis=1)
    best = held_out_CS.mean(axis=1).argmin()
    return float(CS[best]), path_CSK[best].mean(axis=0, keepdims=True)


def _start(path_CSK: np.ndarray) -> np.ndarray | None:
    """Where the next fit along `CS` will be: the optimum is nearly linear in 1/C, and C grows by a constant factor."""
    if len(path_CSK) < 2:
        return path_CSK[-1] if len(path_CSK) else None
    before, last = path_CSK[-2:]
    return last + np.where(before * last > 0, (last - before) * CS[0] / CS[1], 0)


@cache
def reference_folds(n: int) -> np.ndarray:
    """(n,) the folds in which the reference put n rows: scikit-learn's GroupKFold dealing rows out in sorted order.

    All groups are of one size, so that the order is that of an unstable sort of equal keys: numpy 1.26's quicksort,
    whose exchanges are followed here (for equal keys the pivot is the middle and both pointers meet there). Which C
    wins depends on the partition, and the published scores were made with this one.
    """
    order = list(range(n))
    segments = [(0, n - 1)]
    while segments:
        low, high = segments.pop()
        while high - low > 15:
            middle = low + (high - low) // 2
            order[middle], order[high - 1] = order[high - 1], order[middle]
            i, j = low + 1, high - 2
            while i < j:
                order[i], order[j] = order[j], order[i]
                i, j = i + 1, j - 1
            order[i], order[high - 1] = order[high - 1], order[i]
            segments.append((low, i - 1))
            low = i + 1
    folds_N = np.empty(n, dtype=int)
    folds_N[order[::-1]] = np.arange(n) % FOLDS
    folds_N.setflags(write=False)
    return folds_N
