"""What to ship and what to say: a choice and its estimates become the result; no fit happens here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuner._claims.claims import Build, Estimate, Paid
from tuner._claims.delivered import delivered_estimate
from tuner._claims.estimate import Estimates
from tuner._claims.optimism import OptimismTable, ScoreRow, chance_loss, score_row
from tuner._claims.slices import slice_scores
from tuner._diagnosis.diagnosis import Evidence, diagnose
from tuner._finals.finals import Assembled, Finals
from tuner._line.choice import Choice
from tuner._metrics.metrics import Metric
from tuner._model import deliver, measure_latency
from tuner._options.settings import Settings
from tuner._records import GroupScores, LearningCurve
from tuner._report.card import describe
from tuner._report.result import Trials, TuningResult
from tuner._rows.data import Dataset
from tuner._statistics.intervals import pooled
from tuner.families import FAMILIES


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
    estimate = _claimed(estimates) if estimates else None
    selection_loss = _selection_loss(finals, estimates)
    delivered = shipped_model(finals, estimates)
    model = deliver(delivered.model, dataset)
    slices = slice_scores(
        dataset,
        metric,
        finals.plan.folds,
        delivered.held_out,
        columns=settings.slices,
        threshold=delivered.model.threshold,
        simultaneous=settings.aggregate == "worst_slice",
    )
    evidence = Evidence(
        shipped=shipped,
        finalists=finals.finalists,
        paid=paid,
        learning=probed.learning,
        calibration_gains=delivered.calibration_gains(),
        slices=slices,
        groups=probed.groups,
    )
    card = describe(dataset, metric, settings)
    scores = _score_rows(dataset, metric, choice, estimates)
    alone = blend is None or blend.weights[position] == 1.0
    return TuningResult(
        metric=metric.name,
        task=dataset.task,
        positive_class=str(dataset.classes[1]) if dataset.task == "binary" else None,
        estimate=estimate,
        default_estimate=estimates.default if estimates else None,
        tuned_estimate=estimates.tuned if estimates else None,
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
        model=model,
        latency=measure_latency(model, dataset),
        reliability=delivered.reliability,
        card=card,
        notes=dataset.notes + choice.notes + (estimates.notes if estimates else ()),
        seconds=0.0,
        time_budget=settings.time_budget,
        seed=settings.seed,
        fingerprint=dataset.fingerprint,
        fold_plan_hash=choice.bench.plan.hash,
        slices=slices,
        path_name=FAMILIES[winner.configuration.family].path_name,
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


def shipped_model(finals: Finals, estimates: Estimates | None) -> Assembled:
    """Return the tuned model, or the default's."""
    return finals.default if falls_back(estimates) else finals.tuned


def _claimed(estimates: Estimates) -> Estimate:
    """Return the estimate of what is shipped."""
    return estimates.default if falls_back(estimates) else estimates.tuned


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
    finals = choice.finals
    shipped = shipped_model(finals, estimates)
    shares = [len(fold.test) / len(fold.train) for fold in finals.plan.folds]
    return delivered_estimate(
        _claimed(estimates),
        metric,
        before=estimates.build,
        after=Build(finals.fit_rows(dataset.n_rows), shipped.model.n_averaged),
        learning=learning,
        bag=shipped.bag,
        test_share=float(np.mean(shares)),
    )


def _score_rows(
    dataset: Dataset,
    metric: Metric,
    choice: Choice,
    estimates: Estimates | None,
) -> tuple[ScoreRow, ...]:
    """Line up what the search, the fresh folds and the estimate say of what is shipped."""
    position = shipped_position(choice, estimates)
    searched = choice.search.trials[choice.finals.nominations[position].number].scores
    assert searched is not None  # finalists are complete trials
    is_fresh = choice.finals.plan is not choice.bench.plan
    rows = [
        score_row("search folds", metric, pooled(searched.fold_losses, squared=metric.squared_scale)),
        score_row(
            "fresh folds" if is_fresh else "search folds again",
            metric,
            shipped_model(choice.finals, estimates).loss,
        ),
    ]
    if estimates:
        claimed = _claimed(estimates)
        rows.append(score_row("estimate", metric, claimed.loss, (claimed.low, claimed.high)))
        default = estimates.default
        rows.append(score_row("default", metric, default.loss, (default.low, default.high)))
    rows.append(score_row("chance", metric, chance_loss(dataset, metric)))
    return tuple(rows)


def _selection_loss(finals: Finals, estimates: Estimates | None) -> float:
    """Return the internal loss of what is claimed: on the rows of the search for bbc, else on fresh folds."""
    apparent = None
    if estimates:
        apparent = estimates.default_apparent_loss if falls_back(estimates) else estimates.apparent_loss
    return shipped_model(finals, estimates).loss if apparent is None else apparent
