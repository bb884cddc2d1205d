"""What to ship and what to say: a choice and its estimates become the result; no fit happens here."""

from __future__ import annotations

import numpy as np

from tuner._card import describe
from tuner._choice import Choice
from tuner._config import Settings
from tuner._data import Dataset
from tuner._diagnosis import diagnose
from tuner._estimate import Estimates
from tuner._intervals import pooled
from tuner._metrics import Metric
from tuner._model import deliver, measure_latency
from tuner._result import Paid, Trials, TuningResult


def conclude(
    dataset: Dataset,
    metric: Metric,
    settings: Settings,
    study_name: str,
    choice: Choice,
    estimates: Estimates | None,
) -> TuningResult:
    """Ship the default where tuning did not beat it on the outer folds, else the tuned model; tell all."""
    finals, search = choice.finals, choice.search
    paid = estimates.paid if estimates else Paid("not judged")
    fall_back = paid.verdict == "did not pay"
    position = 0 if fall_back else finals.winner
    winner = search.trials[finals.nominations[position].number]
    shipped = finals.finalists[position]
    assert shipped.scores is not None  # finalists are complete
    blend = None if fall_back else finals.blend
    estimate = None
    if estimates:
        estimate = estimates.default if fall_back else estimates.tuned
    selection_loss = _selection_loss(choice, metric, settings, fall_back=fall_back)
    delivered = finals.default_model if fall_back else finals.model
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
        diagnosis=diagnose(winner, search.trials, settings.spaces),
        study=search.study,
        study_name=study_name,
        model=deliver(delivered, dataset),
        latency=measure_latency(delivered, dataset.table),
        reliability=finals.default_reliability if fall_back else finals.reliability,
        card=describe(dataset, metric, settings),
        notes=dataset.notes + choice.notes + (estimates.notes if estimates else ()),
        seconds=0.0,
        time_budget=settings.time_budget,
        seed=settings.seed,
        fingerprint=dataset.fingerprint(),
        fold_plan_hash=choice.bench.plan.hash,
        fold_plan=f"{len(choice.bench.plan.folds)} {choice.bench.plan.kind}",
    )


def _selection_loss(choice: Choice, metric: Metric, settings: Settings, *, fall_back: bool) -> float:
    """Return the internal loss that selected what is claimed: the search's for bbc, else the fresh folds'."""
    finals = choice.finals
    if settings.estimate == "bbc":
        complete = [trial for trial in choice.search.trials if trial.scores]
        best = min(complete, key=lambda trial: (trial.objective or 0.0, trial.number))
        return best.scores.nested_loss if best.scores else np.nan
    if fall_back:
        default = finals.finalists[0].scores
        return pooled(default.fold_losses, squared=metric.squared_scale) if default else np.nan
    return finals.selection_loss
