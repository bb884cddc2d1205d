"""The HTML report: complete, self-contained, and safe whatever users name their things."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from tuner import TuningConfig, tune
from tuner._claims.claims import Paid
from tuner._claims.optimism import OptimismTable, ScoreRow
from tuner._records import Configuration, Finding, GroupScores, SliceScore
from tuner._report import report
from tuner._report.page import draw, render, sections
from tuner._report.page.blocks import Section, Text, number
from tuner._report.page.figures import _clip_top

NASTY = "<script>alert('$x$')</script>{{ 7 * 7 }}<img src=x onerror=\"y\">"


class Tags(HTMLParser):
    """The tags of a page, what they point to, and whether they are closed in order."""

    def __init__(self, page):
        super().__init__()
        self.names, self.addresses, self._open = [], [], []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, name, attributes):
        """Note a tag."""
        self.names.append(name)
        self.addresses += [value for key, value in attributes if key in ("src", "href")]
        if name not in ("meta", "link", "img", "br"):
            self._open.append(name)

    def handle_endtag(self, name):
        """Close the tag opened last."""
        assert self._open.pop() == name


@pytest.fixture(scope="module")
def result():
    """Return a real small run with an estimate, a default and enough trials to tell."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    config = TuningConfig(
        max_trials=24, time_budget=None, families=["linear"], estimate="crossfit", n_folds=3,
        tracking=False, verbose=0, random_state=0,
    )  # fmt: skip
    return tune(X.iloc[::2, :8], np.where(y[::2] == 1, "benign", "malignant"), config=config)


@pytest.fixture(scope="module")
def page(result):
    """Return its report."""
    return render(result)


def test_answer_comes_first(result, page):
    """The headline is the estimate, then its interval, its estimand and the verdict on tuning."""
    headline = f"log_loss {result.estimate.value:.4g}"
    delivered = f"The delivered model itself: {result.delivered_estimate.value:.4g}"
    order = [
        headline, "95% interval", delivered, result.estimate.estimand, "Did tuning pay?", "<section"
    ]  # fmt: skip
    places = [page.index(text, page.index("<h1>")) for text in order]
    assert places == sorted(places)
    assert f"<h1>{headline}</h1>" in page


def test_every_section_is_there(page):
    """A full run fills all sections but two it has nothing for, and each has its place in the navigation."""
    titles = re.findall(r"<h2>(.*?)</h2>", page)
    assert titles == [title for title in sections.SECTIONS if title not in ("Notes", "Slices and groups")]
    for anchor in re.findall(r'<section id="(.*?)">', page):
        assert f'href="#{anchor}"' in page


def test_page_is_well_formed_and_needs_nothing_else(page):
    """Tags close in order, there is no script, and every address is inside the page."""
    tags = Tags(page)
    assert "script" not in tags.names
    assert tags.names.count("img") == 7
    assert all(address.startswith(("#", "data:")) for address in tags.addresses)
    assert not re.search(r"@import|url\(|http:|https:", page)


def test_optimism_table_has_the_records_numbers(result, page):
    """Search, fresh folds, both estimates and the default stand one under the other, in natural units."""
    scores = {row.label: row.value for row in result.optimism_table.rows}
    table = page[page.index('id="from-the-search-to-the-claim"') :]
    cells = re.findall(r'<th scope="row">(\w[\w ]*)</th><td class="short">(.*?)</td>', table)
    assert dict(cells[:5]) == {
        "Search": f"{scores['search folds']:.4g}",
        "Fresh folds": f"{scores['fresh folds']:.4g}",
        "Estimate": f"{result.estimate.value:.4g}",
        "Delivered model": f"{result.delivered_estimate.value:.4g}",
        "Default": f"{result.default_estimate.value:.4g}",
    }


def test_scores_are_shown_in_natural_units(result):
    """A loss of .2 of AUC is an AUC of .8 in the table, and stays a loss in figures."""
    card = replace(result.card, metric_value="one_minus_loss")
    rows = (ScoreRow("fresh folds", value=0.8, loss=0.2),)
    page = render(replace(result, card=card, optimism_table=OptimismTable("roc_auc", rows), metric="roc_auc"))
    assert '<th scope="row">Fresh folds</th><td class="short">0.8</td>' in page
    assert "loss: 1 - roc_auc" in page


def named(result, name):
    """Return the result with everything a user can name, and some that he cannot, named so."""
    return replace(
        result,
        metric=name,
        positive_class=name,
        study_name=name,
        notes=(name,),
        winner=replace(result.winner, configuration=Configuration("linear", {name: name})),
        diagnosis=(Finding(name, name, name, name, name),),
        card=replace(result.card, target=((name, 3),), roles=(name,), versions=((name, name),)),
    )


def test_what_users_name_stays_text(result):
    """A class, a metric, a note, a parameter and a finding named like tags or formulas change no markup."""
    hostile, harmless = (render(named(result, name)) for name in (NASTY, "x"))
    assert Tags(hostile).names == Tags(harmless).names
    assert "{{ 7 * 7 }}" in hostile  # not 49: values are no templates
    assert hostile.count("&lt;script&gt;alert(&#39;$x$&#39;)") > 10


def test_without_an_estimate_nothing_is_claimed(result):
    """The headline says that there is none, and no number takes its place."""
    silent = replace(
        result,
        estimate=None,
        delivered_estimate=None,
        default_estimate=None,
        optimism=None,
        paid=Paid("not judged"),
    )
    page = render(silent)
    assert "<h1>log_loss: no estimate</h1>" in page
    assert "Search scores are not claims." in page
    assert "estimate" not in draw(silent)
    assert "Optimism" not in page


