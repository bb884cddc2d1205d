"""The command line: what goes to stdout, what to stderr, and with which exit code it ends."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from tuner._claims.claims import Estimate
from tuner._process.secrets import mask_secrets
from tuner._store import TrialStore
from tuner._tracking.info import TrackingInfo
from tuner.cli import main
from tuner.exceptions import InputError, TrialsFailedError
from tuner.jobs import _opened

MINIMAL = '[job]\nname = "churn"\n[data]\ntrain = "rows.csv"\ntarget = "label"\n'
ROOT = Path(__file__).parents[1]


# MLflow's SQL store uses a loader that SQLAlchemy 2.1 deprecates; mlflow.pyfunc warns of type hints.
MLFLOW_WARNS = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
MLFLOW_WARNS_IN_COLOUR = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred as AnyType:UserWarning"
)
STORED = '[storage]\nurl = "sqlite:///tuner.db"\n'


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rows(n_rows: int = 60) -> pd.DataFrame:
    """Return a learnable binary table with a column for every role."""
    number = np.arange(n_rows)
    noise = np.random.default_rng(0).normal(size=n_rows)
    return pd.DataFrame(
        {
            "size": number % 7 + noise,
            "colour": np.where(number % 3 == 0, "red", "blue"),
            "label": np.where(number % 7 + 2 * noise > 3, "yes", "no"),
            "customer": number // 5,
            "month": number,
            "weight": 1.0,
        }
    )


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Write a job folder and return the job file; the working directory is another, empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def write(more: str = "", table: pd.DataFrame | None = None) -> Path:
        folder = tmp_path / "jobs"
        folder.mkdir(exist_ok=True)
        (rows() if table is None else table).to_csv(folder / "rows.csv", index=False)
        path = folder / "job.toml"
        path.write_text(MINIMAL + more, encoding="utf-8")
        return path

    return write


class FakeResult(SimpleNamespace):
    """A result as the command line sees it."""

    def __str__(self) -> str:
        return "estimate  log_loss 0.30"


def fake_result(**changes) -> FakeResult:
    """Return a finished run: two finished trials, a pruned and a failed one."""
    estimate = Estimate(0.3, 0.2, 0.4, 0.95, "nested", 0.3, (0.2, 0.4), "the procedure")
    states = ("COMPLETE", "PRUNED", "COMPLETE", "FAIL")
    values = {
        "estimate": estimate,
        "default_estimate": estimate,
        "metric": "log_loss",
        "optimism": np.float64(0.01),
        "gap": 0.02,
        "best_params": {"family": "lightgbm", "lightgbm.num_leaves": np.int64(15), "path_point": 12},
        "shipped_default": False,
        "trials": [SimpleNamespace(state=state) for state in states],
        "seconds": 1.5,
        "study_name": "churn-0123456789ab",
        "tracking": TrackingInfo("sqlite:////db/m.db", "1", "churn", "run1", "models:/m-1", 4, 0),
    }
    return FakeResult(**{**values, **changes})


@pytest.fixture
def core(monkeypatch):
    """Replace the search: the test says what it returns or raises."""

    def replace(outcome) -> list:
        calls = []

        def tune_checked(checked, config, context, *, started):
            calls.append((checked.dataset, config, context, started))
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome() if callable(outcome) else outcome

        monkeypatch.setattr("tuner.jobs.tune_checked", tune_checked)
        return calls

    return replace


# ---- a finished run


def test_json_is_one_object_of_the_contract(job, core, capsys):
    """Every name of the contract, with NumPy's numbers as JSON's and a count for each state."""
    core(fake_result())
    assert main(["run", str(job()), "--json", "--run-key", "2024-01"]) == 0
    out = json.loads(capsys.readouterr().out)
    study = out.pop("study")
    key = out.pop("job_key")
    estimate = {"value": 0.3, "low": 0.2, "high": 0.4, "level": 0.95, "method": "nested"}
    assert out == {
        "status": "done",
        "job": "churn",
        "metric": "log_loss",
        "estimate": estimate,
        "default_estimate": estimate,
        "optimism": 0.01,
        "gap": 0.02,
        "winner": {"family": "lightgbm", "params": {"lightgbm.num_leaves": 15, "path_point": 12}},
        "shipped_default": False,
        "trials": {"finished": 2, "pruned": 1, "failed": 1},
        "seconds": 1.5,
        "tracking_uri": "sqlite:////db/m.db",
        "run_id": "run1",
        "model_uri": "models:/m-1",
    }
    assert study == "churn-0123456789ab"
    assert key.startswith("churn+2024-01-")


def test_json_without_estimate_and_tracking_has_nulls(job, core, capsys):
    """What does not exist is null, and so is what is not finite."""
    core(
        fake_result(
            estimate=None,
            default_estimate=None,
            optimism=None,
            gap=float("inf"),
            seconds=np.nan,
            tracking=None,
        )
    )
    assert main(["run", str(job()), "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    names = [
        "estimate",
        "default_estimate",
        "optimism",
        "gap",
        "seconds",
        "tracking_uri",
        "run_id",
        "model_uri",
    ]
    assert [out[name] for name in names] == [None] * len(names)


@pytest.mark.parametrize("command", ["run", "check", "retune", "status", "report", "sync", "rollback"])
def test_every_command_takes_a_run_key(job, capsys, command):
    """A wrapper may give it to all: what is wrong with it is said by each, before anything is read."""
    assert main([command, str(job()), "--json", "--run-key", "'\""]) == 78
    assert json.loads(capsys.readouterr().out)["rule"].startswith("`--run-key` must not hold")


def test_the_context_names_job_key_and_study(job, core):
    """Study = name and hash; the job key puts the run key between them, if there is one."""
    calls = core(fake_result())
    path = str(job('[tracking]\nregister_as = "Churn"\n'))
    main(["run", path])
    main(["run", path, "--run-key", "k1", "--set", "objective.metric=brier"])
    plain, keyed = calls[0][2], calls[1][2]
    digest = plain.study_name.removeprefix("churn-")
    assert len(digest) == 12
    assert int(digest, 16) >= 0
    assert plain.job_key == plain.study_name
    assert plain.register_as == "Churn"
    assert keyed.job_key == f"churn+k1-{keyed.study_name.removeprefix('churn-')}"
    assert keyed.study_name != plain.study_name  # another metric is another study
    assert calls[1][1].metric == "brier"


def test_text_ends_with_what_to_open(job, core, capsys):
    """The summary is followed by a command that can be pasted into a shell."""
    info = TrackingInfo("sqlite:////my data/m.db", "7", "churn", "run1", None, 4, 0)
    core(fake_result(tracking=info))
    assert main(["run", str(job())]) == 0
    out = capsys.readouterr().out
    assert out.startswith("estimate  log_loss 0.30\n")
    assert "mlflow ui --backend-store-uri 'sqlite:////my data/m.db'\n" in out
    assert out.endswith("/#/experiments/7/runs/run1\n")


def test_text_of_a_server_points_at_the_run(job, core, capsys):
    """With a tracking server no command is needed, only the address; its password stays hidden."""
    info = TrackingInfo("https://me:secret@mlflow.example/", "7", "churn", "run1", None, 4, 0)
    core(fake_result(tracking=info))
    main(["run", str(job())])
    out = capsys.readouterr().out
    assert "https://***@mlflow.example/#/experiments/7/runs/run1\n" in out
    assert "mlflow ui" not in out
    assert "secret" not in out


def test_untracked_text_is_the_summary_alone(job, core, capsys):
    """Without MLflow there is nothing to open."""
    core(fake_result(tracking=None))
    main(["run", str(job())])
    assert capsys.readouterr().out == "estimate  log_loss 0.30\n"


def test_a_run_never_reached_by_mlflow_has_no_address(job, core, capsys):
    """A store that was down from the start gave no run to open."""
    core(fake_result(tracking=TrackingInfo("http://down", None, "churn", None, None, 0, 4, ("down",))))
    main(["run", str(job())])
    assert "None" not in capsys.readouterr().out


def test_what_libraries_print_goes_to_stderr(job, core, capsys):
    """Only the result reaches stdout."""

    def chatty():
        sys.stdout.write("View run at ...\n")
        return fake_result()

    core(chatty)
    main(["run", str(job()), "--json"])
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1
    assert "View run at ..." in captured.err


# ---- runs that fail


@pytest.mark.parametrize(
    ("error", "code", "rule"),
    [
        (InputError("A rule.", 3, "A cure."), 78, "A rule."),
        (TrialsFailedError("all 5 failed"), 78, "At least one trial must be scored."),
        (RuntimeError("broken"), 1, "A run must not fail unexpectedly."),
        (KeyboardInterrupt(), 130, "The run was interrupted."),
    ],
)
def test_exit_code_and_error_object(job, core, capsys, error, code, rule):
    """Every way to fail has its code, in the JSON object too."""
    core(error)
    assert main(["run", str(job()), "--json"]) == code
    out = json.loads(capsys.readouterr().out)
    assert set(out) == {"status", "code", "rule", "value", "cure"}
    assert (out["status"], out["code"], out["rule"]) == ("error", code, rule)


def test_error_as_three_aligned_lines(job, core, capsys):
    """Rule, value and cure stand below each other on stderr; stdout stays empty."""
    core(InputError("A rule.", "one\ntwo", "A cure."))
    assert main(["run", str(job())]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "rule   A rule.\nvalue  one\n       two\ncure   A cure.\n"


def test_unexpected_error_shows_its_traceback(job, core, capsys):
    """A defect is not hidden: the traceback goes to stderr, its secrets do not."""
    core(RuntimeError("cannot reach postgresql://me:hunter2@db/x"))
    assert main(["run", str(job())]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" in captured.err
    assert "RuntimeError: cannot reach postgresql://***@db/x" in captured.err
    assert "hunter2" not in captured.err


def test_sigterm_ends_with_143_and_the_old_handler_returns(job, core, capsys):
    """SIGTERM stops the run through Python's stack; afterwards the process handles it as before."""
    before = signal.getsignal(signal.SIGTERM)
    core(lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["run", str(job()), "--json"]) == 143
    assert json.loads(capsys.readouterr().out)["code"] == 143
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "arguments",
    [[], ["walk"], ["run"], ["run", "j.toml", "--fast"], ["run", "j.toml", "--set", "search.seed"]],
)
def test_wrong_usage_is_2(arguments, capsys):
    """Argparse explains wrong usage on stderr."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: tuner" in captured.err


def test_wrong_usage_is_json_where_json_was_asked_for(capsys):
    """A scheduler that reads stdout need not know which kind of error it was."""
    with pytest.raises(SystemExit) as caught:
        main(["status", "j.toml", "--json", "--fast"])
    assert caught.value.code == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["status"], told["code"]) == ("error", 2)
    assert told["value"] == "unrecognized arguments: --fast"
    assert told["cure"] == "Read tuner status --help."
    assert "usage: tuner" in captured.err


def test_wrong_usage_is_2_where_nobody_can_be_told(monkeypatch):
    """Closed outputs are None; the exit code is all there is."""
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    for arguments in (["run", "j.toml", "--fast"], ["run", "j.toml", "--fast", "--json"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


@pytest.fixture
def done(monkeypatch):
    """Let every command find its work done, with a result in letters beyond ASCII."""
    outcome = SimpleNamespace(was_done=True, text="Größe", summary={"status": "done"})
    monkeypatch.setattr("tuner.cli._run", lambda _: outcome)


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_command_that_nobody_hears_does_its_work(as_json, monkeypatch, capsys):
    """Without stderr (`2>&-`) nothing is said, and the result is written as ever."""
    monkeypatch.setattr("sys.stderr", None)
    assert main(["run", "j.toml", *as_json]) == 0
    assert capsys.readouterr().out in ("Größe", '{"status": "done"}\n')


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_result_that_cannot_be_written_is_told(as_json, monkeypatch, capsys):
    """Stdout is closed: stderr says what is missing, the exit code as well."""
    monkeypatch.setattr("sys.stdout", None)
    assert main(["run", "j.toml", *as_json]) == 1
    told = "What came out cannot be written to stdout: [Errno 9] Bad file descriptor"
    assert told in capsys.readouterr().err


def test_an_error_keeps_its_exit_code_where_nobody_hears(tmp_path, monkeypatch):
    """A missing job file is 78, whether or not that can be told."""
    monkeypatch.setattr("sys.stderr", None)
    monkeypatch.setattr("sys.stdout", None)
    assert main(["run", str(tmp_path / "gone.toml")]) == 78
    assert main(["run", str(tmp_path / "gone.toml"), "--json"]) == 78


@pytest.mark.usefixtures("done")
def test_a_result_is_written_in_letters_that_stdout_has(monkeypatch):
    """In the C locale stdout is ASCII: other letters are escaped."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    assert main(["run", "j.toml"]) == 0
    assert stream.buffer.getvalue() == b"Gr\\xf6\\xdfe"


