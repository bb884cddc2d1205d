"""Job files: keys, overrides, paths, tables."""

from __future__ import annotations

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces import SPACES, Categorical, Float, Int
from tuner._jobs.file import check_run_key
from tuner._line.study import begun, study_hash
from tuner._records import Configuration
from tuner._store import TrialStore
from tuner._tracking.info import DatasetInfo, ParentInfo, TrackingInfo
from tuner.exceptions import InputError, StoreError
from tuner.jobs import (
    CONFIG_KEYS,
    KEYS,
    absolute_uri,
    job_config,
    load_job,
    read_rows,
    read_table,
    run_job,
    sync_job,
)

EXAMPLES = Path(__file__).parents[1] / "examples"
MINIMAL = '[job]\nname = "churn"\n[data]\ntrain = "rows.csv"\ntarget = "label"\n'


@pytest.fixture
def write_job(tmp_path):
    """Write a job file below the minimal one's keys, beside a small table, and return its path."""

    def write(more: str = "", *, table: pd.DataFrame | None = None) -> Path:
        folder = tmp_path / "jobs"
        folder.mkdir(exist_ok=True)
        frame = rows() if table is None else table
        frame.to_csv(folder / "rows.csv", index=False)
        path = folder / "job.toml"
        path.write_text(MINIMAL + more, encoding="utf-8")
        return path

    return write


def rows() -> pd.DataFrame:
    """Twelve rows with a column for every role."""
    number = np.arange(12)
    return pd.DataFrame(
        {
            "id": [f"row {each}" for each in number],
            "size": number * 1.5,
            "colour": np.where(number % 3 == 0, "red", "blue"),
            "label": np.where(number % 2 == 0, "no", "yes"),
            "customer": number // 3,
            "month": [f"2024-{each + 1:02d}-01" for each in number],
            "weight": 1.0 + number % 2,
        }
    )


def error_of(path, overrides=(), step=load_job) -> InputError:
    """Return the error that loading, or a further step, raises."""
    with pytest.raises(InputError) as caught:
        step(load_job(path, overrides)) if step is not load_job else load_job(path, overrides)
    return caught.value


# ---- keys


def test_every_key_of_the_contract_reaches_the_config(write_job):
    """All keys of the contract's example, and the search's counts, arrive under their Python names."""
    path = write_job(
        'task = "classification"\nslices = ["size"]\n'
        '[search]\nfamilies = ["lightgbm"]\ntime_budget = 300\nmax_trials = 200\nseed = 3\n'
        "n_folds = 4\nn_repeats = 2\nouter_folds = 3\nn_jobs = 2\nwiden = true\n"
        "[search.space.lightgbm]\nnum_leaves = {low = 4, high = 64, log = true}\nlearning_rate = 0.05\n"
        '[objective]\nmetric = "roc_auc"\ngap_weight = 0.1\naggregate = "worst_slice"\n'
        '[checks]\nallow = ["G003"]\n'
        "[limits]\nmax_memory = 4000000000\n"
        '[final]\nmodel = "bag"\n'
        'max_members = 4\nestimate = "nested"\n'
        '[tracking]\nuri = "http://mlflow:5000"\nexperiment = "other"\nregister_as = "Churn"\n'
        '[storage]\nurl = "postgresql://db/tuner"\n'
    )
    job = load_job(path)
    config = job_config(job)
    got = {name: getattr(config, name) for name in CONFIG_KEYS}
    assert got == {
        "task": "classification",
        "families": ("lightgbm",),
        "time_budget": 300,
        "max_trials": 200,
        "random_state": 3,
        "n_folds": 4,
        "n_repeats": 2,
        "outer_folds": 3,
        "n_jobs": 2,
        "widen": True,
        "metric": "roc_auc",
        "allow": ("G003",),
        "slices": ("size",),
        "max_memory": 4_000_000_000,
        "gap_weight": 0.1,
        "aggregate": "worst_slice",
        "final": "bag",
        "max_members": 4,
        "estimate": "nested",
        "tracking_uri": "http://mlflow:5000",
        "experiment_name": "other",
        "storage": "postgresql://db/tuner",
    }
    assert config.search_space == {
        "lightgbm": {"num_leaves": Int(4, 64, log=True), "learning_rate": 0.05},
    }
    assert job.tracking.register_as == "Churn"


