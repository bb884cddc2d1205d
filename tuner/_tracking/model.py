"""The final model in MLflow: logged with its code and signature, of trusted types only, and registered.

Everything goes through one `MlflowClient`, so the user's global tracking URI is never touched
(`mlflow.models.Model.log` reads it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tuner._rows.table import is_named
from tuner._tracking.items import DIGEST
from tuner._tracking.write import log_files

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature
    from mlflow.types import Schema

    from tuner._model import Delivered

MODEL_NAME = "model"
CHAMPION = "champion"  # the alias of the version that predicts
REFERENCE = "tuner.reference"  # a version's tag: the folder of what it remembers
REFERENCE_FOLDER = "reference"  # where versions without that tag have it
# What a delivered model may be made of besides what skops trusts by itself; other types are an error.
TRUSTED_MODULES = (
    "tuner._model.",
    "tuner._rows.preparation.",
    "tuner._rows.table.",
    "tuner._rows.columns.",
    "tuner.families.",
)
TRUSTED_TYPES = frozenset({"numpy.dtype", "scipy.sparse._csr.csr_matrix"})
# What `import tuner._model` and prediction need; MLflow adds itself.
REQUIRED_PACKAGES = ("lightgbm", "numpy", "optuna", "pandas", "scikit-learn", "scipy", "skops")


class UntrustedTypeError(TypeError):
    """The model holds a type that is not on the allow-list, so it is not logged."""


def import_what_logs_models() -> None:
    """Spend the second this takes while the search runs.

    On the way MLflow infers schemas from type hints of its own and warns of them. It means to keep that to
    itself, by a setting of `warnings` that `catch_warnings` in another thread undoes: so it is kept here.
    """
    hints: Any = import_module("mlflow.types.type_hints")
    warn = hints.color_warning
    hints.color_warning = lambda **_: None
    try:
        for name in ("mlflow.pyfunc", "mlflow.sklearn", "skops.io"):
            import_module(name)
    finally:
        hints.color_warning = warn


def log_model(client: MlflowClient, run_id: str, experiment_id: str, model: Delivered, sample: Any) -> str:
    """Log the model to a run and return its id (``models:/<id>`` loads it).

    A model that a killed part of the run has logged, and that predicts the same, is not logged again.

    Parameters
    ----------
    client : MlflowClient
    run_id, experiment_id : str
        The run that owns the model.
    model : DeliveredClassifier or DeliveredRegressor
    sample : pandas or polars frame, array or sparse matrix
        A few raw input rows, for the signature.

    Raises
    ------
    UntrustedTypeError
        If the model holds a type that is not on the allow-list.
    """
    import mlflow.sklearn
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    trusted = trusted_types(model)
    signature = infer_signature(model, sample)
    digest = _digest(model, sample)
    earlier = _logged_before(client, run_id, experiment_id, digest)
    if earlier is not None:
        return earlier
    logged = client.create_logged_model(
        experiment_id,
        name=MODEL_NAME,
        source_run_id=run_id,
        model_type=type(model).__name__,
        tags={DIGEST: digest},
    )
    finished = False
    try:
        with TemporaryDirectory(prefix="tuner-model-") as folder:
            path = Path(folder) / MODEL_NAME
            mlflow.sklearn.save_model(
                model,
                path,
                mlflow_model=Model(
                    artifact_path=logged.artifact_location,
                    model_uuid=logged.model_id,
                    run_id=run_id,
                    model_id=logged.model_id,
                ),
                serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_SKOPS,
                skops_trusted_types=trusted,
                signature=signature,
                code_paths=code_paths(),
                pip_requirements=pip_requirements(),
                pyfunc_predict_fn=_predict_name(model),
            )
            client.log_model_artifacts(logged.model_id, str(path))
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        finished = True
    finally:
        client.finalize_logged_model(logged.model_id, "READY" if finished else "FAILED")
    return str(logged.model_id)


def _digest(model: Delivered, sample: Any) -> str:
    """Return what tells models of one run apart: what they are made of and what they predict."""
    members = (
        [] if model.blended is None else [(m.family, m.weight, len(m.models)) for m in model.blended.members]
    )
    output = np.asarray(getattr(model, _predict_name(model))(sample), dtype=np.float64)
    return hashlib.sha256(repr(members).encode() + output.tobytes()).hexdigest()[:16]


def _logged_before(client: MlflowClient, run_id: str, experiment_id: str, digest: str) -> str | None:
    """Return the run's finished model with this digest; what was broken off becomes FAILED."""
    found = None
    for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if str(model.status) == "READY" and model.tags.get(DIGEST) == digest:
            found = str(model.model_id)
        elif str(model.status) == "PENDING":
            client.finalize_logged_model(model.model_id, "FAILED")
    return found


