"""HTTP API beside the pages, under `/api/v1`: live predictions, models, datasets, error metrics and the store's tables.

Predictions go through the predictor of the page Predict, so both share its queue, its warm models and its limits. The
description of all routes is at `/api/v1/openapi.json`.
"""

import math
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from app.live import predictor
from engine.errors import DatasetError, EngineError, RegistryError, ScopeError, SettingsError, StoreError
from engine.queries import catalog, error_metrics, store_tables
from engine.queries.scope import ALL, Scope
from engine.readers.sandbox import OverloadError, read_in_sandbox
from engine.readers.uploads import MAX_BYTES
from engine.relaxations import CELLS, OPTIMIZERS, Relaxation, RelaxationOptions
from engine.store import connection
from engine.volume_scans import FEWEST, LARGEST_RANGE, LEAST_RANGE, MOST, Scanned, VolumeScan
from precompute.live import defects
from precompute.live.calculations import LARGEST_FORCE, LEAST_FORCE, MOST_STEPS, Calculation
from precompute.live.predictor import MAX_MODELS_PER_JOB
from precompute.live.tasks import TaskState

TITLE = "Defect Atlas"

MAX_BODY = 2 * MAX_BYTES
"""Bytes of a request: a structure of `MAX_BYTES` whose line ends are escaped."""

_STATUS: dict[type[EngineError], int] = {
    DatasetError: 422,
    ScopeError: 422,
    RegistryError: 404,
    SettingsError: 429,
    OverloadError: 503,
    StoreError: 503,
}
_CHUNK = 1 << 20

Alignment = Literal["raw", "per_element", "crystal"]


class RelaxationRequest(BaseModel):
    """How a structure is relaxed; within the limits that the page Predict has."""

    fmax: float = Field(default=0.01, ge=LEAST_FORCE, le=LARGEST_FORCE, description="Largest force when relaxed, eV/Å.")
    steps: int = Field(default=200, ge=1, le=MOST_STEPS, description="Largest number of steps.")
    cell: Literal[CELLS] = Field(default="fixed", description="free: lengths and angles follow the stress.")  # type: ignore[valid-type]
    optimizer: Literal[OPTIMIZERS] = Field(default="fire", description="Of ASE.")  # type: ignore[valid-type]


class ScanRequest(BaseModel):
    """At which volumes energies are computed for an equation of state."""

    n_volumes: int = Field(default=9, ge=FEWEST, le=MOST, description="Number of volumes.")
    strain: float = Field(
        default=0.06, ge=LEAST_RANGE, le=LARGEST_RANGE, description="Largest relative change of the volume."
    )


class PredictionRequest(BaseModel):
    """A structure, the models that are asked, and what they compute."""

    structure: str = Field(max_length=MAX_BYTES, description="Text of a POSCAR, CIF or extended XYZ file.")
    models: list[str] = Field(min_length=1, max_length=MAX_MODELS_PER_JOB, description="Ids as /models lists them.")
    name: str = Field("structure", max_length=200, description="File name; its ending may tell the format.")
    task: Literal["single_point", "relax", "equation_of_state"] = Field("single_point", description="What to compute.")
    relaxation: RelaxationRequest = Field(RelaxationRequest(), description="Options of relax.")
    scan: ScanRequest = Field(ScanRequest(), description="Options of equation_of_state.")
    crystal: str | None = Field(
        None, max_length=MAX_BYTES, description="A perfect crystal that gets the same, for the energy of a defect."
    )

    def calculation(self) -> Calculation:
        """The task with its options."""
        options = RelaxationOptions(**self.relaxation.model_dump())
        return Calculation(self.task, options, VolumeScan(**self.scan.model_dump()))


class RelaxedPath(BaseModel):
    """A relaxation, whose energy and forces are those of the last step. Positions and cells in Å."""

    n_steps: int
    is_converged: bool
    positions: list[list[float]]
    cell: list[list[float]]
    frame_steps: list[int] = Field(description="Steps that the trajectory keeps.")
    frame_energies: list[float]
    frame_max_forces: list[float]
    frame_positions: list[list[list[float]]]


class Curve(BaseModel):
    """Energies over volume (eV, Å³), and the Birch-Murnaghan curve through them where the minimum is bracketed."""

    volumes: list[float]
    energies: list[float]
    volume: float | None = Field(default=None, description="At the lowest energy, Å³.")
    bulk_modulus_gpa: float | None = None
    derivative: float | None = None
    residual: float | None = Field(
        default=None, description="Root mean square distance of the energies from the curve, eV."
    )
    reason: str = Field(default="", description="Why there is no curve.")


class Remark(BaseModel):
    """What was understood of a structure, or what to mind about it."""

    name: str
    is_fine: bool
    text: str


