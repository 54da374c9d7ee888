"""The DFT datasets that Defect Atlas knows: datasets/*.toml, one entry per dataset, and those of the data folder.

Datasets that a user adds are entries of `datasets.toml` in the data folder; everything that asks for datasets gets
both. The file is read again when it changes, since a process may outlive an addition.
"""

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ase.data import chemical_symbols

from engine.data_folder import DataFolder, as_written
from engine.errors import RegistryError
from engine.readers.formats import READERS
from engine.registry.kinds import KindRule, check_rules
from engine.registry.levels_of_theory import LevelOfTheory, make_level, with_level
from engine.registry.tables import SHA256, Registry, build, check_choice, check_unique, read_folder, with_users
from engine.registry.training_sets import check_training_sets

DATASETS_PATH = Path(__file__).with_name("datasets")

ENERGY_REFERENCES = ("mp", "matpes", "own")

CERTAINTIES = ("certain", "likely", "not known")  # from the surest

MAX_ID_LENGTH = 80

_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

# Keys with which an entry states a level of theory of its own, as those of the data folder do.
_LEVEL_KEYS = ("functional", "code", "potentials", "energy_reference", "spin", "hubbard_u")


@dataclass(frozen=True)
class DataFile:
    """One file of a dataset, in one or two forms: as its source publishes it, and as a mirror holds it.

    Attributes:
        name: Local file name; configurations to which the source gives no id are called after it.
        reader: Key of `READERS` for the original form; empty while its reader is not written.
        url: Address of the original form; empty where a mirror is the only source.
        page: Where a person can download it, where there is no address of the file itself.
        member: Pattern of the file names to read inside the archive that the address gives, such as `*.xyz`; each
            gives a group. Empty where the address gives the file itself.
        sha256: Checksum of the original bytes; empty where nobody could have them: a first fetch records it.
        group: Group of all its configurations; empty where the reader says it.
        mirror: Path of the converted extended XYZ inside a mirror directory; empty where there is none.
        mirror_sha256: Checksum of the converted file.
        embedded: Name of the file in data/embedded/; empty where it does not come with the repository.
        added: Whether a user handed it in: its configurations are in the data folder already.
        stored_sha256: Checksum of those configurations as they were written, since the entry and they are two files;
            empty in entries of before it was kept.
    """

    name: str
    reader: str = ""
    url: str = ""
    sha256: str = ""
    group: str = ""
    mirror: str = ""
    mirror_sha256: str = ""
    embedded: str = ""
    member: str = ""
    page: str = ""
    added: bool = False
    stored_sha256: str = ""

    @property
    def mirror_name(self) -> str:
        """File name of the converted form."""
        return PurePosixPath(self.mirror).name


@dataclass(frozen=True)
class PublishedPredictions:
    """Predictions of one model that somebody else computed and published.

    Attributes:
        model: Id of the model.
        mirror: Path inside a mirror directory of the converted parquet file.
        sha256: Checksum of that file.
        source: Where they were published, a URL.
        note: What is inferred about them; empty where the source says it all.
    """

    model: str
    mirror: str
    sha256: str
    source: str
    note: str = ""


