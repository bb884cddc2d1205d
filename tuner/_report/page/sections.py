"""What the page says, section by section: pure functions of the result, listed in one table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tuner._report.page.blocks import Answer, Block, Note, Picture, Section, Table, Text, number
from tuner._report.story import optimism_text
from tuner._search.importance import LEAST_TRIALS
from tuner.findings import codes, page

if TYPE_CHECKING:
    from tuner._claims.claims import Estimate
    from tuner._records import Finding
    from tuner._report.result import TuningResult

Pictures = Mapping[str, bytes]

MOST_CLASSES = 12  # named in the model card
DELIVERED = (
    "The estimate is about models made on fewer rows than the delivered one. The line of the delivered "
    "model adds what this run measured of that: its learning curve and, where fewer fits were "
    "averaged, what averaging them over fresh folds gains. It assumes that these hold for the whole "
    "procedure, and that the errors of all parts are independent."
)


def answer(result: TuningResult, pictures: Pictures) -> Answer:
    """Return the top of the page: the number, its interval, and the verdicts."""
    estimate = result.estimate
    name = result.card.score_name(result.metric)
    direction = "lower" if result.card.metric_value == "loss" else "higher"
    if estimate is None:
        headline, interval = f"{name}: no estimate", "Search scores are not claims."
        meaning = "Nothing is claimed about new rows: no estimate was asked for, or no time was left for one."
    else:
        headline = f"{name} {number(estimate.value)}"
        interval = f"{estimate.level:.0%} interval {_interval(estimate)}; {direction} is better"
        meaning = f"Expected on new rows, for {estimate.estimand} (method {estimate.method})."
        delivered = result.delivered_estimate
        if delivered is not None:
            interval += f". The delivered model itself: {number(delivered.value)}, {_interval(delivered)}"
    facts = dict(result.facts())
    verdicts = [("Did tuning pay?", facts["tuning paid"]), ("What was delivered?", facts["model"])]
    warned = [f"{each.code}: {each.title}" for each in _findings(result) if each.severity != "info"]
    verdicts.append(("Anything wrong?", " ".join(warned) or "No check or diagnosis gave a warning."))
    caption = "The tuned procedure and the default on the same held-out rows, with their intervals."
    return Answer(headline, interval, meaning, tuple(verdicts), _picture(pictures, "estimate", caption))


def body(result: TuningResult, pictures: Pictures) -> tuple[Section, ...]:
    """Return the sections there is something to say in."""
    found = ((title, section(result, pictures)) for title, section in SECTIONS.items())
    return tuple(Section(_anchor(title), title, blocks) for title, blocks in found if blocks)


def _anchor(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())


def _findings(result: TuningResult) -> tuple[Finding, ...]:
    """Return what was found before and after tuning, the gravest first."""
    found: tuple[Finding, ...] = (*getattr(result, "checks", ()), *result.diagnosis)
    grave = {"error": 0, "warning": 1}
    return tuple(sorted(found, key=lambda finding: grave.get(finding.severity, 2)))


def _findings_section(result: TuningResult, _: Pictures) -> list[Block]:
    notes: list[Block] = [
        Note(each.code, each.severity, each.title, each.evidence, each.next_step, explanation(each.code))
        for each in _findings(result)
    ]
    return notes or [Text("No finding: nothing stood out beyond the noise of the folds.")]


def explanation(code: str) -> str:
    """Return the page that explains a finding; empty where there is none."""
    return page(code) if code in codes() else ""


def _optimism_section(result: TuningResult, _: Pictures) -> list[Block]:
    told = () if result.optimism_table is None else result.optimism_table.rows
    scores = {row.label: number(row.value) for row in told}
    rows = [
        (name, scores[label], "", what)
        for name, label, what in (
            (
                "Search",
                "search folds",
                "the default alone, a mean over folds: not chosen by it"
                if result.shipped_default
                else "the winner alone, a mean over folds, chosen among all trials: flattered by luck",
            ),
            ("Fresh folds", "fresh folds", "what is delivered, elected and mixed there; rows divided anew"),
            (
                "Search folds again",
                "search folds again",
                "what is delivered, elected and mixed there: no fresh folds were drawn (see the notes)",
            ),
        )
        if label in scores
    ]
    for name, estimate in (
        ("Estimate", result.estimate),
        ("Delivered model", result.delivered_estimate),
        ("Tuned, not shipped", result.tuned_estimate if result.paid.verdict == "did not pay" else None),
        ("Default", result.default_estimate),
    ):
        if estimate is not None:
            rows.append((name, number(estimate.value), _interval(estimate), estimate.estimand))
    if "chance" in scores:
        rows.append(("Chance", scores["chance"], "", "the best constant prediction, on all rows"))
    blocks: list[Block] = [
        Table(("", result.card.score_name(result.metric), "interval", "what it is"), tuple(rows))
    ]
    if result.delivered_estimate is not None:
        blocks.append(Text(DELIVERED))
    if result.optimism is not None and math.isfinite(result.optimism):
        blocks.append(Text(_optimism(result)))
    return blocks


def _optimism(result: TuningResult) -> str:
    assert result.optimism is not None  # the caller looked
    verdict = optimism_text(result.optimism, result.paid)
    loss = result.card.loss_name(result.metric)
    return (
        f"Optimism {result.optimism:+.4g}: the loss ({loss}) of the estimate minus "
        f"{number(result.selection_loss)}, that on the rows that chose: {verdict}. "
        "Only the estimate is a claim."
    )


def _gap_section(result: TuningResult, pictures: Pictures) -> list[Block]:
    return [
        Text(
            f"The winner's held-out loss is {number(result.gap)} above its training loss. A gap alone is no "
            f"fault: boosted trees often have one and do well. It is one if a simpler trial does as well."
        ),
        *_pictures(
            pictures,
            trials="Every complete trial: training and held-out loss, the line between them is the gap; the "
            "step is the lowest held-out loss so far.",
            gap="The same trials: what a smaller gap costs in held-out loss. The worst few may lie outside.",
        ),
    ]


def _path_section(result: TuningResult, pictures: Pictures) -> list[Block]:
    shown = _pictures(
        pictures,
        winner_path="Thin lines are folds of the search, thick ones their mean, the band one standard error.",
    )
    if not shown:
        return []
    configuration = result.winner.configuration
    rows = tuple((name, _value(value)) for name, value in configuration.params.items())
    scores = result.shipped.scores
    size = () if scores is None else ((result.path_name, number(scores.path_value)),)
    return [Table((configuration.family, "value"), (*rows, *size)), *shown]


def _reliability_section(result: TuningResult, pictures: Pictures) -> list[Block]:
    reliability = result.reliability
    if reliability is None:
        return []
    n_bins = len(reliability.bins)
    fitted = " They were tempered on the same rows, by one number." if _is_tempered(result) else ""
    return [
        Text(
            f"Predictions for rows the fold models had not seen, in {n_bins} bins of rising prediction. "
            f"{reliability.n_apart} of {n_bins} lie beyond their 95% interval from what happened (about one "
            f"in twenty would by chance, were rows independent); the mean distance is "
            f"{number(reliability.error)}.{fitted}"
        ),
        *_pictures(pictures, reliability="On the dashed line, predictions mean what they say."),
    ]


def _is_tempered(result: TuningResult) -> bool:
    return result.model.blended is not None and result.model.blended.temperature != 1.0


def _learning_section(result: TuningResult, pictures: Pictures) -> list[Block]:
    if result.learning_curve is None:
        return []
    return [
        Text("The shipped model on growing parts of its training rows, scored on the same folds."),
        *_pictures(
            pictures,
            learning="Mean over folds, the band one standard error. Does it still fall at the right end?",
        ),
    ]


def _slices_section(result: TuningResult, _: Pictures) -> list[Block]:
    rows = tuple(
        (f"{each.column} = {each.label}", number(each.value), _ends(each.low, each.high), f"{each.n_rows:,}")
        for each in sorted(
            result.slices, key=lambda each: -each.loss if math.isfinite(each.loss) else math.inf
        )
    )
    blocks: list[Block] = []
    if rows:
        holds = "one at a time" if result.card.aggregate == "mean" else "hold all at once (Bonferroni)"
        blocks.append(
            Text(f"Rows by the values of a column, the worst first, scored again; intervals {holds}.")
        )
        blocks.append(Table(("slice", result.metric, "interval", "rows"), rows))
    if result.group_scores is not None:
        blocks.append(Text(f"Groups never seen: {dict(result.facts())['new groups']}."))
    return blocks


def _importance_section(result: TuningResult, pictures: Pictures) -> list[Block]:
    captions = {f"importance_{family}": f"{family}: PED-ANOVA shares." for family in result.card.families}
    shown = _pictures(pictures, **captions)
    if not shown:
        return [Text(f"Not shown: no family has {LEAST_TRIALS} complete trials that differ.")]
    return [
        Text(
            f"Which parameters set the best tenth of a family's trials apart from its others, where it has "
            f"{LEAST_TRIALS} complete trials. It tells where to search next, not what a parameter does on "
            f"new rows."
        ),
        *shown,
    ]


def _finalists_section(result: TuningResult, _: Pictures) -> list[Block]:
    alone = [float(trial is result.shipped) for trial in result.finalists]
    rows = []
    for trial, share in zip(result.finalists, result.blend.weights if result.blend else alone, strict=True):
        if trial.scores is not None:
            scores = trial.scores
            elected = ", shipped" if result.shipped_default else ", elected"
            cells = map(number, (scores.nested_loss, scores.standard_error, scores.gap))
            name = f"{trial.number} {trial.configuration.family}{elected if trial is result.shipped else ''}"
            rows.append((name, *cells, f"{share:.0%}" if share else ""))
    head = ("trial", "loss", "std. error", "gap", "share")
    return [
        Text(
            f"Scored again to elect one of them, on folds that the search never saw where that was possible "
            f"(see the notes); loss: {result.card.loss_name(result.metric)}."
        ),
        Table(head, tuple(rows)),
    ]


def _card_section(result: TuningResult, _: Pictures) -> list[Block]:
    card = result.card
    finished, pruned, failed = (result.trials.count(state) for state in ("COMPLETE", "PRUNED", "FAIL"))
    kinds = ", ".join(f"{count} {kind}" for kind, count in card.column_kinds)
    limits = [] if result.time_budget is None else [f"{result.time_budget:g} s"]
    limits += [] if card.max_trials is None else [f"{card.max_trials} trials"]
    facts = dict(result.facts())
    rows = [
        ("Rows", f"{card.n_rows:,}; fingerprint {result.fingerprint}"),
        ("Columns", f"{card.n_columns:,} used ({kinds})"),
        ("Roles", ", ".join(card.roles) or "none: rows are taken to be independent"),
        ("Task", result.task),
        ("Target", _target(result)),
        ("Families searched", ", ".join(card.families)),
        ("Folds", f"{result.fold_plan} for choosing; plan {result.fold_plan_hash}"),
        (
            "Trials",
            f"{finished} finished, {pruned} pruned, {failed} failed; {len(result.finalists)} finalists",
        ),
        ("Budget", f"{' and '.join(limits)}; took {result.seconds:.1f} s"),
        ("Final form", f"{card.final}; {facts['model']}"),
        ("Prediction", facts["serving"]),
        ("Seed", str(result.seed)),
        ("Study", result.study_name),
        ("Versions", ", ".join(f"{package} {version}" for package, version in card.versions)),
    ]
    if result.positive_class is not None:
        rows.insert(5, ("Positive class", result.positive_class))
    return [Table((), tuple(rows)), *map(Text, _limits(result))]


def _target(result: TuningResult) -> str:
    shown = result.card.target[:MOST_CLASSES]
    rows = "" if result.task == "regression" else " rows"
    text = ", ".join(f"{name}: {number(value)}{rows}" for name, value in shown)
    hidden = len(result.card.target) - len(shown)
    return f"{text}, and {hidden} more classes" if hidden else text


def _limits(result: TuningResult) -> list[str]:
    """Say what the numbers do not cover."""
    limits = ["Limits: no estimate covers a change of the world after the data were taken."]
    if "time" in result.card.roles:
        limits.append(
            "With time, the interval is a prediction interval for the next window, without a promise."
        )
    elif not result.card.roles or result.card.roles == ("weights",):
        limits.append("Rows that belong together (customers, patients) must be given as groups; none were.")
    if result.estimate is not None:
        limits.append(f"The estimate is about {result.estimate.estimand}, not about other tables or budgets.")
    return limits


def _notes_section(result: TuningResult, _: Pictures) -> list[Block]:
    return [Text(note) for note in result.notes]


# The order on the page. A section without blocks is left out.
SECTIONS: dict[str, Callable[[TuningResult, Pictures], list[Block]]] = {
    "Checks and findings": _findings_section,
    "From the search to the claim": _optimism_section,
    "Gap over trials": _gap_section,
    "The winner along its path": _path_section,
    "Calibration": _reliability_section,
    "Learning curve": _learning_section,
    "Slices and groups": _slices_section,
    "Parameter importance": _importance_section,
    "Finalists": _finalists_section,
    "Model card": _card_section,
    "Notes": _notes_section,
}


def _interval(estimate: Estimate) -> str:
    return _ends(estimate.low, estimate.high)


def _ends(low: float, high: float) -> str:
    return f"{number(low)} to {number(high)}"


def _value(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _picture(pictures: Pictures, name: str, caption: str) -> Picture | None:
    return Picture(pictures[name], caption) if name in pictures else None


def _pictures(pictures: Pictures, **captions: str) -> list[Block]:
    return [Picture(pictures[name], caption) for name, caption in captions.items() if name in pictures]