def test_absent_keys_keep_the_defaults_of_python(write_job):
    """A minimal job is TuningConfig() with the job's name as experiment and MLflow's own URI."""
    from tuner._options.config import TuningConfig

    assert job_config(load_job(write_job())) == TuningConfig(experiment_name="churn")


@pytest.mark.parametrize(
    ("search", "time_budget", "max_trials"),
    [
        ("", 60.0, None),
        ("max_trials = 7", None, 7),
        ("max_trials = 7\ntime_budget = 9", 9, 7),
        ('max_trials = 7\ntime_budget = "none"', None, 7),
        ('time_budget = 9\nmax_trials = "none"', 9, None),
    ],
)
def test_limits_are_those_the_job_names(write_job, search, time_budget, max_trials):
    """TOML has no null: naming one limit leaves the other out; naming none keeps 60 s."""
    config = job_config(load_job(write_job(f"[search]\n{search}\n")))
    assert (config.time_budget, config.max_trials) == (time_budget, max_trials)


def test_estimate_none_is_a_word(write_job):
    """`estimate = "none"` is Python's None, not the default."""
    assert job_config(load_job(write_job('[final]\nestimate = "none"\n'))).estimate is None


@pytest.mark.parametrize(
    ("more", "key", "nearest"),
    [
        ("[search]\nmax_trails = 5\n", "search.max_trails", "search.max_trials"),
        ('[search]\nmetric = "mae"\n', "search.metric", "objective.metric"),
        ('[tracking]\nurl = "x"\n', "tracking.url", "tracking.uri"),
        ("[serach]\nseed = 1\n", "serach", "search"),
        ('[objective]\nagregate = "mean"\n', "objective.agregate", "objective.aggregate"),
        ("[search.space.lightgmb]\nnum_leaves = 5\n", "search.space.lightgmb", "search.space.lightgbm"),
        (
            "[search.space.lightgbm]\nnum_leafs = 5\n",
            "search.space.lightgbm.num_leafs",
            "search.space.lightgbm.num_leaves",
        ),
    ],
)
def test_unknown_key_names_itself_and_the_nearest(write_job, more, key, nearest):
    """An unknown key is given in full, with the nearest valid one."""
    error = error_of(write_job(more), step=job_config)
    assert error.value == f"`{key}`"
    assert f"Did you mean `{nearest}`?" in error.cure


def test_misspelt_required_key_is_reported_as_misspelt(tmp_path):
    """`traget` is also a missing `target`; the message is about the spelling."""
    path = tmp_path / "job.toml"
    path.write_text('[job]\nname = "churn"\n[data]\ntrain = "rows.csv"\ntraget = "label"\n')
    error = error_of(path)
    assert error.value == "`data.traget`"
    assert "`data.target`" in error.cure


