"""Which parameters set a family's best trials apart from its others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from tuner._search.studies import make_study

if TYPE_CHECKING:
    import optuna

LEAST_TRIALS = 20  # of one family; fewer have no tenth to look at


def importances(study: optuna.Study, family: str) -> Mapping[str, float]:
    """Return the shares of a family's parameters, largest first; empty with too few complete trials.

    The family's trials are looked at alone: its best tenth need not be among the best of all.

    It says where the search's good trials lie, by the internal objective, not what a parameter would do on
    new rows. Parameters that only some of the family's trials have are left out.

    References
    ----------
    Watanabe, Bansal, Hutter (2023), PED-ANOVA: Efficiently quantifying hyperparameter importance in
    arbitrary subspaces.
    """
    complete = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if trial.params.get("family") == family
    ]
    if len(complete) < LEAST_TRIALS:
        return {}
    common = set.intersection(*({*trial.params} for trial in complete))
    params = sorted(
        name
        for name in common
        if name.startswith(f"{family}.") and len({trial.params[name] for trial in complete}) > 1
    )
    if not params:
        return {}
    own = make_study(study.study_name)
    own.add_trials(complete)
    shares = get_param_importances(own, evaluator=PedAnovaImportanceEvaluator(), params=params)
    return cast("Mapping[str, float]", shares)