def test_findings_come_with_evidence_and_step_the_gravest_first(result):
    """Checks and diagnosis stand together; a warning is named at the top of the page."""
    found = (
        Finding("D009", "info", "Small.", "tiny", "Rest."),
        Finding("D008", "warning", "Big.", "huge", "Act."),
    )
    page = render(replace(result, diagnosis=found))
    assert "D008: Big." in page[: page.index("<section")]
    assert page.index("D008 Warning") < page.index("D009 Note")
    assert "<p>Evidence: huge.</p>" in page
    assert "<p>Next: Act.</p>" in page


def test_a_code_is_no_path():
    """Only a code names the page of a finding."""
    assert sections.explanation("D999") == ""
    assert sections.explanation("../py.typed") == ""


def test_a_section_is_one_function_and_one_line(result, monkeypatch):
    """What the table names is on the page, in its order; empty sections are left out."""
    monkeypatch.setitem(sections.SECTIONS, "Slices", lambda *_: [Text("worst slice")])
    monkeypatch.setitem(sections.SECTIONS, "Empty", lambda *_: [])
    last = sections.body(result, {})[-1]
    assert last == Section("slices", "Slices", [Text("worst slice")])


def test_report_writes_the_page(result, page, tmp_path):
    """`result.report` replaces the file, returns its path, and draws the same page every time."""
    path = tmp_path / "report.html"
    path.write_text("old")
    assert result.report(path) == path
    assert path.read_text(encoding="utf-8") == page


def test_figures_leave_the_users_matplotlib_alone(result, page):
    """A dark style or LaTeX in the user's settings neither reaches the page nor is lost."""
    with matplotlib.rc_context({"figure.facecolor": "black", "text.usetex": True}):
        assert render(result) == page
        assert matplotlib.rcParams["figure.facecolor"] == "black"
        assert matplotlib.rcParams["text.usetex"] is True


def test_slices_stand_with_the_worst_first_and_groups_in_a_sentence(result):
    """By falling loss, one that cannot be scored at the end; groups as the printed result says them."""
    slices = tuple(
        SliceScore("country", label, 1200, value, value - 0.1, value + 0.1, value, ())
        for label, value in (("DE", 0.3), ("FR", float("nan")), (NASTY, 0.7))
    )
    groups = GroupScores((0.2, 0.4), (0.5, 0.7))
    page = render(replace(result, slices=slices, group_scores=groups))
    order = ["country = &lt;script&gt;", "0.6 to 0.8", "country = DE", "country = FR"]
    assert [page.index(text) for text in order] == sorted(page.index(text) for text in order)
    assert "Groups never seen: loss 0.6 of the winner on groups left out, 0.3 on random folds." in page


def test_json_artifacts_are_strict(result):
    """What a fold cannot tell is null: JavaScript refuses NaN."""
    nan = float("nan")
    slices = (SliceScore("country", "DE", 1200, nan, nan, nan, nan, (0.1, nan)),)
    texts = report.texts(replace(result, slices=slices), TuningConfig(), {})
    (told,) = json.loads(texts["slices.json"], parse_constant=pytest.fail)
    assert (told["label"], told["value"], told["excess"]) == ("DE", None, [0.1, None])


def test_chance_is_the_last_line_of_the_optimism_table(result):
    """What guessing gets stands below the claims."""
    page = render(result)
    assert page.index("the best constant prediction") > page.index("elected and mixed there")


def test_figures_are_drawn_of_what_there_is(result):
    """One trial makes no cloud, an unbounded interval no line, and a path needs two points."""
    every = {"estimate", "trials", "gap", "winner_path", "reliability", "learning", "importance_linear"}
    assert set(draw(result)) == every
    winner = replace(result.winner, curves=None)
    unbounded = replace(result.estimate, high=np.inf)
    bare = replace(result, winner=winner, tuned_estimate=unbounded, reliability=None, learning_curve=None)
    assert set(draw(bare)) == {"trials", "gap", "importance_linear"}
    assert all(svg.startswith(b"<?xml") for svg in draw(bare).values())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (12345.6, "12,346"),
        (float("inf"), "unbounded"),
        (None, "\u2013"),
        (float("nan"), "\u2013"),
    ],
)
def test_numbers_have_four_digits(value, text):
    """Small and large numbers stay short, and what is not known is a dash."""
    assert number(value) == text


@pytest.mark.parametrize(("n_trials", "top"), [(2, 2.0), (20, 20.0), (40, 39.0)])
def test_figures_lose_the_worst_twentieth_at_most(n_trials, top):
    """Of twenty trials all are shown, of forty all but one."""
    limits = []
    axes = SimpleNamespace(set_ylim=lambda *ends: limits.extend(ends))
    _clip_top(axes, np.arange(1.0, n_trials + 1), bottom=1.0)
    assert top <= limits[1] < top + 0.06 * n_trials


def test_a_default_that_is_shipped_stands_beside_what_was_not(result):
    """Where tuning did not pay the claim is the default's; the tuned procedure's is there to compare with."""
    tuned = replace(result.default_estimate, value=9.25)
    shipped = replace(
        result,
        estimate=result.default_estimate,
        tuned_estimate=tuned,
        paid=Paid("did not pay", 0.01, -0.01, 0.03),
        shipped_default=True,
    )
    page = render(shipped)
    assert '<th scope="row">Tuned, not shipped</th><td class="short">9.25</td>' in page
    assert "Tuned, not shipped" not in render(result)
    assert draw(shipped)["estimate"] != draw(result)["estimate"]
