"""The threads that a stage runs its fits in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event


@contextmanager
def cancellable_pool(n_workers: int, name: str, cancelled: Event) -> Iterator[ThreadPoolExecutor]:
    """Yield a pool that an error or an interrupt inside ends at once.

    What waits is not begun; fits in flight end at their next step, if their `Stop` looks at ``cancelled``.
    """
    with ThreadPoolExecutor(n_workers, thread_name_prefix=name) as pool:
        try:
            yield pool
        except BaseException:
            cancelled.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
