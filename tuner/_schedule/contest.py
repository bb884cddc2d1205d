"""Champion against challenger on rows neither has seen: a paired interval, and the rule that promotes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tuner._metrics.metrics import Metric
from tuner._statistics.intervals import Interval, corrected_t, pseudo_values
from tuner._types import BoolArray, FloatArray, IntArray

LEVEL = 0.95  # two-sided: a challenger that is no better is promoted in 2.5% of contests
N_BLOCKS = 20
LEAST_ROWS_A_BLOCK = 2
LEAST_BLOCKS = 5  # fewer say nothing about their own noise
EQUAL_SHARE = 0.01  # of the champion's loss: within it two models do equally well
SMALLER_SHARE = 0.5  # of the champion's fitted models: markedly smaller

Verdict = Literal["better", "equal and smaller", "not better", "too few rows"]


@dataclass(frozen=True)
class Contest:
    """Two models on the same rows.

    Attributes
    ----------
    champion_loss, challenger_loss : float
        On all rows (lower is better).
    difference, low, high : float
        Challenger minus champion with its interval, negative where the challenger is better; of squared
        losses for RMSE and RMSLE.
    level : float
        Of the interval; 1 - .05 / n_uses.
    n_rows : int
    n_uses : int
        How often these rows, or some of them, have decided a contest, this one included.
    verdict : str
    """

    champion_loss: float
    challenger_loss: float
    difference: float
    low: float
    high: float
    level: float
    n_rows: int
    n_uses: int
    verdict: Verdict

    @property
    def promotes(self) -> bool:
        """Whether the challenger takes the champion's place."""
        return self.verdict in ("better", "equal and smaller")

    @property
    def is_worse(self) -> bool:
        """Whether the challenger is shown to do worse: the whole interval lies above 0."""
        return self.low > 0


@dataclass(frozen=True)
class Held:
    """A contest and who met: ``"champion"``, ``"refit"`` or ``"challenger"``."""

    incumbent: str
    contender: str
    contest: Contest


@dataclass(frozen=True, eq=False)
class Contestant:
    """What a model says of the rows.

    Attributes
    ----------
    prediction : array of shape (n_rows,) or (n_rows, n_classes)
        As `Metric.losses` wants it.
    threshold : float or None
        Its decision threshold, for metrics of decisions.
    n_fits : int
        Fits on different rows inside.
    """

    prediction: FloatArray
    threshold: float | None
    n_fits: int


def hold_contest(
    metric: Metric,
    y: IntArray | FloatArray,
    weights: FloatArray | BoolArray | None,
    blocks: IntArray,
    *,
    champion: Contestant,
    challenger: Contestant,
    margin: float = 0.0,
    n_uses: int = 1,
) -> Contest:
    """Compare two models on the same rows and say whether the challenger is promoted.

    The difference of losses is judged by a delete-a-block jackknife with Student's t: for a mean over rows
    in blocks of one size it is the paired t interval of the blocks' means, and it holds for AUC and RMSE as
    well. It assumes that blocks are independent: rows that belong together (groups, stretches of time) must
    share one. It misleads where a handful of blocks holds all that matters (a few positives in 20 blocks).

    A challenger is promoted if it is better by more than ``margin`` at the upper end of the interval; or if
    it is not worse by more than 1% there and holds at most half as many fitted models.

    Parameters
    ----------
    y : array of shape (n_rows,)
        Class codes or target, as the metric wants it.
    weights : array of shape (n_rows,) or (n_slices, n_rows), or None
        One weighting a slice: each model is judged by its worst one (see `Dataset.judged`).
    blocks : int array of shape (n_rows,)
        Block of every row, 0 to n_blocks - 1; see `time_blocks` and `group_blocks`.
    margin : float
        Share of the champion's loss, at least 0.
    n_uses : int
        How often these rows have decided, this time included: k uses widen the interval to a level of
        1 - .05 / k (Bonferroni), so that all of them together promote a worse model in 2.5% of cases.

    References
    ----------
    Efron, Tibshirani (1993), An Introduction to the Bootstrap, chapter 11. Arvesen (1969), Jackknifing
    U-statistics.
    """
    level = 1 - (1 - LEVEL) / n_uses
    power = metric.power
    losses = [_losses(metric, y, weights, blocks, each) for each in (champion, challenger)]
    old, new = (float(values[0]) for values in losses)
    paired = _jackknife(losses[1] ** power - losses[0] ** power, level)
    size = abs(old) ** power  # a scorer's loss is minus its score: most often negative
    verdict: Verdict = "not better"
    if not np.isfinite(paired.high):
        verdict = "too few rows"
    elif paired.high < -(1 - (1 - margin) ** power) * size:
        verdict = "better"
    elif _is_smaller(champion, challenger) and paired.high < ((1 + EQUAL_SHARE) ** power - 1) * size:
        verdict = "equal and smaller"
    return Contest(old, new, paired.value, paired.low, paired.high, level, len(blocks), n_uses, verdict)


