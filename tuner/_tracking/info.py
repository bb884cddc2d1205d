"""What the listener is told of a run, and what it reports; standard library only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tuner._model import Delivered

MAX_KEPT_TEXT = 100_000  # characters of an artifact that the trial store keeps as well


@dataclass(frozen=True)
class TrackingInfo:
    """Where a run was tracked, and what is missing there.

    Attributes
    ----------
    uri : str
        Tracking URI, passwords and tokens masked.
    experiment_id : str or None
        None where the store was never reached.
    experiment : str
        Name of the experiment.
    run_id : str or None
        The parent run.
    model_uri : str or None
        ``models:/...`` of the logged model.
    n_logged, n_missing : int
        Trials in the store, and trials that are not (the trial store still has them).
    problems : tuple of str
        What went wrong, one line each; empty where all is well.
    """

    uri: str
    experiment_id: str | None
    experiment: str
    run_id: str | None
    model_uri: str | None
    n_logged: int
    n_missing: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What the parent run says of the rows."""

    name: str
    digest: str
    n_rows: int
    n_columns: int
    fold_plan_hash: str = ""
    target: str = ""


@dataclass(frozen=True, kw_only=True)
class ParentInfo:
    """What the parent run begins with: the trial store keeps it, so that `tuner sync` begins the same.

    Attributes
    ----------
    run_name, study : str
    job_key : str or None
    dataset : DatasetInfo
    """

    run_name: str
    study: str
    job_key: str | None
    dataset: DatasetInfo

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild what ``to_json`` wrote."""
        raw = json.loads(text)
        return cls(**{**raw, "dataset": DatasetInfo(**raw["dataset"])})


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What the parent run gets at the end.

    Attributes
    ----------
    params : mapping
        The config.
    metrics : mapping
        Estimate, optimism, gap, ...; what is not finite is skipped and tagged.
    tags : mapping
    note : str
        The run's description; cut at 8000 characters.
    texts : mapping
        Artifacts: file name to text.
    figures : mapping
        Artifacts under ``figures/``: file name to image bytes.
    model : DeliveredClassifier, DeliveredRegressor or None
    sample : object
        A few raw input rows, for the model's signature.
    register_as : str or None
        Name in the model registry.
    files : mapping
        What a registered version must remember, so it is not registered without: name to bytes, under
        ``reference/`` and the model's id.
    version_tags : mapping
        Of the version.
    """

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    note: str
    texts: Mapping[str, str]
    figures: Mapping[str, bytes]
    model: Delivered | None
    sample: Any
    register_as: str | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    version_tags: Mapping[str, str] = field(default_factory=dict)

    def figure_files(self) -> dict[str, bytes]:
        """Return figures by path."""
        return {f"figures/{name}": image for name, image in self.figures.items()}

    def to_json(self) -> str:
        """Return what is plain text as JSON: neither figures nor the model."""
        plain = ("params", "metrics", "tags", "note")
        texts = {name: text for name, text in self.texts.items() if len(text) <= MAX_KEPT_TEXT}
        return json.dumps({"texts": texts, **{name: getattr(self, name) for name in plain}})

    @classmethod
    def from_json(cls, text: str) -> RunSummary:
        """Return a summary without figures and model."""
        return cls(**json.loads(text), figures={}, model=None, sample=None)
