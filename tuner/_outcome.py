"""What to ship and what to say: a choice and its estimates become the result; no fit happens here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tuner._calibration import recalibration_gains
from tuner._card import describe
from tuner._choice import Choice
from tuner._data import Dataset
from tuner._delivered import delivered_estimate
from tuner._diagnosis import Evidence, diagnose
from tuner._estimate import Estimates
from tuner._finals import Finals
from tuner._intervals import pooled
from tuner._metrics import Metric
from tuner._model import deliver, measure_latency
from tuner._optimism import OptimismTable, ScoreRow, chance_loss, score_row
from tuner._records import GroupScores, LearningCurve
from tuner._result import Build, Estimate, Paid, Trials, TuningResult
from tuner._settings import Settings
from tuner._slices import slice_scores
from tuner._splits import Fold
from tuner._types import FloatArray


@dataclass(frozen=True)
class Probed:
    """What further fits of the elected configuration said, where there was time."""

    learning: LearningCurve | None = None
    groups: GroupScores | None = None


def conclude(
    dataset: Dataset,
    metric: Metric,
    settings: Settings,
    study_name: str,
    choice: Choice,
    estimates: Estimates | None,
    probed: Probed,
) -> TuningResult:
    """Ship the tuned model, or the default where the estimate says it was not beaten; tell all."""
    finals, search = choice.finals, choice.search
    paid = estimates.paid if estimates else Paid("not judged")
    position = shipped_position(choice, estimates)
    fall_back = falls_back(estimates)
    winner = search.trials[finals.nominations[position].number]
    shipped = finals.finalists[position]
    assert shipped.scores is not None  # finalists are complete
    blend = None if fall_back else finals.blend
    estimate = None
    if estimates:
        estimate = estimates.default if fall_back else estimates.tuned
    selection_loss = _selection_loss(finals, estimates, fall_back=fall_back)
    delivered = finals.default_model if fall_back else finals.model
    held_out = finals.default_held_out if fall_back else finals.held_out
    slices = slice_scores(
        dataset,
        metric,
        finals.folds,
        held_out,
        columns=settings.slices,
        threshold=delivered.threshold,
        simultaneous=settings.aggregate == "worst_slice",
    )
    evidence = Evidence(
        shipped=shipped,
        finalists=finals.finalists,
        paid=paid,
        learning=probed.learning,
        calibration_gains=_calibration_gains(dataset, finals.folds, held_out),
        slices=slices,
        groups=probed.groups,
    )
    card = describe(dataset, metric, settings)
    scores = _score_rows(dataset, metric, choice, estimates, position, fall_back=fall_back)
    alone = blend is None or blend.weights[position] == 1.0
    return TuningResult(
        metric=metric.name,
        task=dataset.task,
        positive_class=str(dataset.classes[1]) if dataset.task == "binary" else None,
        estimate=estimate,
        default_estimate=estimates.default if estimates else None,
        optimism=estimate.loss - selection_loss if estimate else None,
        paid=paid,
        best_params={**winner.configuration.flat(), "path_point": shipped.scores.path_point},
        winner=winner,
        shipped=shipped,
        selection_loss=selection_loss,
        gap=shipped.scores.gap,
        shipped_default=winner.number == search.default and alone,
        trials=Trials(search.trials),
        finalists=finals.finalists,
        nominations=finals.nominations,
        blend=blend,
        diagnosis=diagnose(winner, search.trials, search.spaces, evidence),
        study=search.study,
        study_name=study_name,
        model=deliver(delivered, dataset),
        latency=measure_latency(delivered, dataset.table),
        reliability=finals.default_reliability if fall_back else finals.reliability,
        card=card,
        notes=dataset.notes + choice.notes + (estimates.notes if estimates else ()),
        seconds=0.0,
        time_budget=settings.time_budget,
        seed=settings.seed,
        fingerprint=dataset.fingerprint(),
        fold_plan_hash=choice.bench.plan.hash,
        slices=slices,
        learning_curve=probed.learning,
        delivered_estimate=_delivered_estimate(dataset, metric, choice, estimates, probed.learning),
        group_scores=probed.groups,
        optimism_table=OptimismTable(card.score_name(metric.name), scores),
        fold_plan=f"{len(choice.bench.plan.folds)} {choice.bench.plan.kind}",
    )


def falls_back(estimates: Estimates | None) -> bool:
    """Whether the default is shipped: the estimate says it was not beaten."""
    return estimates is not None and estimates.paid.verdict == "did not pay"


def shipped_position(choice: Choice, estimates: Estimates | None) -> int:
    """Return the place among the finalists of what is shipped."""
    return 0 if falls_back(estimates) else choice.finals.winner


def _delivered_estimate(
    dataset: Dataset,
    metric: Metric,
    choice: Choice,
    estimates: Estimates | None,
    learning: LearningCurve | None,
) -> Estimate | None:
    """Carry the claim over to what is shipped; not with `time`, where later rows are other rows."""
    if estimates is None or dataset.time is not None:
        return None
    fall_back, finals = falls_back(estimates), choice.finals
    model = finals.default_model if fall_back else finals.model
    shares = [len(fold.test) / len(fold.train) for fold in finals.folds]
    return delivered_estimate(
        estimates.default if fall_back else estimates.tuned,
        metric,
        before=estimates.build,
        after=Build(finals.fit_rows(dataset.n_rows), model.n_averaged),
        learning=learning,
        bag=finals.default_bag if fall_back else finals.bag,
        test_share=float(np.mean(shares)),
    )


def _calibration_gains(
    dataset: Dataset, folds: Sequence[Fold], held_out: Sequence[FloatArray]
) -> tuple[float, ...]:
    """Return what recalibration would gain on each fold of the first repeat; nothing for a regression."""
    if dataset.task == "regression":
        return ()
    parts = [
        (y, np.asarray(prediction, dtype=np.float64), weights)
        for fold, prediction in zip(folds, held_out, strict=True)
        if fold.repeat == 0
        for y, weights in [dataset.targets(fold.test)]
    ]
    return recalibration_gains(parts) if len(parts) > 1 else ()


def _score_rows(
    dataset: Dataset,
    metric: Metric,
    choice: Choice,
    estimates: Estimates | None,
    position: int,
    *,
    fall_back: bool,
) -> tuple[ScoreRow, ...]:
    """Line up what the search, the fresh folds and the estimate say of what is shipped."""
    finals = choice.finals
    searched = choice.search.trials[finals.nominations[position].number].scores
    assert searched is not None  # finalists are complete trials
    fresh = finals.default_loss if fall_back else finals.selection_loss
    squared = metric.squared_scale
    rows = [
        score_row("search folds", metric, pooled(searched.fold_losses, squared=squared)),
        score_row("fresh folds", metric, fresh),
    ]
    if estimates:
        claimed = estimates.default if fall_back else estimates.tuned
        rows.append(score_row("estimate", metric, claimed.loss, (claimed.low, claimed.high)))
        default = estimates.default
        rows.append(score_row("default", metric, default.loss, (default.low, default.high)))
    rows.append(score_row("chance", metric, chance_loss(dataset, metric)))
    return tuple(rows)


def _selection_loss(finals: Finals, estimates: Estimates | None, *, fall_back: bool) -> float:
    """Return the internal loss of what is claimed: on the rows of the search for bbc, else on fresh folds."""
    apparent = None
    if estimates:
        apparent = estimates.default_apparent_loss if fall_back else estimates.apparent_loss
    if apparent is not None:
        return apparent
    return finals.default_loss if fall_back else finals.selection_loss