def _jackknife(statistics: FloatArray, level: float) -> Interval:
    """Return the t interval of the pseudo-values: of a statistic of all rows, then without each block."""
    pseudo = pseudo_values(statistics)
    if np.isfinite(pseudo).sum() < LEAST_BLOCKS:  # without a block a class may be missing
        return Interval(float(statistics[0]), -np.inf, np.inf)
    return corrected_t(pseudo.tolist(), test_share=0.0, level=level)


def _is_smaller(champion: Contestant, challenger: Contestant) -> bool:
    return challenger.n_fits <= SMALLER_SHARE * champion.n_fits


def _losses(
    metric: Metric,
    y: IntArray | FloatArray,
    weights: FloatArray | BoolArray | None,
    blocks: IntArray,
    contestant: Contestant,
) -> FloatArray:
    """Return the loss on all rows, then without each block, of shape (1 + n_blocks,).

    Of several slices it is the loss of the one that is worst on all rows. Where two are about as bad, the
    largest loss without each block would change slices, which a jackknife takes for a large bias. NaN without
    a block where the slice lies in too few of them to know its noise.
    """
    own = np.atleast_2d(np.ones(len(y)) if weights is None else weights.astype(np.float64))
    is_known = contestant.threshold in (metric.thresholds or ())  # a champion may be of another version
    column = metric.column(contestant.threshold) if is_known else 0
    of_each = metric.losses(y, contestant.prediction, own)[:, column]
    worst = own[int(np.argmax(np.where(np.isnan(of_each), -np.inf, of_each)))]
    kept = np.vstack(
        [np.ones(len(y)), *(blocks != block for block in range(int(blocks.max(initial=-1)) + 1))]
    )
    losses = metric.losses(y, contestant.prediction, kept * worst)[:, column]
    if len(np.unique(blocks[worst > 0])) < LEAST_BLOCKS:
        losses[1:] = np.nan
    return losses


def loss_interval(
    metric: Metric,
    y: IntArray | FloatArray,
    weights: FloatArray | BoolArray | None,
    blocks: IntArray,
    contestant: Contestant,
) -> Interval:
    """Return a model's loss on the rows with its 95% interval, by the same jackknife.

    From minus to plus infinity where there are too few blocks.
    """
    losses = _losses(metric, y, weights, blocks, contestant)
    if not metric.squared_scale:
        return replace(_jackknife(losses, LEVEL), value=float(losses[0]))
    squared = _jackknife(losses**2, LEVEL)
    low, high = (float(np.sqrt(max(end, 0.0))) for end in (squared.low, squared.high))
    return Interval(float(losses[0]), low, high)


def time_blocks(n_rows: int) -> IntArray:
    """Return blocks of neighbouring rows, of one size as far as possible; rows are in the order of time."""
    n_blocks = min(N_BLOCKS, n_rows // LEAST_ROWS_A_BLOCK)
    return np.arange(n_rows) * n_blocks // max(1, n_rows)


def group_blocks(groups: Sequence[int] | IntArray) -> IntArray:
    """Return blocks that keep groups whole: the largest group first, into the block with the fewest rows."""
    names, codes, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    sizes = np.zeros(min(N_BLOCKS, len(names)))
    block_of = np.zeros(len(names), dtype=np.intp)
    for group in np.argsort(-counts, kind="stable"):
        block_of[group] = int(np.argmin(sizes))
        sizes[block_of[group]] += counts[group]
    return np.asarray(block_of[codes])
