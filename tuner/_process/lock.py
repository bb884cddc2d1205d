"""One run a study: a lock of the operating system, which a killed process cannot leave behind."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tuner._process.user import user_name
from tuner.exceptions import InputError, LockedError

if TYPE_CHECKING:
    from filelock import FileLock


class StudyLock:
    """The lock of one study in one store.

    Parameters
    ----------
    url : str
        Of the store. For an SQLite file the lock is a file beside it, however its path is spelt; for a
        server it is one in this machine's folder for temporary files, so that two machines are not kept
        apart.
    study_name : str
    """

    def __init__(self, url: str, study_name: str) -> None:
        self._study_name = study_name
        self.path = _lock_path(url, study_name)
        self._held: FileLock | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        LockedError
            At once, if another run has it.
        InputError
            If there is no place for it.
        """
        from filelock import FileLock, Timeout  # a served model does without it

        self._held = FileLock(self.path)
        try:
            self._held.acquire(timeout=0)
        except Timeout as error:
            raise LockedError(
                "One run at a time may continue a study.",
                f"a run that holds {self.path.name}",
                f"Wait for the run of study {self._study_name!r} to end, or stop it.",
            ) from error
        except OSError as error:
            raise InputError(
                "The folder of the trial store must be writable.",
                f"{error.strerror or type(error).__name__}: {self.path.parent}",
                "Choose a `storage` in a folder you may write to.",
            ) from error

    def release(self) -> None:
        """Let the next run in."""
        if self._held is not None:
            self._held.release()


def _lock_path(url: str, study_name: str) -> Path:
    sqlite = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", url)
    database = Path(sqlite[1]) if sqlite else Path()
    if database.name and database.parent.is_dir() and database.name != ":memory:":
        database = database.resolve()
        return database.with_name(f"{database.name}-{_digest(study_name)}.lock")
    number = str(os.getuid()) if hasattr(os, "getuid") else "nobody"
    return Path(tempfile.gettempdir()) / f"tuner-{user_name(number)}" / f"{_digest(url, study_name)}.lock"


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]