def register_model(
    client: MlflowClient,
    name: str,
    model_id: str,
    run_id: str,
    tags: Mapping[str, str],
    files: Mapping[str, bytes],
) -> str:
    """Make the logged model a version of a registered model, created if needed; return the version.

    A version that a killed part of the run has made of it stays the only one. Where there is no
    champion, it becomes that.

    Parameters
    ----------
    files : mapping
        What the version remembers, name to bytes: logged first, beside what other models of the run remember.
    """
    from mlflow.exceptions import MlflowException

    if files:
        folder = f"{REFERENCE_FOLDER}/{model_id}"
        log_files(client, run_id, {}, {f"{folder}/{file}": content for file, content in files.items()})
        tags = {**tags, REFERENCE: folder}
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise
    source = f"models:/{model_id}"
    if not client.tracking_uri.startswith(("http", "databricks")):
        # A database store would look the id up in the global tracking URI, which may be another store.
        source = client.get_logged_model(model_id).artifact_location
    made = next(
        (
            earlier
            for earlier in client.search_model_versions(f"run_id = '{run_id}'")
            if earlier.name == name and earlier.source == source
        ),
        None,
    ) or client.create_model_version(
        name, source, run_id=run_id, tags=dict(tags), model_id=model_id, await_creation_for=0
    )
    if CHAMPION not in client.get_registered_model(name).aliases:
        client.set_registered_model_alias(name, CHAMPION, made.version)
    return str(made.version)


def trusted_types(model: Delivered) -> list[str]:
    """Return the types skops has to be told to trust, all of them ours or on the list.

    Raises
    ------
    UntrustedTypeError
        Naming the types that are neither.
    """
    import skops.io

    needed = [str(name) for name in skops.io.get_untrusted_types(data=skops.io.dumps(model))]
    strangers = [n for n in needed if n not in TRUSTED_TYPES and not n.startswith(TRUSTED_MODULES)]
    if strangers:
        raise UntrustedTypeError(
            f"A logged model may hold only types on the allow-list. Got {strangers}. "
            "Store plain arrays, or add the type to `tuner._tracking.model.TRUSTED_TYPES`."
        )
    return needed


def infer_signature(model: Delivered, sample: Any) -> ModelSignature:
    """Return the signature: the input's columns, and probabilities or values as output."""
    from mlflow import models

    output = np.asarray(getattr(model, _predict_name(model))(sample))
    outputs = models.infer_signature(model_output=output).outputs
    return models.ModelSignature(inputs=input_schema(sample), outputs=outputs)


def input_schema(sample: Any) -> Schema:
    """Return MLflow's schema of the input.

    Columns of a table are ``any``, as `tuner` checks and encodes them itself: MLflow's ``double`` refuses
    int64, boolean and nullable columns, its ``string`` categories and columns without any text, its ``long``
    missing values, its ``datetime`` zones and the year 9999. Images and sparse matrices are tensors.
    """
    from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec

    anything: Any = AnyType()  # type: ignore[no-untyped-call]
    if is_named(sample):
        named = all(isinstance(name, str) for name in sample.columns)
        return Schema([ColSpec(anything, name=name if named else None) for name in sample.columns])
    array: Any = sample if sparse.issparse(sample) else np.asarray(sample)
    if array.ndim == 2 and not sparse.issparse(sample):
        return Schema([ColSpec(anything) for _ in range(array.shape[1])])
    return Schema([TensorSpec(np.dtype(array.dtype), (-1, *array.shape[1:]))])


def code_paths() -> list[str]:
    """Return the folders of our two packages."""
    import search_spaces
    import tuner

    return [str(Path(str(package.__file__)).parent) for package in (tuner, search_spaces)]


def pip_requirements(packages: Sequence[str] = REQUIRED_PACKAGES) -> list[str]:
    """Return the packages pinned at the versions in use."""
    return [f"{package}=={version(package)}" for package in packages]


def _predict_name(model: Delivered) -> str:
    return "predict_proba" if hasattr(model, "predict_proba") else "predict"
