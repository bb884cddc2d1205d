"""What to ship and what to say: a choice and its estimates become the result; no fit happens here."""

from __future__ import annotations

from dataclasses import dataclass

from tuner._claims.claims import Build, Estimate, Paid
from tuner._claims.delivered import delivered_estimate
from tuner._claims.estimate import Estimates
from tuner._claims.optimism import OptimismTable, ScoreRow, chance_loss, score_row
from tuner._claims.slices import slice_scores
from tuner._decisions.shares import Blend
from tuner._diagnosis.diagnosis import Evidence, diagnose
from tuner._finals.finals import Assembled
from tuner._folds.splits import tested_share
from tuner._line.checked import Checked
from tuner._line.choice import Choice
from tuner._model import deliver, measure_latency
from tuner._records import Finding, GroupScores, LearningCurve, SliceScore, TrialRecord
from tuner._report.card import describe
from tuner._report.result import Trials, TuningResult
from tuner._statistics.intervals import pooled
from tuner.families import FAMILIES


@dataclass(frozen=True)
class Probed:
    """What further fits of the elected configuration said, where there was time."""

    learning: LearningCurve | None = None
    groups: GroupScores | None = None


@dataclass(frozen=True, eq=False)
class Shipped:
    """What is shipped of a choice, and what is claimed of it.

    Attributes
    ----------
    choice : Choice
    estimates : Estimates or None
    winner : TrialRecord
        The search trial of the shipped configuration.
    finalist : TrialRecord
        The same on the folds that elected.
    model : Assembled
        The tuned model, or the default's.
    blend : Blend or None
        None where the final form is no ensemble, and where the default is shipped.
    is_default : bool
        Whether the model is the default alone.
    paid : Paid
    estimate : Estimate or None
        Of what is shipped.
    selection_loss : float
        The internal loss of what is claimed: on the rows of the search for bbc, else on fresh folds.
    """

    choice: Choice
    estimates: Estimates | None
    winner: TrialRecord
    finalist: TrialRecord
    model: Assembled
    blend: Blend | None
    is_default: bool
    paid: Paid
    estimate: Estimate | None
    selection_loss: float


def ship(choice: Choice, estimates: Estimates | None) -> Shipped:
    """Ship the tuned model, or the default where the estimate says it was not beaten."""
    finals, search = choice.finals, choice.search
    position, model, blend = finals.winner, finals.tuned, finals.blend
    paid, estimate, apparent_loss = Paid("not judged"), None, None
    if estimates is not None:
        paid, estimate, apparent_loss = estimates.paid, estimates.tuned, estimates.apparent_loss
        if paid.verdict == "did not pay":
            position, model, blend = 0, finals.default, None
            estimate, apparent_loss = estimates.default, estimates.default_apparent_loss
    winner = search.trials[finals.nominations[position].number]
    is_alone = blend is None or blend.weights[position] == 1.0
    return Shipped(
        choice=choice,
        estimates=estimates,
        winner=winner,
        finalist=finals.finalists[position],
        model=model,
        blend=blend,
        is_default=winner.number == search.default and is_alone,
        paid=paid,
        estimate=estimate,
        selection_loss=model.loss if apparent_loss is None else apparent_loss,
    )


def conclude(checked: Checked, study_name: str, shipped: Shipped, probed: Probed) -> TuningResult:
    """Tell all of what is shipped."""
    dataset, metric, settings = checked.dataset, checked.metric, checked.settings
    choice, estimates, estimate = shipped.choice, shipped.estimates, shipped.estimate
    finals, search, winner = choice.finals, choice.search, shipped.winner
    elected = shipped.finalist.known_scores
    slices = _slice_scores(checked, shipped)
    card = describe(dataset, metric, settings)
    model = deliver(shipped.model.model, dataset)
    return TuningResult(
        metric=metric.name,
        task=dataset.task,
        positive_class=str(dataset.classes[1]) if dataset.task == "binary" else None,
        estimate=estimate,
        default_estimate=estimates.default if estimates else None,
        tuned_estimate=estimates.tuned if estimates else None,
        optimism=estimate.loss - shipped.selection_loss if estimate else None,
        paid=shipped.paid,
        best_params={**winner.configuration.flat(), "path_point": elected.path_point},
        winner=winner,
        shipped=shipped.finalist,
        selection_loss=shipped.selection_loss,
        gap=elected.gap,
        shipped_default=shipped.is_default,
        trials=Trials(search.trials),
        finalists=finals.finalists,
        nominations=finals.nominations,
        blend=shipped.blend,
        checks=checked.findings,
        diagnosis=_diagnosed(shipped, slices, probed),
        study=search.study,
        study_name=study_name,
        model=model,
        latency=measure_latency(model, dataset),
        reliability=shipped.model.reliability,
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
        delivered_estimate=_delivered_estimate(checked, shipped, probed.learning),
        group_scores=probed.groups,
        optimism_table=OptimismTable(card.score_name(metric.name), _score_rows(checked, shipped)),
        fold_plan=f"{len(choice.bench.plan.folds)} {choice.bench.plan.kind}",
    )


def _slice_scores(checked: Checked, shipped: Shipped) -> tuple[SliceScore, ...]:
    return slice_scores(
        checked.dataset,
        checked.metric,
        shipped.choice.finals.plan.folds,
        shipped.model.held_out,
        columns=checked.settings.slices,
        threshold=shipped.model.model.threshold,
        simultaneous=checked.settings.aggregate == "worst_slice",
    )


def _diagnosed(shipped: Shipped, slices: tuple[SliceScore, ...], probed: Probed) -> tuple[Finding, ...]:
    search = shipped.choice.search
    evidence = Evidence(
        shipped=shipped.finalist,
        finalists=shipped.choice.finals.finalists,
        paid=shipped.paid,
        learning=probed.learning,
        calibration_gains=shipped.model.calibration_gains(),
        slices=slices,
        groups=probed.groups,
    )
    return diagnose(shipped.winner, search.trials, search.spaces, evidence)


def _delivered_estimate(
    checked: Checked, shipped: Shipped, learning: LearningCurve | None
) -> Estimate | None:
    """Carry the claim over to what is shipped; not with `time`, where later rows are other rows."""
    if shipped.estimates is None or shipped.estimate is None or checked.dataset.time is not None:
        return None
    finals, model = shipped.choice.finals, shipped.model
    return delivered_estimate(
        shipped.estimate,
        checked.metric,
        before=shipped.estimates.build,
        after=Build(finals.fit_rows(checked.dataset.n_rows), model.model.n_averaged),
        learning=learning,
        bag=model.bag,
        test_share=tested_share(finals.plan.folds),
    )


def _score_rows(checked: Checked, shipped: Shipped) -> tuple[ScoreRow, ...]:
    """Line up what the search, the fresh folds and the estimate say of what is shipped."""
    metric, choice, searched = checked.metric, shipped.choice, shipped.winner.known_scores
    is_fresh = choice.finals.plan is not choice.bench.plan
    rows = [
        score_row("search folds", metric, pooled(searched.fold_losses, squared=metric.squared_scale)),
        score_row("fresh folds" if is_fresh else "search folds again", metric, shipped.model.loss),
    ]
    if shipped.estimates and shipped.estimate:
        for label, each in (("estimate", shipped.estimate), ("default", shipped.estimates.default)):
            rows.append(score_row(label, metric, each.loss, (each.low, each.high)))
    rows.append(score_row("chance", metric, chance_loss(checked.dataset, metric)))
    return tuple(rows)