class Task(BaseModel):
    """One model's part of a job. Energies in eV, forces in eV/Å, stress in eV/Å³ (Voigt order, positive in tension)."""

    model: str
    state: str = Field(description="queued, loading the model, computing, done, failed or cancelled")
    place: int = Field(description="Place in the queue, 1 for the next one; 0 when it does not wait.")
    message: str
    seconds: float
    energy: float | None = None
    forces: list[list[float]] | None = None
    stress: list[float] | None = None
    n_done: int = Field(default=0, description="Steps or volumes that are done.")
    estimate: float | None = Field(
        default=None,
        description="Seconds until the result, at most for a relaxation; none before the first one of a model.",
    )
    relaxation: RelaxedPath | None = None
    equation_of_state: Curve | None = None
    defect_energy: float | None = Field(
        default=None, description="Energy above the perfect crystal that was given, eV."
    )
    no_defect_energy: str | None = Field(default=None, description="Why there is none, where a crystal was given.")
    origin: dict[str, str] = Field({}, description="Device, hardware, package versions and checksum of the weights.")


class Job(BaseModel):
    """Progress and results of a job; `id` is also the parameter `job` of the page Predict."""

    id: str
    task: str
    is_open: bool
    tasks: list[Task]
    remarks: list[Remark] = []


class ModelEntry(BaseModel):
    """A model as a visitor may choose it."""

    id: str
    label: str
    family: str
    training_sets: list[str]
    energy_reference: str
    elements: list[str]
    runs_here: bool
    why_not: str


class Problem(BaseModel):
    """Why a request was refused, and what to do."""

    detail: str


_REFUSED: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 403, 404, 411, 413, 422, 429, 503)
}


def make_api() -> FastAPI:
    """The application, to be mounted under `/api/v1`."""
    api = FastAPI(title=TITLE, version="1", docs_url=None, redoc_url=None, responses=_REFUSED)
    api.add_exception_handler(EngineError, _refused)
    api.add_exception_handler(RequestValidationError, _not_as_described)
    api.middleware("http")(_limit_body)
    api.post("/predict", status_code=202)(predict)
    api.get("/jobs/{job}")(read_job)
    api.delete("/jobs/{job}")(cancel_job)
    api.get("/models")(list_models)
    api.get("/datasets")(list_datasets)
    api.get("/metrics")(list_metrics)
    api.get("/tables")(list_tables)
    api.get("/tables/{name}.parquet", response_class=Response)(download_table)
    api.get("/store.duckdb", response_class=Response)(download_store)
    return api


# Predictions


def predict(asked: PredictionRequest, request: Request) -> Job:
    """Queue a structure for some models; the job's id leads to its results."""
    upload = read_in_sandbox(asked.name, asked.structure.encode(errors="replace"))
    crystal = None
    if asked.crystal is not None:
        crystal = read_in_sandbox("crystal", asked.crystal.encode(errors="replace")).configuration
    job = predictor().submit(
        _visitor(request), upload.configuration, asked.models, asked.calculation(), crystal, address=_address(request)
    )
    remarks = [Remark(name=check.name, is_fine=check.is_fine, text=check.text) for check in upload.checks]
    return _job(job).model_copy(update={"remarks": remarks})


def read_job(job: str) -> Job:
    """State of a job, with the results that are there."""
    return _job(job)


def cancel_job(job: str, request: Request) -> Job:
    """End what is still open of a job; only from where it was asked for."""
    if not predictor().cancel(job, _visitor(request)):
        raise HTTPException(403, "Somebody else asked for this job, and can cancel it.")
    return _job(job)


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _visitor(request: Request) -> str:
    return f"api-{_address(request) or 'unknown'}"


def _job(name: str) -> Job:
    job, tasks = predictor().job(name), predictor().tasks(name)
    if job is None or not tasks:
        raise HTTPException(404, f"There is no job {name[:40]}, or its results are no longer kept. Predict again.")
    crystals = predictor().crystal_tasks(name)
    found = [_task(task) for task in tasks]
    for one, task, crystal in zip(found, tasks, crystals, strict=False):
        defect = defects.energy(job, task, crystal)
        one.defect_energy, one.no_defect_energy = defect.energy, defect.reason or None
    is_open = any(task.is_open for task in [*tasks, *crystals])
    return Job(id=name, task=job.calculation.task, is_open=is_open, tasks=found)