@dataclass(frozen=True)
class SeenBy:
    """A training set that holds configurations of a dataset, or may hold them.

    Attributes:
        training_set: Its id.
        certainty: `certain`, `likely`, or `not known` where there is a suspicion that nobody could check.
        why: How that is known.
        groups: Groups that are concerned; none named for all of them.
    """

    training_set: str
    certainty: str
    why: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """DFT configurations from one source.

    Attributes:
        dataset_id: Kebab-case key of the registry.
        label: Name to show.
        description: What the configurations are, in one or two sentences.
        elements: Chemical symbols, sorted.
        level: How its labels were computed; its energy reference is the set-up whose energies of the pure elements
            it shares.
        comparable: Whether raw energies may be compared with models of the Materials Project's reference.
        comparable_note: Why, with the measured shift.
        license: Licence of the data.
        citation: Paper, with DOI.
        source: Where the data come from, a URL.
        reference_checked: Whether somebody compared its energies with the zero that it is said to have.
        seen_by: Training sets that hold its configurations.
        leakage_note: What else is to be said of that; for display only.
        paper_row: Row of the paper's Table 2 that this dataset is.
        stands_in_for: Rows of Table 2 whose place it takes in part.
        n_configs_paper: Number of configurations in Table 2.
        n_configs: Number of configurations that the mirror holds; None where there is no mirror.
        n_configs_source: Number of configurations in the original files; None where nobody could count them.
        energy_noise: How far its own energies are off by settings and code, root mean square, eV/atom; None where
            nobody measured it. Models that come closer than that cannot be told apart.
        force_noise: The same of a force component, eV/Å.
        defect_energy_noise: The same of a defect energy, eV per defect, where that was measured by itself.
        noise_note: How the noise was measured, in one sentence.
        file_note: What the files, or the mirror, leave out or change; empty where nothing.
        groups_outside: Groups that are kept but do not count as the dataset.
        crystal_groups: Groups that hold the perfect crystal of each element, among others; the lowest in energy is it.
        kinds: Which kind of structures its groups are; the first rule that fits counts.
        files: Where the data are; either all files with a `mirror`, or all with a `url` and a `reader`.
        not_available: Why there are no data, and the next step; empty where there are.
        published_predictions: Predictions that can be imported.
    """

    dataset_id: str
    label: str
    description: str
    elements: tuple[str, ...]
    level: LevelOfTheory
    comparable: bool
    comparable_note: str
    license: str
    citation: str
    source: str
    reference_checked: bool = True
    seen_by: tuple[SeenBy, ...] = ()
    leakage_note: str = ""
    paper_row: int | None = None
    stands_in_for: tuple[int, ...] = ()
    n_configs_paper: int | None = None
    n_configs: int | None = None
    n_configs_source: int | None = None
    energy_noise: float | None = None
    force_noise: float | None = None
    defect_energy_noise: float | None = None
    noise_note: str = ""
    file_note: str = ""
    groups_outside: tuple[str, ...] = ()
    crystal_groups: tuple[str, ...] = ()
    kinds: tuple[KindRule, ...] = ()
    files: tuple[DataFile, ...] = ()
    not_available: str = ""
    published_predictions: tuple[PublishedPredictions, ...] = ()

    @property
    def is_available(self) -> bool:
        """Whether there are data that this release can read."""
        return not self.not_available

    @property
    def is_embedded(self) -> bool:
        """Whether the data come with the repository."""
        return any(file.embedded for file in self.files)

    @property
    def is_added(self) -> bool:
        """Whether a user added it."""
        return any(file.added for file in self.files)

    @property
    def mirror_files(self) -> tuple[DataFile, ...]:
        """Files that a mirror holds as extended XYZ: together the whole dataset."""
        return tuple(file for file in self.files if file.mirror)

    @property
    def original_files(self) -> tuple[DataFile, ...]:
        """Files that can be downloaded and read: together the whole dataset, or none."""
        return tuple(file for file in self.files if (file.url or file.page) and file.reader)


def load_datasets(path: Path | None = None) -> Registry[Dataset]:
    """Read and check the dataset registry, in file order, then the user's.

    Args:
        path: A TOML file with one table per dataset, or a folder of such, read alone; without it, both registries.

    Returns:
        Datasets by id; read-only by convention, since the result is cached.

    Raises:
        RegistryError: An entry is wrong, or a user's has the id of another; the message names it.
    """
    return _joined(*as_written(user_registry())) if path is None else _read_registry(path, 0)


def user_registry() -> Path:
    """The registry of datasets that a user added: `datasets.toml` in the data folder."""
    return DataFolder.default().root / "datasets.toml"


@functools.cache
def _read_registry(path: Path, _stamp: int) -> Registry[Dataset]:
    """One registry, at one time of writing."""
    datasets = {}
    for file, dataset_id, table in read_folder(path):
        where = f"{file.name}, '{dataset_id}'"
        dataset = build(Dataset, _entry(dataset_id, table, where), where, dataset_id=dataset_id)
        _check(dataset, where)
        datasets[dataset_id] = dataset
    check_unique(((d.dataset_id, d.paper_row) for d in datasets.values()), "paper_row", path.name)
    return Registry(datasets, "Dataset", "engine/registry/datasets")