@pytest.mark.parametrize(
    ("text", "key", "cure"),
    [
        ('[job]\nname = "a"\n', "`data`", '`train = "churn.csv"` and `target = "churned"` under [data]'),
        ('[job]\nname = "a"\n[data]\ntrain = "x.csv"\n', "`data.target`", '`target = "churned"`'),
        ('[data]\ntrain = "x.csv"\ntarget = "y"\n', "`job`", '`name = "churn"` under [job]'),
    ],
)
def test_missing_key_says_what_to_write(tmp_path, text, key, cure):
    """A required key or section that is missing is named with an example line."""
    (tmp_path / "job.toml").write_text(text)
    error = error_of(tmp_path / "job.toml")
    assert key in error.rule
    assert cure in error.cure


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ('[search]\nmax_trials = "many"\n', "`search.max_trials` must be a whole number."),
        ("[search]\nmax_trials = 2.5\n", "`search.max_trials` must be a whole number."),
        ("[search]\nn_jobs = true\n", "`search.n_jobs` must be a whole number."),
        ('[search]\ntime_budget = "long"\n', "`search.time_budget` must be a number."),
        ('[search]\nfamilies = "lightgbm"\n', "`search.families` must be a list."),
        ("[search]\nfamilies = [1]\n", "`search.families.0` must be a text in quotes."),
        ("[search]\nspace = 1\n", "`search.space` must be a table."),
        ("[search]\nseed = -1\n", "`search.seed` must be greater than or equal to 0."),
        ("[objective]\nmetric = 1\n", "`objective.metric` must be a text in quotes."),
    ],
)
def test_wrong_type_names_the_key_and_an_example(write_job, more, rule):
    """A value of another type is refused, never converted, and the cure shows a line that works."""
    error = error_of(write_job(more))
    assert error.rule == rule
    assert error.cure.startswith("Write")


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ("[search]\nn_folds = 1\n", "`search.n_folds` must be an integer of at least 2."),
        (
            "[search]\ntime_budget = 0\n",
            '`search.time_budget` must be a positive number of seconds or "none".',
        ),
        ('[search]\nmax_trials = "none"\ntime_budget = "none"\n', "A run must have an end."),
        ('[final]\nmodel = "stack"\n', "`final.model` must be one of"),
        ('[final]\nestimate = "bootstrap"\n', "`final.estimate` must be one of"),
        ('[objective]\naggregate = "worst_slice"\n', '`objective.aggregate="worst_slice"` needs slices'),
        ("[objective]\ngap_weight = -1\n", '`objective.gap_weight` must be "auto" or'),
        ("[objective]\ngap_weight = [1]\n", '`objective.gap_weight` must be "auto" or'),
        ('[search]\nfamilies = ["forest"]\n', "A family must be a known one."),
        ("[search]\nfamilies = []\n", "`search.families` must be a list of names."),
        ("[search.space]\nlightgbm = 3\n", "`search.space.lightgbm` must be a table."),
        ("[search.space.lightgbm]\nnum_leaves = [4, 8]\n", "`search.space.lightgbm.num_leaves` must fit"),
        ("[search.space.lightgbm]\nnum_leaves = {low = 4}\n", "`search.space.lightgbm.num_leaves` must fit"),
        ("[search.space.lightgbm]\nnum_leaves = 0\n", "`search.space.lightgbm.num_leaves` must fit"),
    ],
)
def test_config_rules_speak_the_job_files_language(write_job, more, rule):
    """Rules of `TuningConfig` name the job file's key, and nobody has looked at the data yet."""
    path = write_job(more)
    (path.parent / "rows.csv").unlink()  # would be an error if it were read
    error = error_of(path, step=job_config)
    assert error.rule.startswith(rule)
    assert error.cure


def test_a_value_of_a_space_may_read_like_a_message(write_job):
    """Rule, value and cure are never parsed: a value keeps its full stops."""
    error = error_of(write_job('[search.space.linear]\npenalty = "l1. Got l2. Use both."\n'), step=job_config)
    assert error.rule.startswith("`search.space.linear.penalty` must fit its parameter: `linear.penalty`")
    assert error.value == "'l1. Got l2. Use both.'"
    assert error.cure == "Name one of them, or a `Categorical` of some of them."


@pytest.mark.parametrize("name", ["", " churn", "a/b", "a+b", "a\\nb"])
def test_job_name_must_be_plain(tmp_path, name):
    """The name goes into the study's name and the job key: no separators, no control characters."""
    text = MINIMAL.replace('"churn"', f'"{name}"')
    (tmp_path / "job.toml").write_text(text)
    assert error_of(tmp_path / "job.toml").rule.startswith("`job.name` must begin with a letter")


@pytest.mark.parametrize("name", ["", " ", "team/churn", "a:b", "it's"])
def test_a_registered_model_must_have_a_name_that_mlflow_takes(write_job, name):
    """Found before any fit, not when the model is there."""
    path = write_job(f'[tracking]\nregister_as = "{name}"\n')
    assert error_of(path).rule.startswith("`tracking.register_as` must be a name")


def test_a_run_key_with_both_kinds_of_quotes_is_refused(write_job):
    """MLflow could not be asked for it; one kind stands inside the other."""
    for one_kind in ("it's", '24"'):
        check_run_key(one_kind)
    with pytest.raises(InputError, match="both kinds of quotes"):
        run_job(write_job(), run_key="it's 24\"")


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (None, "A job file must be readable."),
        (b"[job\n", "A job file must be valid TOML in UTF-8."),
        (b'[job]\nname = "\xff"\n', "A job file must be valid TOML in UTF-8."),
        (b"[job]\nname = churn\n", "A job file must be valid TOML in UTF-8."),
    ],
)
def test_unreadable_job_file(tmp_path, content, rule):
    """A missing file, broken TOML and broken text are input errors."""
    path = tmp_path / "job.toml"
    if content is not None:
        path.write_bytes(content)
    error = error_of(path)
    assert error.rule == rule
    assert "job.toml" in error.value