def test_a_closed_pipe_ends_with_its_own_exit_code(job):
    """Nobody reads: no traceback, and Python does not try again at its end (which would be code 120)."""
    command = [sys.executable, "-c", "import sys; from tuner.cli import main; sys.exit(main())"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*command, "check", str(job()), "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    assert "What came out cannot be written to stdout: " in done.stderr
    assert "Exception ignored" not in done.stderr


def test_options_are_written_out(capsys):
    """An abbreviation would change its meaning with the next option that begins alike."""
    with pytest.raises(SystemExit):
        main(["status", "j.toml", "--js"])
    assert "unrecognized arguments: --js" in capsys.readouterr().err


def test_a_password_in_a_mistyped_option_is_masked(capsys):
    """The section was forgotten; what stands in logs names no secret."""
    with pytest.raises(SystemExit):
        main(["run", "j.toml", "--set", "storage=postgresql://me:secret@db/x"])
    message = capsys.readouterr().err
    assert "postgresql://***@db/x" in message
    assert "secret" not in message


def test_version(capsys):
    """`--version` names the program."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("tuner ")


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:secret@db/x", "postgresql://***@db/x"),
        ("https://secret@host/x", "https://***@host/x"),
        ("mysql://me:se/cr@et@db", "mysql://***@db"),
        ("at 'mysql://me:secret@db' and http://x", "at 'mysql://***@db' and http://x"),
        ("http://h/x?token=secret&a=1", "http://h/x?token=***&a=1"),
        ("postgresql://db/x?user=me&password=secret", "postgresql://db/x?user=me&password=***"),
        ("sqlite:////home/me@work/m.db", "sqlite:////home/me@work/m.db"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_secrets_in_urls_are_masked(text, masked):
    """User info and secret query fields vanish; paths and plain text stay."""
    assert mask_secrets(text) == masked


# ---- bad input, through the real search

TEXT = ["a"] * 60
BAD_INPUT = {
    "no job file": ("", None, ["--job-gone"], "must be readable", "gone.toml"),
    "broken TOML": ("[search\n", None, [], "valid TOML", "job.toml"),
    "empty table": ("", rows().iloc[:0], [], "at least 1 row", "0 sample(s)"),
    "one class": ("", rows().assign(label="no"), [], "at least 2 classes", "1 class: 'no'"),
    "a class of one row": ("", rows().assign(label=["no"] * 59 + ["yes"]), [], "at least 2 rows", "'yes'"),
    "target column missing": ("", rows().drop(columns="label"), [], "must name a column", "'label'"),
    "target with NaN": (
        "",
        rows().assign(label=["no", "yes", None] * 20),
        [],
        "no missing values",
        "20 missing",
    ),
    "infinite feature": ("", rows().assign(size=[np.inf] + [1.0] * 59), [], "finite or missing", "infinity"),
    "unknown metric": ('[objective]\nmetric = "log_lss"\n', None, [], "`objective.metric` must", "'log_lss'"),
    "unknown family": ('[search]\nfamilies = ["lightgmb"]\n', None, [], "known one", "'lightgmb'"),
    "unknown key": ("[search]\nmax_trails = 5\n", None, [], "known one", "`search.max_trails`"),
    "unknown key set": ("", None, ["--set", "final.modle=bag"], "known one", "`final.modle`"),
    "metric of another task": ('[objective]\nmetric = "rmse"\n', None, [], "`rmse` needs", "binary target"),
    "one group": ('groups = "customer"\n', rows().assign(customer=1), [], "at least 2 groups", "1 group"),
    "group missing": (
        'groups = "customer"\n',
        rows().assign(customer=[None] + [1, 2, 3] * 19 + [1, 2]),
        [],
        "`groups` must have no missing",
        "1 missing",
    ),
    "time missing": (
        'time = "month"\n',
        rows().assign(month=[None, *range(59)]),
        [],
        "`time` must have no missing",
        "1 missing",
    ),
    "time of words": ('time = "month"\n', rows().assign(month=TEXT), [], "numbers or dates", "a"),
    "no column varies": ("", rows()[["label"]].assign(same=1), [], "must vary", "1 columns"),
    "target alone": ("", rows()[["label"]], [], "at least 1 column", "0 feature(s)"),
    "negative weight": (
        'sample_weight = "weight"\n',
        rows().assign(weight=[-1.0] + [1.0] * 59),
        [],
        "must not be negative",
        "-1.0",
    ),
    "all weights zero": ('sample_weight = "weight"\n', rows().assign(weight=0.0), [], "all zero", "zeros"),
    "weights of words": ('sample_weight = "weight"\n', rows().assign(weight=TEXT), [], "sample_weight", "a"),
    "duplicate columns": (
        "",
        rows().rename(columns={"month": "size"}),
        [],
        "Column names must be unique",
        "['size'] more than once",
    ),
    "bbc with time": ('time = "month"\n[final]\nestimate = "bbc"\n', None, [], "forward", "bbc"),
    "open task": ("", rows().assign(label=range(60)), [], "integer target", "60 distinct values"),
    "regression of words": ('task = "regression"\n', None, [], "must be numeric", "'"),
    "no end": ('[search]\ntime_budget = "none"\n', None, [], "must have an end", "None"),
    "storage without URL": ('[storage]\nurl = "x.db"\n', None, [], "database URL", "x.db"),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_78_and_leaves_nothing_behind(job, case, capsys):
    """Rule, value and cure reach the user; neither store nor model nor folder appears anywhere."""
    more, table, extra, rule, value = BAD_INPUT[case]
    stores = '\n[tracking]\nuri = "sqlite:///mlflow.db"\n'
    stores += "" if "[storage]" in more else '[storage]\nurl = "sqlite:///tuner.db"\n'
    path = job(more + stores, table)
    target = path.parent / "gone.toml" if extra == ["--job-gone"] else path
    before = sorted(path.parent.iterdir())
    arguments = [each for each in extra if each != "--job-gone"]
    assert main(["run", str(target), "--json", *arguments]) == 78
    out = json.loads(capsys.readouterr().out)
    assert rule in out["rule"]
    assert value in out["value"]
    assert out["cure"]
    assert sorted(path.parent.iterdir()) == before
    assert list(Path.cwd().iterdir()) == []


# ---- the whole way, as a process


def tuner(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m tuner`` and return what it wrote."""
    command = [sys.executable, "-m", "tuner", *arguments]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


SMALL = (
    "[search]\nmax_trials = 2\nseed = 0\nn_folds = 3\nouter_folds = 3\n"
    '[final]\nestimate = "nested"\n[tracking]\nuri = "sqlite:///mlflow.db"\n'
)


# MLflow on SQLite uses a loader strategy that SQLAlchemy has deprecated.
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.slow
def test_a_small_job_end_to_end(job):
    """Two trials: one JSON line on stdout, progress on stderr, the run in the store beside the job."""
    from mlflow import MlflowClient

    path = job(SMALL)
    done = tuner("run", str(path), "--json", "--run-key", "k1", cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    out = json.loads(done.stdout)
    assert out["status"] == "done"
    assert sum(out["trials"].values()) == 2
    assert out["estimate"]["low"] <= out["estimate"]["value"] <= out["estimate"]["high"]
    assert out["tracking_uri"] == f"sqlite:///{path.parent}/mlflow.db"
    assert "trial" in done.stderr
    assert "Warning" not in done.stderr
    run = MlflowClient(out["tracking_uri"]).get_run(out["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["tuner.job_key"] == out["job_key"]
    assert run.data.tags["tuner.study"] == out["study"]
    assert out["job_key"].startswith("churn+k1-")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(job):
    """With max_trials as the only limit, two processes agree on every number but the clock's."""
    path = str(job(SMALL))
    first, second = (
        json.loads(tuner("run", path, "--json", "--set", "search.n_jobs=1", cwd=Path.cwd()).stdout)
        for _ in range(2)
    )
    volatile = {"seconds", "run_id", "model_uri"}
    assert {k: v for k, v in first.items() if k not in volatile} == {
        k: v for k, v in second.items() if k not in volatile
    }


@pytest.mark.slow
def test_text_output_end_to_end(job):
    """Without --json the summary ends with the command that opens the store."""
    path = job(SMALL)
    done = tuner("run", str(path), cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert "log_loss" in done.stdout
    assert f"mlflow ui --backend-store-uri sqlite:///{path.parent}/mlflow.db\n" in done.stdout


@pytest.mark.slow
def test_sigterm_ends_the_process_with_143(job):
    """A scheduler's SIGTERM ends a long run soon, with an error object instead of a traceback."""
    path = job(SMALL.replace("max_trials = 2", "max_trials = 100000"))
    command = [sys.executable, "-m", "tuner", "run", str(path), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "trial" in line:
                break
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert json.loads(out)["code"] == 143


# ---- check


def test_check_prints_findings_and_lets_warnings_pass(job, capsys):
    """A row number is a warning: told on stdout, exit code 0; as JSON the same findings."""
    path = str(job(table=rows().assign(row=np.arange(60))))
    assert main(["check", path]) == 0
    assert "G004 (warning): Column `month`, `row`" in capsys.readouterr().out
    assert main(["check", path, "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["status"] == "done"
    assert "G004" in [each["code"] for each in out["checks"]]


def test_check_of_good_rows_says_so(job, capsys):
    """Nothing found is an answer, too."""
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    assert main(["check", str(job(table=table.assign(label=np.arange(60) % 2)))]) == 0
    assert capsys.readouterr().out == "No check has found anything.\n"


@pytest.mark.parametrize("command", ["check", "run"])
def test_an_error_of_a_check_ends_with_78(job, capsys, command):
    """A leak stops both commands with code 78 and the cure; the job file can allow it."""
    table = pd.concat([rows(200), pd.DataFrame({"leak": rows(200)["label"]})], axis=1)
    path = job(table=table)
    assert main([command, str(path), "--json"]) == 78
    out = json.loads(capsys.readouterr().out)
    assert (out["status"], out["code"]) == ("error", 78)
    assert out["value"].startswith("G003: Column `leak`")
    assert out["cure"].endswith('allow=["G003"]. (In a job file: under [checks].)')
    assert main(["check", str(job('[checks]\nallow = ["G003"]\n', table))]) == 0


# ---- runs that are done, held or stopped


@pytest.mark.slow
@MLFLOW_WARNS
@MLFLOW_WARNS_IN_COLOUR
def test_a_job_that_is_done_is_not_run_again(job, capsys, monkeypatch):
    """The same key gives the same object at once; other limits go on with the study; another key runs.

    A report can be asked for by key.
    """
    path = str(job(SMALL + STORED))
    assert main(["run", path, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(["run", path, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == first
    assert captured.err.startswith("Nothing to do: this job is done")
    assert main(["run", path]) == 0
    assert capsys.readouterr().out.startswith("estimate")
    assert main(["run", path, "--json", "--set", "search.max_trials=3"]) == 0
    longer = json.loads(capsys.readouterr().out)
    assert (first["trials"]["finished"], longer["trials"]["finished"]) == (2, 3)
    assert longer["run_id"] == first["run_id"]  # one tuning run, continued
    assert main(["run", path, "--json", "--run-key", "W48-2"]) == 0  # of another key that begins alike
    capsys.readouterr()
    assert main(["run", path, "--json", "--run-key", "W48"]) == 0
    other = json.loads(capsys.readouterr().out)
    assert (other["study"], other["run_id"] != first["run_id"]) == (first["study"], True)
    monkeypatch.setattr("tuner._tracking.registry.Registry.report", lambda _, run_id: run_id.encode())
    page = Path(path).with_name("page.html")
    assert main(["report", path, "--json", "--run-key", "W48", "--out", str(page)]) == 0
    assert json.loads(capsys.readouterr().out) == {"status": "done", "job": "churn", "path": str(page)}
    assert page.read_text() == other["run_id"]
    for key in ("W4", "W_8", "W48-0123456789ab"):  # a beginning, a wildcard of SQL, and more than the key
        assert main(["report", path, "--json", "--run-key", key, "--out", str(page)]) == 78
        assert f"with run key '{key}'" in json.loads(capsys.readouterr().out)["value"]


def test_a_job_whose_model_mlflow_lacks_is_not_done(job, capsys, monkeypatch):
    """It runs again, as the store keeps no model; once MLflow has everything, there is nothing to do."""
    there = fake_result().tracking
    away = TrackingInfo("http://x", None, "churn", None, None, 0, 4, ("connection: refused",))
    results = iter([fake_result(tracking=away), fake_result(tracking=there)])

    def tune_checked(checked, _config, context, **_):
        context.store.open(seed=0, spaces=checked.settings.spaces, lag=4)
        return next(results)

    monkeypatch.setattr("tuner.jobs.tune_checked", tune_checked)
    path = str(job(STORED))
    for model_uri in (None, there.model_uri):
        assert main(["run", path, "--json"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["model_uri"] == model_uri
        assert "Nothing to do" not in captured.err
    assert main(["run", path, "--json"]) == 0
    assert capsys.readouterr().err.startswith("Nothing to do")


@pytest.mark.slow
@MLFLOW_WARNS
@MLFLOW_WARNS_IN_COLOUR
def test_a_changed_job_is_a_new_study_that_begins_with_the_old_winner(job, capsys):
    """Another space: another study, whose first trials are the default and the old winner, as it now fits."""
    import optuna

    small = SMALL.replace("max_trials = 2", 'families = ["linear"]\nmax_trials = 5') + STORED
    path = job(small)
    studies = []
    for changes in ([], ["--set", "search.space.linear.numeric=standardize"]):
        assert main(["run", str(path), "--json", *changes]) == 0
        name = json.loads(capsys.readouterr().out)["study"]
        studies.append(optuna.load_study(study_name=name, storage=f"sqlite:///{path.parent}/tuner.db"))
    old, new = studies
    assert old.study_name != new.study_name
    winner = {**old.best_trial.params}
    winner.pop("linear.numeric")  # fixed now
    assert winner in [trial.params for trial in new.trials[:2]]


def test_a_second_run_ends_with_75_at_once(job, capsys):
    """While another process holds the study nothing is read or changed."""
    path = job(SMALL + STORED)
    config, dataset, context = _opened(path, (), "")
    with TrialStore(config.storage, context.study_name):
        assert main(["run", str(path), "--json"]) == 75
    out = json.loads(capsys.readouterr().out)
    assert (out["status"], out["code"]) == ("error", 75)
    assert out["rule"] == "One run at a time may continue a study."
    assert dataset.n_rows == 60


@pytest.mark.slow
@MLFLOW_WARNS
@MLFLOW_WARNS_IN_COLOUR
def test_what_mlflow_misses_is_synced(job, capsys, monkeypatch):
    """With MLflow away a run ends all the same; `sync` writes its trials and its summary, once."""
    from mlflow import MlflowClient

    for name in ("FLUSH_SECONDS", "PATIENT_FLUSH_SECONDS"):
        monkeypatch.setattr(f"tuner._line.listeners.{name}", 0.2)
    path = str(job(SMALL + STORED))
    away = ["--set", f"tracking.uri=http://127.0.0.1:{free_port()}"]
    assert main(["run", path, "--json", *away]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["run_id"] is None
    assert said["problems"]
    rows(70).to_csv(Path(path).parent / "rows.csv", index=False)  # the table has grown since
    with monkeypatch.context() as patched:
        patched.setattr("tuner._line.listeners.CONNECT_SECONDS", 0.2)
        assert main(["sync", path, "--json", *away]) == 1
    assert json.loads(capsys.readouterr().out)["rule"] == "MLflow must take every trial."
    assert main(["sync", path, "--json", "--run-key", "another"]) == 78
    assert json.loads(capsys.readouterr().out)["cure"].startswith("Give the --run-key that it was run with;")
    for _ in range(2):
        assert main(["sync", path, "--json"]) == 0
        synced = json.loads(capsys.readouterr().out)
    client = MlflowClient(synced["tracking_uri"])
    runs = client.search_runs([client.get_experiment_by_name("churn").experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    keys = {run.data.tags["tuner.trial_key"] for run in children}
    assert len(children) == len(keys) == synced["n_logged"] > 2
    parent = client.get_run(synced["run_id"])
    [used] = parent.inputs.dataset_inputs
    plan = {tag.key: tag.value for tag in used.tags}["tuner.fold_plan_hash"]
    assert plan == parent.data.tags["tuner.fold_plan_hash"]
    assert parent.info.status == "FINISHED"
    assert "estimate" in parent.data.metrics


def test_sync_says_what_it_needs(job, capsys):
    """No store, or a job that was never run: rule, value, cure."""
    assert main(["sync", str(job()), "--json"]) == 78
    assert "[storage]" in json.loads(capsys.readouterr().out)["cure"]
    path = job(STORED)
    assert main(["sync", str(path), "--json"]) == 78
    assert json.loads(capsys.readouterr().out)["cure"] == "Run the job."
    assert sorted(each.name for each in path.parent.iterdir()) == ["job.toml", "rows.csv"]


def test_a_report_that_cannot_be_written_is_an_input_error(job, capsys, monkeypatch):
    """Rule, value and cure in place of a traceback, where the folder of --out is missing."""
    registry = SimpleNamespace(version=lambda _: None, last_report=lambda *_: b"<html>")
    monkeypatch.setattr("tuner._schedule.views.Registry", lambda *_: registry)
    monkeypatch.setattr("tuner._schedule.views.is_there", lambda _: True)
    assert main(["report", str(job()), "--json", "--out", "missing/page.html"]) == 78
    out = json.loads(capsys.readouterr().out)
    assert out["value"] == "missing/page.html: No such file or directory"
    assert "--out" in out["cure"]


@MLFLOW_WARNS
@MLFLOW_WARNS_IN_COLOUR
def test_a_stopped_run_says_what_it_has(job, capsys, monkeypatch):
    """The first signal ends the run with its best so far; trials stay in the store for the next run."""
    path = job(SMALL.replace("max_trials = 2", "max_trials = 4") + STORED)
    save = TrialStore.save

    def stop_after_two(self, record):
        save(self, record)
        if record.number == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrialStore, "save", stop_after_two)
    assert main(["run", str(path), "--json", "--set", "tracking.uri=sqlite:///other.db"]) == 130
    out = json.loads(capsys.readouterr().out)
    assert out["value"].startswith("SIGINT after 2 trials, kept in the trial store; best log_loss so far ")
    assert out["cure"] == "Run the command again."


@pytest.mark.slow
def test_a_second_signal_ends_the_process_at_once(job):
    """Where the run does not end at the first SIGTERM, the second does not wait for it."""
    path = job(SMALL.replace("max_trials = 2", "max_trials = 100000"))
    code = (
        "import sys, time, tuner.jobs, tuner.cli\n"
        "def stubborn(*args, **kwargs):\n"
        "    try:\n"
        "        print('running', file=sys.stderr, flush=True); time.sleep(60)\n"
        "    finally:\n"
        "        print('ending', file=sys.stderr, flush=True); time.sleep(60)\n"
        "tuner.jobs.run_job = stubborn\n"
        f"sys.exit(tuner.cli.main(['run', {str(path)!r}]))\n"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith(("running", "ending")):
                process.send_signal(signal.SIGTERM)
            if line.startswith("ending"):
                break
        assert process.wait(timeout=10) == 143
