"""What runs of one process share: set by the first, taken back by the last, whatever the order."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tuner._process.threads import Shared, one_thread_a_fit

ROOT = Path(__file__).parents[1]


def test_the_last_to_leave_takes_it_back():
    """Entered twice and left twice, the state is set once and taken back once, at the end."""
    steps = []

    @contextmanager
    def state():
        steps.append("set")
        yield
        steps.append("back")

    shared = Shared(state)
    first, second = ExitStack(), ExitStack()
    first.enter_context(shared)
    second.enter_context(shared)
    first.close()
    assert steps == ["set"]
    second.close()
    assert steps == ["set", "back"]
    with shared:
        assert steps == ["set", "back", "set"]


SIDE_BY_SIDE = """
import threading, warnings
import numpy
from threadpoolctl import ThreadpoolController
from tuner._process.threads import one_thread_a_fit

blas = ThreadpoolController().select(user_api="blas")
blas.limit(limits=2)
with blas.limit(limits=None):
    pass
filters = list(warnings.filters)
first_is_in, second_is_in, first_is_out, second_may_go = (threading.Event() for _ in range(4))

def look():
    print({each["num_threads"] for each in blas.info()}, warnings.filters == filters)

def first():
    with one_thread_a_fit():
        look()
        first_is_in.set()
        second_is_in.wait()
    look()
    first_is_out.set()
    second_may_go.wait()

def second():
    first_is_in.wait()
    with one_thread_a_fit():
        second_is_in.set()
        first_is_out.wait()
    look()
    second_may_go.set()

look()
threads = [threading.Thread(target=each) for each in (first, second)]
for each in threads:
    each.start()
for each in threads:
    each.join()
look()
"""


def test_runs_side_by_side_leave_the_process_as_it_was():
    """Two threads of BLAS are one while either run goes on, and two again afterwards; so with the filters."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["{2} True", "{1} False", "{1} False", "{2} True", "{2} True"]


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning")
def test_autologging_is_off_in_a_run():
    """Who has switched it on gets no run for each fit, tracked or not, and has it again afterwards."""
    autologging = pytest.importorskip("mlflow.utils.autologging_utils")
    with one_thread_a_fit():
        assert autologging._AUTOLOGGING_GLOBALLY_DISABLED
    assert not autologging._AUTOLOGGING_GLOBALLY_DISABLED