def test_a_job_file_may_begin_with_a_mark_of_its_encoding(write_job):
    """Some editors write one before UTF-8; tables may have it, too."""
    path = write_job()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_job(path).name == "churn"


def test_job_is_frozen(write_job):
    """Nobody changes a loaded job."""
    job = load_job(write_job())
    with pytest.raises(ValueError, match="frozen"):
        job.data.target = "other"


# ---- overrides


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("search.time_budget=10", "time_budget", 10),
        ("search.time_budget = 2.5", "time_budget", 2.5),
        ("objective.metric=roc_auc", "metric", "roc_auc"),
        ('objective.metric="roc_auc"', "metric", "roc_auc"),
        ('search.families=["linear"]', "families", ("linear",)),
        ("tracking.experiment=a=b", "experiment_name", "a=b"),
        ("final.estimate=none", "estimate", None),
        (
            "search.space.lightgbm.num_leaves={low=4, high=8}",
            "search_space",
            {"lightgbm": {"num_leaves": Int(4, 8)}},
        ),
        (
            "search.space.lightgbm.learning_rate={low=0.01, high=0.1, log=true}",
            "search_space",
            {"lightgbm": {"learning_rate": Float(0.01, 0.1, log=True)}},
        ),
    ],
)
def test_override_is_toml_or_a_bare_text(write_job, override, name, value):
    """`--set` values are TOML; what is no TOML is a text."""
    path = write_job("[search]\ntime_budget = 300\n")
    assert getattr(job_config(load_job(path, [override])), name) == value


def test_categorical_space_is_read(write_job):
    """`choices` make a Categorical."""
    from search_spaces import SPACES

    name, dimension = next(
        (name, each) for name, each in SPACES["lightgbm"].dimensions.items() if isinstance(each, Categorical)
    )
    override = f"search.space.lightgbm.{name}={{choices = [{json.dumps(dimension.choices[0])}]}}"
    space = job_config(load_job(write_job(), [override])).search_space
    assert space == {"lightgbm": {name: Categorical(dimension.choices[:1])}}


def test_last_override_wins(write_job):
    """Overrides apply in order, over the file."""
    path = write_job("[search]\nseed = 1\n")
    assert load_job(path, ["search.seed=2", "search.seed=3"]).search.seed == 3


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("search.time_bugdet=10", "`search.time_budget`"),
        ("serach.time_budget=10", "`search.time_budget`"),
        ("data.target.name=x", "`data.target`"),
    ],
)
def test_override_of_an_unknown_key(write_job, override, nearest):
    """An unknown key in `--set` is the same error as in the file."""
    error = error_of(write_job(), [override])
    assert error.value == f"`{override.partition('=')[0]}`"
    assert f"Did you mean {nearest}?" in error.cure


@pytest.mark.parametrize("override", ["search.seed", "seed=1", "=1", ""])
def test_override_must_be_an_assignment(write_job, override):
    """Without section, key and sign there is nothing to set."""
    assert error_of(write_job(), [override]).rule == "`--set` must read section.key=value."


# ---- paths


def test_paths_of_the_file_start_at_its_folder(write_job, tmp_path, monkeypatch):
    """Table and SQLite files are sought beside the job file, whatever the working directory."""
    path = write_job('[tracking]\nuri = "sqlite:///mlflow.db"\n[storage]\nurl = "sqlite:///db/tuner.db"\n')
    monkeypatch.chdir(tmp_path)
    job = load_job(Path("jobs") / "job.toml")
    folder = path.parent
    assert job.data.train == str(folder / "rows.csv")
    assert job.tracking.uri == f"sqlite:///{folder}/mlflow.db"
    assert job.storage.url == f"sqlite:///{folder}/db/tuner.db"


