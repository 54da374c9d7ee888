"""Paths inside the data folder, which no other module knows."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "data" / "embedded"


@dataclass(frozen=True)
class DataFolder:
    """Paths inside one data folder; nothing is created here."""

    root: Path

    @classmethod
    def default(cls) -> "DataFolder":
        """The folder in use: of `using`, else named by DEFECT_ATLAS_DATA, else `data` in the repository."""
        return _in_use[-1] if _in_use else cls(Path(os.environ.get("DEFECT_ATLAS_DATA") or ROOT / "data"))

    @property
    def downloads(self) -> Path:
        """Original files, as their source publishes them."""
        return self.root / "downloads"

    def configurations(self, dataset_id: str) -> Path:
        """All configurations of a dataset."""
        return self.root / "datasets" / f"{dataset_id}.parquet"

    def weights(self, model_id: str) -> Path:
        """Folder with the checkpoint files of a model."""
        return self.root / "weights" / model_id

    def predictions(self, dataset_id: str, model_id: str, fingerprint: str = "") -> Path:
        """Folder with prediction files; without a fingerprint, the folder that holds all of them."""
        return self.root / "predictions" / dataset_id / model_id / fingerprint

    def imported(self, dataset_id: str, model_id: str) -> Path:
        """Predictions that were computed elsewhere."""
        return self.root / "imported" / dataset_id / f"{model_id}.parquet"

    def environments(self, dataset_id: str) -> Path:
        """Local environments of a dataset: classes of atoms, and SOAP vectors of a sample."""
        return self.root / "environments" / f"{dataset_id}.parquet"

    def vacancies(self, model_id: str, fingerprint: str) -> Path:
        """Folder with vacancies that a model relaxed, one file per metal and quantity."""
        return self.root / "vacancies" / model_id / fingerprint

    def designs(self, digest: str) -> Path:
        """Folder with what energies and forces of some configurations are linear in, for fits."""
        return self.root / "designs" / digest

    @property
    def learning(self) -> Path:
        """Folder with learning curves, one folder per dataset and labels."""
        return self.root / "learning"

    @property
    def written(self) -> list[Path]:
        """Folders into which commands write file by file, predictions excepted."""
        nested = [*self.root.glob("imported/*"), *self.root.glob("vacancies/*/*")]
        return [self.root, self.root / "datasets", self.root / "environments", self.costs, *nested]

    @property
    def costs(self) -> Path:
        """Folder with measured costs, one JSON file per model and device."""
        return self.root / "costs"

    @property
    def logs(self) -> Path:
        """Folder with what worker processes print."""
        return self.root / "logs"

    @property
    def compressed(self) -> Path:
        """Files of the app as the server sends them, by their content."""
        return self.root / "compressed"

    @property
    def store(self) -> Path:
        """Link to the newest complete results store."""
        return self.root / "results.duckdb"


_in_use: list[DataFolder] = []  # of the process, since threads that a command starts work on its folder too


@contextmanager
def using(folder: DataFolder) -> Iterator[None]:
    """Make a folder the default one of this process for the length of a block."""
    _in_use.append(folder)
    try:
        yield
    finally:
        _in_use.pop()


def as_written(path: Path) -> tuple[Path, int]:
    """A registry file with its time of writing, ns; 0 where there is none. It keys what is remembered of the file."""
    return path, path.stat().st_mtime_ns if path.is_file() else 0


def embedded_predictions(dataset_id: str, model_id: str) -> Path:
    """Predictions that come with the repository."""
    return EMBEDDED / "predictions" / dataset_id / f"{model_id}.parquet"


def embedded_vacancies(model_id: str) -> Path:
    """Vacancies that a model relaxed, as they come with the repository."""
    return EMBEDDED / "vacancies" / f"{model_id}.parquet"


def embedded_summary(dataset_id: str) -> Path:
    """Folder with the summary of a dataset that comes with the repository."""
    return EMBEDDED / "summaries" / dataset_id