def _entry(dataset_id: str, table: object, where: str) -> object:
    """An entry with its level of theory, named or stated; older entries of a data folder get today's form."""
    if not isinstance(table, dict):
        return table  # refused by name when it is built
    if "level_of_theory" in table:
        return with_level(table, where)
    stated = {key: value for key, value in table.items() if key in _LEVEL_KEYS}
    stated |= {"d3": True} if "D3" in str(stated.get("functional")) else {}  # as in PBE-D3, which is how users say it
    entry: dict[str, Any] = {key: value for key, value in table.items() if key not in _LEVEL_KEYS}
    if "leakage" in entry:
        entry = {"leakage_note": entry.pop("leakage"), "reference_checked": False} | entry
    return entry | {"level": make_level(dataset_id, stated, where)}


@functools.cache
def _joined(added: Path, stamp: int) -> Registry[Dataset]:
    """Both registries."""
    clash = (
        f"{added} has an entry '{{id}}', which is now a dataset of engine/registry/datasets. "
        "Run: python -m precompute add-dataset --remove {id}"
    )
    return with_users(_read_registry(DATASETS_PATH, 0), _read_registry(added, stamp) if stamp else {}, clash)


def get_dataset(dataset_id: str) -> Dataset:
    """Look one dataset up.

    Raises:
        RegistryError: The id is unknown; the message names the closest one.
    """
    return load_datasets()[dataset_id]


def select_datasets(ids: Iterable[str]) -> list[Dataset]:
    """Look datasets up, each once, in the order asked; `all` stands for every dataset.

    Raises:
        RegistryError: An id is unknown; the message names the closest one.
    """
    return load_datasets().select(ids)


def check_id(dataset_id: str, where: str) -> None:
    """Refuse an id that is not kebab-case; it names files.

    Raises:
        RegistryError: The id is too long or is not kebab-case.
    """
    if len(dataset_id) > MAX_ID_LENGTH or not _ID.fullmatch(dataset_id):
        raise RegistryError(f"{where}: an id is kebab-case: lower-case letters, digits and '-'.")


def _check(dataset: Dataset, where: str) -> None:
    """Check what a type cannot express."""
    check_id(dataset.dataset_id, where)
    check_choice(dataset.level.energy_reference, ENERGY_REFERENCES, f"{where}: energy_reference")
    check_training_sets((seen.training_set for seen in dataset.seen_by), where)
    for seen in dataset.seen_by:
        check_choice(seen.certainty, CERTAINTIES, f"{where}: certainty of '{seen.training_set}'")
    if strangers := [symbol for symbol in dataset.elements if symbol not in chemical_symbols[1:]]:
        raise RegistryError(f"{where}: {strangers[0]!r} is not a chemical element.")
    if bool(dataset.files) == bool(dataset.not_available):
        raise RegistryError(f"{where}: needs either files, or not_available to say why there are none.")
    _check_noise(dataset, where)
    check_rules(dataset.kinds, where)
    for file in dataset.files:
        _check_file(file, f"{where}: file '{file.name}'")
    for predictions in dataset.published_predictions:
        if not SHA256.fullmatch(predictions.sha256):
            raise RegistryError(f"{where}: sha256 of '{predictions.mirror}' is not 64 hexadecimal digits.")


def _check_noise(dataset: Dataset, where: str) -> None:
    """Refuse a noise that is not above zero, or that does not say how it was measured."""
    measured = (dataset.energy_noise, dataset.force_noise, dataset.defect_energy_noise)
    known = [value for value in measured if value is not None]
    if any(not 0 < value < math.inf for value in known):
        raise RegistryError(
            f"{where}: energy_noise, force_noise and defect_energy_noise are above zero, or left out if not measured."
        )
    if bool(known) != bool(dataset.noise_note):
        raise RegistryError(f"{where}: a noise and noise_note, which says how it was measured, come together.")


def _check_file(file: DataFile, where: str) -> None:
    """Checks of one file."""
    if not (file.url or file.page or file.mirror or file.embedded or file.added):
        raise RegistryError(f"{where} needs a url, a mirror or an embedded file.")
    if file.reader:
        check_choice(file.reader, READERS, f"{where}: reader")
    if file.mirror and not file.mirror_sha256:
        raise RegistryError(f"{where}: a mirror needs a mirror_sha256.")
    for checksum in filter(None, (file.sha256, file.mirror_sha256)):
        if not SHA256.fullmatch(checksum):
            raise RegistryError(f"{where}: {checksum!r} is not 64 hexadecimal digits.")
