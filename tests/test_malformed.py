"""A corpus of malformed inputs: each meets a documented error with rule, value and cure, before any fit."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from tuner import TuningConfig, tune
from tuner.exceptions import InputError, RuleError
from tuner.jobs import job_config, load_job, read_rows

N = 24
RNG = np.random.default_rng(0)
GOOD = RNG.normal(size=(N, 3))
LABELS = np.tile([0, 1], N // 2)
NUMBERS = GOOD[:, 0] * 2.0
FRAME = pd.DataFrame(GOOD, columns=["a", "b", "c"])
NAN, INF = float("nan"), float("inf")


def with_cell(value, column=1):
    """Return the good rows with one cell changed."""
    X = GOOD.astype(object)
    X[3, column] = value
    return X


def vector(values, **cells):
    """Return a vector with one element changed."""
    changed = np.array(values, dtype=object)
    changed[5] = cells["cell"]
    return changed


TABLES = {
    "none": None,
    "a number": 3,
    "a text": "rows",
    "a dict": {"a": [1, 2]},
    "empty list": [],
    "no rows": np.empty((0, 3)),
    "no columns": np.empty((N, 0)),
    "one dimension": GOOD[:, 0],
    "two dimensions too many": GOOD.reshape(N, 1, 1, 1, 3, 1),
    "a scalar array": np.array(3.0),
    "ragged rows": [[1, 2], [3]] * (N // 2),
    "complex": GOOD.astype(complex),
    "complex column": FRAME.assign(b=FRAME["b"].astype(complex)),
    "infinity": np.where(np.arange(N)[:, None] == 3, INF, GOOD),
    "minus infinity": np.where(np.arange(N)[:, None] == 3, -INF, GOOD),
    "infinite cell": FRAME.assign(b=np.where(np.arange(N) == 3, INF, 1.0 * np.arange(N))),
    "all missing": np.full((N, 3), NAN),
    "all constant": np.ones((N, 3)),
    "all None": np.full((N, 3), None, dtype=object),
    "a list in a cell": with_cell([1, 2]),
    "a dict in a cell": with_cell({"a": 1}),
    "a set in a cell": with_cell({1}),
    "an array in a cell": with_cell(np.arange(2)),
    "repeated columns": pd.DataFrame(GOOD, columns=["a", "a", "b"]),
    "repeated after text": pd.DataFrame(GOOD, columns=["1", 1, "b"]),
    "sparse without rows": sparse.csr_matrix((0, 3)),
    "sparse without columns": sparse.csr_matrix((N, 0)),
    "sparse with infinity": sparse.csr_matrix(np.where(np.arange(N)[:, None] == 3, INF, GOOD)),
    "sparse complex": sparse.csr_matrix(GOOD.astype(complex)),
    "sparse of zeros": sparse.csr_matrix((N, 3)),
    "fewer rows than targets": GOOD[:-1],
    "more rows than targets": np.vstack([GOOD, GOOD[:1]]),
    "images of no height": np.empty((N, 0, 4)),
    "images of no width": np.empty((N, 4, 0)),
    "images with infinity": np.full((N, 3, 3), INF),
    "images all alike": np.ones((N, 3, 3)),
    "images of five dimensions": np.ones((N, 2, 2, 2, 2)),
    "empty frame": pd.DataFrame(),
    "frame of constants": pd.DataFrame({"a": ["x"] * N, "b": [1] * N}),
}
CLASS_TARGETS = {
    "none": None,
    "empty": [],
    "one class": np.zeros(N, dtype=int),
    "one row of a class": np.r_[np.zeros(N - 1, dtype=int), 1],
    "a missing label": vector(LABELS, cell=None),
    "a missing text": vector(np.where(LABELS, "yes", "no"), cell=None),
    "NaN": vector(LABELS, cell=NAN),
    "too short": LABELS[:-1],
    "too long": np.r_[LABELS, 1],
    "two columns": np.column_stack([LABELS, LABELS]),
    "a matrix of indicators": np.eye(N),
    "a scalar": 1,
    "complex": LABELS.astype(complex),
    "continuous": NUMBERS,
    "a text among numbers": vector(LABELS, cell="yes"),
    "a number among texts": vector(np.where(LABELS, "yes", "no"), cell=1),
    "a truth value among numbers": vector(LABELS, cell=True),
    "bytes": np.where(LABELS, b"yes", b"no"),
    "lists": [[1], [0]] * (N // 2 - 1) + [[1], [0, 1]],
    "infinity": np.where(np.arange(N) == 5, INF, LABELS),
    "frame of two columns": pd.DataFrame({"y": LABELS, "z": LABELS}),
}
NUMBER_TARGETS = {
    "none": None,
    "empty": [],
    "constant": np.ones(N),
    "NaN": np.where(np.arange(N) == 5, NAN, NUMBERS),
    "infinity": np.where(np.arange(N) == 5, INF, NUMBERS),
    "minus infinity": np.where(np.arange(N) == 5, -INF, NUMBERS),
    "texts": np.array(["a", "b"] * (N // 2)),
    "a text among numbers": vector(NUMBERS, cell="high"),
    "None among numbers": vector(NUMBERS, cell=None),
    "too short": NUMBERS[:-1],
    "too long": np.r_[NUMBERS, 1.0],
    "two columns": np.column_stack([NUMBERS, NUMBERS]),
    "complex": NUMBERS.astype(complex),
    "a scalar": 1.0,
    "dates": np.arange(N).astype("datetime64[D]"),
    "durations": np.arange(N).astype("timedelta64[D]"),
    "missing dates": np.where(np.arange(N) == 5, np.datetime64("NaT"), np.datetime64("2024-01-01")),
}
ROLES = {
    "groups too short": {"groups": np.arange(N - 1)},
    "groups too long": {"groups": np.arange(N + 1)},
    "one group": {"groups": np.zeros(N)},
    "a missing group": {"groups": vector(np.arange(N), cell=None)},
    "NaN group": {"groups": np.where(np.arange(N) == 5, NAN, np.arange(N))},
    "groups of two columns": {"groups": np.ones((N, 2))},
    "a scalar group": {"groups": 3},
    "infinite group": {"groups": np.where(np.arange(N) == 5, INF, np.arange(N))},
    "time too short": {"time": np.arange(N - 1)},
    "time too long": {"time": np.arange(N + 1)},
    "constant time": {"time": np.zeros(N)},
    "missing time": {"time": np.where(np.arange(N) == 5, NAN, np.arange(N))},
    "NaT": {"time": np.where(np.arange(N) == 5, np.datetime64("NaT"), np.datetime64("2024-01-01"))},
    "times that are no dates": {"time": np.array(["soon", "later"] * (N // 2))},
    "infinite time": {"time": np.where(np.arange(N) == 5, INF, np.arange(N))},
    "time of two columns": {"time": np.ones((N, 2))},
    "complex time": {"time": np.arange(N).astype(complex)},
    "weights too short": {"sample_weight": np.ones(N - 1)},
    "weights too long": {"sample_weight": np.ones(N + 1)},
    "a negative weight": {"sample_weight": np.where(np.arange(N) == 5, -1.0, 1.0)},
    "no weight": {"sample_weight": np.zeros(N)},
    "NaN weight": {"sample_weight": np.where(np.arange(N) == 5, NAN, 1.0)},
    "infinite weight": {"sample_weight": np.where(np.arange(N) == 5, INF, 1.0)},
    "texts as weights": {"sample_weight": np.array(["heavy", "light"] * (N // 2))},
    "weights of two columns": {"sample_weight": np.ones((N, 2))},
    "complex weights": {"sample_weight": np.ones(N).astype(complex)},
    "weights of None": {"sample_weight": np.full(N, None)},
}
OPTIONS = {
    "no end": {"time_budget": None, "max_trials": None},
    "no time": {"time_budget": 0},
    "less than no time": {"time_budget": -5.0},
    "endless time": {"time_budget": INF},
    "NaN time": {"time_budget": NAN},
    "time as text": {"time_budget": "60"},
    "time as flag": {"time_budget": True},
    "no trials": {"max_trials": 0},
    "half a trial": {"max_trials": 0.5},
    "trials as text": {"max_trials": "ten"},
    "trials as flag": {"max_trials": True},
    "unknown task": {"task": "ranking"},
    "unknown final": {"final": "stack"},
    "unknown estimate": {"estimate": "holdout"},
    "unknown metric": {"metric": "accurracy"},
    "a metric of the other task": {"metric": "rmse"},
    "metric as number": {"metric": 3},
    "unknown family": {"families": ["lightgmb"]},
    "family as text": {"families": "linear"},
    "no family": {"families": []},
    "a family twice": {"families": ["linear", "linear"]},
    "families as number": {"families": 3},
    "gap weight as word": {"gap_weight": "some"},
    "negative gap weight": {"gap_weight": -0.1},
    "infinite gap weight": {"gap_weight": INF},
    "NaN gap weight": {"gap_weight": NAN},
    "one fold": {"n_folds": 1},
    "folds as number": {"n_folds": 2.5},
    "one outer fold": {"outer_folds": 1},
    "no repeats": {"n_repeats": 0},
    "no jobs": {"n_jobs": 0},
    "minus two jobs": {"n_jobs": -2},
    "jobs as text": {"n_jobs": "all"},
    "no members": {"max_members": 0},
    "widen what": {"widen": "num_leaves"},
    "space of an unknown family": {"search_space": {"svm": {}}},
    "space of an unknown parameter": {"search_space": {"lightgbm": {"leaves": 3}}},
    "space as list": {"search_space": ["lightgbm"]},
    "space of a list": {"search_space": {"lightgbm": ["num_leaves"]}},
    "value outside the library's range": {"search_space": {"lightgbm": {"num_leaves": 0}}},
    "value as text": {"search_space": {"lightgbm": {"num_leaves": "many"}}},
    "value NaN": {"search_space": {"lightgbm": {"learning_rate": NAN}}},
    "unknown choice": {"search_space": {"lightgbm": {"boosting": "rf"}}},
    "no memory": {"max_memory": 0},
    "memory as text": {"max_memory": "4GB"},
    "unknown code": {"allow": ["X001"]},
    "codes as text": {"allow": "G001"},
    "a store that is none": {"storage": "tuner"},
    "a store as object": {"storage": object()},
    "a folder as tracking": {"tracking_uri": Path("mlruns")},
    "an experiment as number": {"experiment_name": 3},
    "a study as number": {"study_name": 3},
    "a store of an unknown kind": {"storage": "cabinet://x"},
    "a store in no folder": {"storage": "sqlite:////no/such/folder/x.db"},
}
FILES = {
    "no file": ("gone.csv", None),
    "another kind": ("rows.xlsx", b"PK"),
    "no ending": ("rows", b"a,label\n1,0\n"),
    "empty": ("rows.csv", b""),
    "header alone": ("rows.csv", b"a,label\n"),
    "binary": ("rows.csv", bytes(range(256))),
    "latin-1": ("rows.csv", "é,label\nü,1\nö,0\n".encode("latin-1")),
    "rows too long": ("rows.csv", b"a,label\n1,0\n2,1,5,6\n" * 3),
    "repeated header": ("rows.csv", b"a,a,label\n1,2,0\n2,3,1\n"),
    "no target": ("rows.csv", b"a,b\n1,0\n2,1\n"),
    "no gzip": ("rows.csv.gz", b"a,label\n1,0\n"),
    "cut gzip": ("rows.csv.gz", gzip.compress(b"a,label\n1,0\n" * 5000)[:40]),
    "no parquet": ("rows.parquet", b"PAR1 and nothing else"),
    "cut parquet": ("rows.parquet", b"PAR1"),
    "empty parquet": ("rows.parquet", b""),
    "an open quote": ("rows.csv", b'a,label\n"1,0\n2,1\n'),
}
JOBS = {
    "no TOML": "job = [",
    "no UTF-8": b"\xff\xfe",
    "no job": '[data]\ntrain = "rows.csv"\ntarget = "label"\n',
    "no data": '[job]\nname = "x"\n',
    "unknown section": "[serch]\nmax_trials = 1\n",
    "unknown key": "[search]\nmax_trails = 1\n",
    "section as value": "search = 3\n",
    "trials as text": '[search]\nmax_trials = "many"\n',
    "trials as list": "[search]\nmax_trials = [1]\n",
    "budget as date": "[search]\ntime_budget = 2024-01-01\n",
    "families as text": '[search]\nfamilies = "linear"\n',
    "families of numbers": "[search]\nfamilies = [1]\n",
    "negative seed": "[search]\nseed = -1\n",
    "name with a slash": 'job = {name = "../x"}\ndata = {train = "rows.csv", target = "label"}\n',
    "empty name": 'job = {name = ""}\ndata = {train = "rows.csv", target = "label"}\n',
    "storage without URL": '[storage]\nurl = "tuner.db"\n',
    "space of no family": "[search.space.svm]\nC = 1\n",
    "space of no parameter": "[search.space.lightgbm]\nleaves = 3\n",
    "space with low above high": "[search.space.lightgbm]\nnum_leaves = {low = 9, high = 3}\n",
    "space without high": "[search.space.lightgbm]\nnum_leaves = {low = 9}\n",
    "space of texts": '[search.space.lightgbm]\nnum_leaves = {low = "a", high = "b"}\n',
    "two roles of one column": 'groups = "label"\n',
    "a role of no column": 'time = "when"\n',
    "a drop of no column": 'drop = ["q"]\n',
    "both limits none": '[search]\ntime_budget = "none"\n',
    "unknown gap weight": '[objective]\ngap_weight = "some"\n',
    "unknown estimate": '[final]\nestimate = "guess"\n',
    "code in a value": '[data]\ntrain = "__import__(\'os\')"\ntarget = "label"\n[job]\nname = "x"\n',
}
HEAD = '[job]\nname = "x"\n[data]\ntrain = "rows.csv"\ntarget = "label"\n'


@pytest.fixture(autouse=True)
def _nothing_left_behind(tmp_path, monkeypatch):
    """Run in an empty folder; a refused input leaves nothing in it."""
    monkeypatch.chdir(tmp_path)
    yield
    left = (
        {path.name for path in tmp_path.iterdir()}
        - {"rows.csv", "job.toml"}
        - {name for name, _ in FILES.values()}
    )
    assert left == set()


def refused(X, y, *, task, options=None, **roles):
    """Tune; return the error, which states rule, value and cure."""
    config = TuningConfig(
        **{"task": task, "max_trials": 1, "time_budget": None, "verbose": 0, **(options or {})}
    )
    with pytest.raises(RuleError) as caught:
        tune(X, y, config=config, **roles)
    assert_says_all(caught.value)
    return caught.value


def assert_says_all(error):
    """Find a sentence for the rule, something for the value, and a sentence for the cure."""
    assert isinstance(error, InputError)
    assert str(error.rule).endswith(".")
    assert str(error.value)
    assert str(error.cure).endswith((".", "?", "`"))
    # Other libraries' words bring a stop of their own.
    assert re.search(r"(?<!\.)\.\. ", str(error)) is None
    assert "np.str_" not in str(error)


@pytest.mark.parametrize("case", TABLES)
def test_tables(case):
    """A table that is none, holds nothing, or holds what cannot be used."""
    refused(TABLES[case], LABELS, task="classification")


@pytest.mark.parametrize("case", CLASS_TARGETS)
def test_targets_of_a_classification(case):
    """A target that is missing, misshapen, or no label."""
    refused(GOOD, CLASS_TARGETS[case], task="classification")


@pytest.mark.parametrize("case", NUMBER_TARGETS)
def test_targets_of_a_regression(case):
    """A target that is missing, misshapen, or no number."""
    refused(GOOD, NUMBER_TARGETS[case], task="regression")


@pytest.mark.parametrize("case", ROLES)
def test_roles(case):
    """Groups, times and weights that do not fit the rows or say nothing."""
    refused(GOOD, LABELS, task="classification", **ROLES[case])


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case):
    """Options outside what they may be."""
    refused(GOOD, LABELS, task="classification", options=OPTIONS[case])


@pytest.mark.parametrize("case", FILES)
def test_files(case):
    """Files that are missing, broken, or hold no table with the target."""
    name, content = FILES[case]
    if content is not None:
        Path(name).write_bytes(content)
    Path("job.toml").write_text(HEAD.replace("rows.csv", name))
    with pytest.raises(InputError) as caught:
        read_rows(load_job("job.toml"))
    assert_says_all(caught.value)


@pytest.mark.parametrize("case", JOBS)
def test_job_files(case):
    """Job files that cannot be read, or ask for what is not there."""
    text = JOBS[case]
    FRAME.assign(label=LABELS).to_csv("rows.csv", index=False)
    if isinstance(text, bytes):
        Path("job.toml").write_bytes(text)
    else:
        whole = text if text.startswith(("job", "[job]", "[data]")) else HEAD + text
        Path("job.toml").write_text(whole)
    with pytest.raises(InputError) as caught:
        opened("job.toml")
    assert_says_all(caught.value)


def opened(path):
    """Take all steps before a run."""
    job = load_job(path)
    job_config(job)
    read_rows(job)


def test_the_corpus_is_large_enough():
    """At least 150 inputs."""
    assert sum(map(len, (TABLES, CLASS_TARGETS, NUMBER_TARGETS, ROLES, OPTIONS, FILES, JOBS))) >= 150


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_as_a_csv_file_are_read_or_refused(content):
    """Whatever a file holds, reading it ends in rows or in a documented error."""
    Path("rows.csv").write_bytes(content)
    Path("job.toml").write_text(HEAD)
    try:
        read_rows(load_job("job.toml"))
    except InputError as error:
        assert_says_all(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200))
def test_any_text_as_a_job_file_is_read_or_refused(text):
    """Whatever is appended to a job file, loading ends in a job or in a documented error."""
    Path("job.toml").write_text(HEAD + text, encoding="utf-8", errors="replace")
    try:
        job_config(load_job("job.toml"))
    except InputError as error:
        assert_says_all(error)