def test_paths_of_overrides_start_at_the_working_directory(write_job, tmp_path, monkeypatch):
    """A path typed into a shell means what it means in that shell."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    overrides = ["data.train=../other.csv", "tracking.uri=sqlite:///m.db", "storage.url=sqlite:///t.db"]
    job = load_job(write_job(), overrides)
    assert job.data.train == str(tmp_path / "other.csv")
    assert job.tracking.uri == f"sqlite:///{work}/m.db"
    assert job.storage.url == f"sqlite:///{work}/t.db"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("sqlite:///x.db", "sqlite:////jobs/x.db"),
        ("sqlite:///sub/../x.db?timeout=5", "sqlite:////jobs/x.db?timeout=5"),
        ("sqlite+pysqlite:///x.db", "sqlite+pysqlite:////jobs/x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("file:mlruns", "file:///jobs/mlruns"),
        ("file:///abs/mlruns", "file:///abs/mlruns"),
        ("mlruns", "/jobs/mlruns"),
        ("./mlruns", "/jobs/mlruns"),
        ("databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("http://host:5000", "http://host:5000"),
        ("postgresql://u:p@h/db", "postgresql://u:p@h/db"),
    ],
)
def test_uri_paths(uri, expected):
    """Only file paths inside a URI are resolved."""
    assert absolute_uri(uri, Path("/jobs")) == expected


@given(st.from_regex(r"[a-z][a-z0-9_]{0,8}(/[a-z][a-z0-9_]{0,8}){0,2}\.db", fullmatch=True))
def test_uri_is_resolved_once(path):
    """Resolving an already resolved URI changes nothing, wherever it is done."""
    once = absolute_uri(f"sqlite:///{path}", Path("/jobs"))
    assert once == f"sqlite:////jobs/{path}"
    assert absolute_uri(once, Path("/elsewhere")) == once


def test_storage_must_be_a_url(write_job):
    """A bare file name as storage is refused with the URL to write."""
    error = error_of(write_job('[storage]\nurl = "tuner.db"\n'))
    assert error.rule == "`storage.url` must be a database URL."
    assert "sqlite:///tuner.db" in error.cure


# ---- tables


def test_roles_and_drop_are_never_features(write_job):
    """Target, groups, time, weight and dropped columns are not among the features; values arrive in order."""
    path = write_job('groups = "customer"\ntime = "month"\nsample_weight = "weight"\ndrop = ["id", "id"]\n')
    dataset = read_rows(load_job(path))
    assert [column.name for column in dataset.schema.columns] == ["size", "colour"]
    assert list(dataset.classes) == ["no", "yes"]
    assert dataset.y.tolist() == [0, 1] * 6
    assert dataset.groups.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert np.all(np.diff(dataset.time) > 0)
    assert dataset.weights.tolist() == [1.0, 2.0] * 6


def test_a_cell_of_spaces_is_missing(tmp_path):
    """A column of numbers stays one, whatever the width it is padded to; texts keep their spaces."""
    (tmp_path / "rows.csv").write_text("total,town\n1.5, Bonn\n ,  \n     ,Ulm \n")
    table = read_table(tmp_path / "rows.csv")
    assert table["total"].dtype == float
    assert table.isna().to_numpy().tolist() == [[False, False], [True, True], [True, False]]
    assert table["town"].dropna().tolist() == [" Bonn", "Ulm "]


def test_dates_of_a_csv_file_are_dates(write_job):
    """A column of texts such as 2024-01-01 is read as dates."""
    kinds = {each.name: each.kind for each in read_rows(load_job(write_job())).schema.columns}
    assert (kinds["month"], kinds["colour"]) == ("datetime", "categorical")


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet", "ROWS.CSV"])
def test_formats_give_the_same_table(tmp_path, name):
    """CSV, zipped CSV and parquet hold the same rows."""
    path = tmp_path / name
    if name.endswith(".parquet"):
        rows().to_parquet(path, index=False)
    else:
        rows().to_csv(path, index=False)
    pd.testing.assert_frame_equal(read_table(path), rows(), check_dtype=False)


def test_a_named_parquet_index_is_a_column(tmp_path):
    """An index with a name was a column to whoever wrote it; one without is just a row number."""
    rows().set_index("id").to_parquet(tmp_path / "named.parquet")
    rows().iloc[::-1].to_parquet(tmp_path / "unnamed.parquet")
    assert "id" in read_table(tmp_path / "named.parquet").columns
    assert list(read_table(tmp_path / "unnamed.parquet").columns) == list(rows().columns)


def test_byte_order_mark_is_not_part_of_the_first_name(tmp_path):
    """Spreadsheets write a mark before the header."""
    (tmp_path / "rows.csv").write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    assert list(read_table(tmp_path / "rows.csv").columns) == ["a", "b"]


def test_constant_columns_are_dropped_with_a_note(write_job):
    """Constant and all-missing columns are a note, not an error."""
    path = write_job(table=rows().assign(same=1, nothing=None))
    dataset = read_rows(load_job(path))
    assert "Dropped 2 constant or all-missing column(s): same, nothing." in dataset.notes
    assert not {"same", "nothing"} & {column.name for column in dataset.schema.columns}


@pytest.mark.parametrize(
    ("more", "rule", "value", "cure"),
    [
        (
            'groups = "costumer"\n',
            "`data.groups` must name a column of rows.csv.",
            "'costumer'",
            "'customer'",
        ),
        ('time = "moth"\n', "`data.time` must name a column of rows.csv.", "'moth'", "'month'"),
        ('drop = ["size", "ID"]\n', "`data.drop` must name a column of rows.csv.", "'ID'", "Columns: 'id'"),
        ('drop = ["label"]\n', "`data.drop` and `data.target` must name different", "'label'", "`data.drop`"),
        (
            'groups = "label"\n',
            "`data.groups` and `data.target` must name different",
            "'label'",
            "data.groups",
        ),
    ],
)
def test_columns_that_do_not_fit(write_job, more, rule, value, cure):
    """A missing column is named with the nearest; the target plays no second role."""
    error = error_of(write_job(more), step=read_rows)
    assert error.rule.startswith(rule)
    assert value in error.value
    assert cure in error.cure


def test_only_some_columns_are_listed(tmp_path):
    """The hint of a wide table stays readable."""
    wide = pd.DataFrame(np.zeros((2, 50)), columns=[f"c{each}" for each in range(50)])
    wide.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "job.toml").write_text(MINIMAL)
    error = error_of(tmp_path / "job.toml", step=read_rows)
    assert error.cure.endswith("'c9', ....")
    assert "'c10'" not in error.cure


@pytest.mark.parametrize(
    ("name", "content", "rule"),
    [
        ("gone.csv", None, "`data.train` must be an existing file."),
        ("rows.xlsx", b"a,b\n1,2\n", "`data.train` must be a .csv, .csv.gz or .parquet file."),
        ("rows.csv", b"", "`data.train` must be a readable table."),
        ("rows.csv", b"\xff\xfe\x00", "`data.train` must be a readable table."),
        ("rows.csv", b"a,b\n1,2\n3,4,5\n", "`data.train` must be a readable table."),
        ("rows.csv", b"a,b\n1,2,3\n4,5,6\n", "`data.train` must be a readable table."),
        ("rows.csv", b"a,b,a\n1,2,3\n", "Column names must be unique."),
        ("rows.csv", b'\n"a",b,"a"\n1,2,3\n', "Column names must be unique."),
        ("rows.csv.gz", b"a,b\n1,2\n", "`data.train` must be a readable table."),
        (
            "rows.csv.gz",
            gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9],
            "`data.train` must be a readable table.",
        ),
        ("rows.csv.gz", gzip.compress(b"a,a\n1,2\n", mtime=0), "Column names must be unique."),
        ("rows.parquet", b"PAR1", "`data.train` must be a readable table."),
        ("rows.parquet", b"a,b\n1,2\n", "`data.train` must be a readable table."),
    ],
)
def test_broken_tables(tmp_path, name, content, rule):
    """Whatever is wrong with the file, the error says which rule, and which file."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_table(tmp_path / name)
    assert caught.value.rule == rule
    assert caught.value.cure
    if rule != "Column names must be unique.":
        assert name in caught.value.value