def _task(task: TaskState) -> Task:
    found = task.prediction if task.prediction and task.prediction.status == "ok" else None
    return Task(
        model=task.model_id,
        state=task.state,
        place=task.place,
        message=task.message,
        seconds=round(task.seconds, 3),
        energy=found.energy if found else None,
        forces=found.forces.tolist() if found and found.forces is not None else None,
        stress=found.stress.tolist() if found and found.stress is not None else None,
        n_done=task.n_done,
        estimate=task.estimate,
        relaxation=_path(task.relaxation),
        equation_of_state=None if task.scan is None else _curve(task.scan),
        origin=task.record,
    )


def _path(found: Relaxation | None) -> RelaxedPath | None:
    if found is None or found.trajectory is None or found.positions is None or found.cell is None:
        return None
    way = found.trajectory
    return RelaxedPath(
        n_steps=found.n_steps,
        is_converged=found.is_converged,
        positions=found.positions.tolist(),
        cell=found.cell.tolist(),
        frame_steps=way.steps.tolist(),
        frame_energies=way.energies.tolist(),
        frame_max_forces=way.max_forces.tolist(),
        frame_positions=way.positions.tolist(),
    )


def _curve(scan: Scanned) -> Curve:
    points = {"volumes": scan.volumes.tolist(), "energies": scan.energies.tolist()}
    if (curve := scan.curve) is None:
        return Curve(**points, reason=scan.reason)
    names = ("volume", "bulk_modulus_gpa", "derivative", "residual")
    return Curve(**points, **{name: getattr(curve, name) for name in names})


# The store


def list_models() -> list[ModelEntry]:
    """All models of the registry, and whether each can be asked here."""
    return [
        ModelEntry(
            id=model.model_id,
            label=model.label,
            family=model.family,
            training_sets=list(model.training_sets),
            energy_reference=model.energy_reference,
            elements=list(model.elements),
            runs_here=not model.why_not,
            why_not=model.why_not,
        )
        for model in predictor().models()
    ]


def list_datasets() -> list[dict[str, Any]]:
    """Datasets of the store."""
    return _records(catalog.datasets())


def list_metrics(
    dataset: Annotated[list[str] | None, Query(description="Ids; all by default.")] = None,
    model: Annotated[list[str] | None, Query(description="Ids; all by default.")] = None,
    group: Annotated[str, Query(description="A group of structures.")] = ALL,
    align: Annotated[Alignment, Query(description="How energies are made comparable.")] = "per_element",
) -> list[dict[str, Any]]:
    """Error metrics of models on datasets, with 95 % bounds; units are in the names."""
    known = set(catalog.datasets()["dataset_id"])
    if unknown := [name for name in dataset or () if name not in known]:
        raise HTTPException(404, f"There is no dataset {unknown[0][:80]}. /datasets lists them.")
    table = error_metrics.dataset_metrics(align, Scope.of(*(dataset or ()), group=group))
    return _records(table if model is None else table[table["model_id"].isin(model)])


def list_tables() -> list[str]:
    """Names of the store's tables."""
    return store_tables.names()


def download_table(name: str) -> Response:
    """One table of the store as Parquet."""
    if name not in list_tables():
        raise HTTPException(404, f"There is no table {name[:80]}. /tables lists them.")
    return StreamingResponse(
        _parquet(name),
        media_type="application/vnd.apache.parquet",
        headers={"Content-Disposition": f'attachment; filename="{name}.parquet"'},
    )


def download_store() -> Response:
    """The whole store, a DuckDB file."""
    return FileResponse(connection.store_path(), media_type="application/vnd.duckdb", filename="defect-atlas.duckdb")


def _parquet(name: str) -> Iterator[bytes]:
    """A table's file, written to disk first so that no table must fit into memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.parquet"
        connection.write_parquet(name, path)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which has no NaN."""
    rows: list[dict[str, Any]] = table.astype(object).to_dict(orient="records")
    return [{str(name): _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if hasattr(value, "tolist"):  # of numpy
        return _plain(value.tolist())
    return value if value is None or isinstance(value, str | int | bool) else str(value)


# Refusals


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    """An error of ours with the status that fits it; subclasses count as the nearest class named."""
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    return JSONResponse({"detail": str(error)}, status)


async def _not_as_described(_request: Request, error: Exception) -> JSONResponse:
    """One sentence for each part of a request that is not as described."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    parts = [f"{'.'.join(str(place) for place in one['loc'][1:]) or 'the body'}: {one['msg']}" for one in found]
    return JSONResponse({"detail": "; ".join(parts)[:2000]}, 422)


async def _limit_body(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse a body that is too large by its header, or that hides its size."""
    if request.method in ("POST", "PUT", "PATCH"):
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return JSONResponse({"detail": "Send the length of the body (Content-Length)."}, 411)
        if int(length) > MAX_BODY:
            return JSONResponse({"detail": f"At most {MAX_BODY / 1e6:.0f} MB are read."}, 413)
    return await go_on(request)