@pytest.mark.skipif(os.geteuid() == 0, reason="root may search any folder")
def test_a_folder_that_may_not_be_searched_is_told(tmp_path):
    """Python raises there instead of saying that there is no file."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o000)
    with pytest.raises(InputError) as caught:
        read_table(folder / "rows.csv")
    assert caught.value.rule == "`data.train` must be a readable table."
    assert "Permission denied" in caught.value.value


# ---- the example


def test_example_job_reads_its_table():
    """The README's job loads: 569 rows, 30 features, malignant is the positive class."""
    job = load_job(EXAMPLES / "breast_cancer.toml")
    config = job_config(job)
    dataset = read_rows(job)
    assert (config.metric, config.time_budget, config.random_state) == ("log_loss", 60, 0)
    assert (config.estimate, config.experiment_name, config.storage) == ("nested", "breast_cancer", None)
    assert config.tracking_uri == f"sqlite:///{EXAMPLES}/mlflow.db"
    assert (dataset.n_rows, len(dataset.schema.columns)) == (569, 30)
    assert list(dataset.classes) == ["benign", "malignant"]
    assert np.bincount(dataset.y).tolist() == [357, 212]


def test_commented_keys_of_the_example_are_valid():
    """Every commented-out line of the example names a key that exists."""
    text = (EXAMPLES / "breast_cancer.toml").read_text(encoding="utf-8")
    section, seen = "", 0
    for line in text.splitlines():
        plain = line.removeprefix("# ")
        if plain.startswith("["):
            section = plain[1 : plain.index("]")]
        elif line.startswith("# ") and " = " in plain and section != "search.space.lightgbm":
            assert f"{section}.{plain.partition(' = ')[0]}" in KEYS
            seen += 1
    assert seen == 7


def test_a_store_that_cannot_keep_the_outcome_does_not_hide_it(write_job, monkeypatch, capsys):
    """The model is registered by then: what came out is returned, and the next call runs again."""

    def full(store, name, text):
        if name.startswith("finished"):
            raise StoreError("The trial store must be writable.", "disk full", "Make room.")
        keep(store, name, text)

    keep = TrialStore.keep
    monkeypatch.setattr(TrialStore, "keep", full)
    monkeypatch.setattr("tuner.jobs.job_config", lambda job: replace(job_config(job), tracking=False))
    table = pd.DataFrame({"size": np.arange(60.0), "label": np.arange(60) % 2})
    path = write_job(
        '[search]\nfamilies = ["linear"]\nmax_trials = 1\nn_folds = 3\n[final]\nestimate = "none"\n'
        '[storage]\nurl = "sqlite:///tuner.db"\n',
        table=table,
    )
    assert run_job(path).summary["trials"]["finished"] == 1
    assert "run the job again. The trial store must be writable." in capsys.readouterr().err


@pytest.mark.parametrize("estimate", ["auto", "bbc", "nested", "none"])
def test_rows_that_cannot_be_divided_leave_no_store(write_job, estimate):
    """Two groups of one class each leave no fold that can train: refused before a database is opened."""
    table = pd.DataFrame({"size": np.arange(60.0) % 7, "label": np.arange(60) // 30})
    table["group"] = table["label"]
    path = write_job(
        'groups = "group"\n[search]\nfamilies = ["linear"]\nmax_trials = 1\n'
        f'[final]\nestimate = "{estimate}"\n[storage]\nurl = "sqlite:///tuner.db"\n',
        table=table,
    )
    with pytest.raises(InputError, match="training part"):
        run_job(path)
    assert {each.name for each in path.parent.iterdir()} == {"job.toml", "rows.csv"}


def test_sync_finds_the_study_of_a_retune(write_job, make_trial, monkeypatch):
    """Under a name of its own, made of the labelled rows alone; its run begins as it was begun."""
    table = rows().astype({"label": object})
    path = write_job('[storage]\nurl = "sqlite:///tuner.db"\n', table=table)
    job = load_job(path)
    config = job_config(job)
    key = job.key("w47", study_hash(read_rows(job), config))
    parent = ParentInfo(
        run_name="w47: study", study="churn-0123456789ab-v3", job_key=key,
        dataset=DatasetInfo(name="churn", digest="d", n_rows=8, n_columns=6),
    )  # fmt: skip
    with TrialStore(config.storage, parent.study) as store:
        store.open(seed=0, spaces=[SPACES["lightgbm"]], lag=4)
        store.keep(begun(key), parent.to_json())
        configuration = Configuration("lightgbm", SPACES["lightgbm"].default())
        store.save(make_trial(0, configuration=configuration, objective=0.3))
    table.loc[12] = {**table.loc[0], "label": None}  # its label is to come
    table.to_csv(path.parent / "rows.csv", index=False)
    monkeypatch.setattr("tuner.jobs.start_tracker", lambda _, parent, **__: parent)
    replayed = []

    def replay(store, tracker, **_):
        replayed.append((store.records(), tracker))
        return TrackingInfo("sqlite:///mlflow.db", "1", "churn", "ab", None, n_logged=1, n_missing=0)

    monkeypatch.setattr("tuner.jobs.replay", replay)
    summary = sync_job(path, run_key="w47").summary
    (((record,), found),) = replayed
    assert record.number == 0
    assert found == parent
    assert (summary["job"], summary["job_key"], summary["study"]) == ("churn", key, parent.study)
    assert summary["trials"] == {"finished": 1, "pruned": 0, "failed": 0}
    with pytest.raises(InputError, match="no run of 'churn' with run key 'w48'"):
        sync_job(path, run_key="w48")
