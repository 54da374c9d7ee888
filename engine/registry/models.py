"""The models that Defect Atlas knows: models/FAMILY.toml, one entry per checkpoint, and those of the data folder.

Models that a user imported predictions of are entries of `models.toml` in the data folder; everything that asks for
models gets both. The file is read again when it changes, since a process may outlive an import.
"""

import ast
import dataclasses
import functools
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ase.data import atomic_numbers

from engine.data_folder import DataFolder, as_written
from engine.errors import RegistryError
from engine.registry.levels_of_theory import LevelOfTheory, make_level, with_level
from engine.registry.tables import (
    SHA256,
    Registry,
    build,
    check_choice,
    check_unique,
    read_folder,
    read_tables,
    with_users,
)
from engine.registry.training_sets import check_training_sets, elements_of, load_training_sets, with_elements

MODELS_PATH = Path(__file__).with_name("models")

FAMILIES = Path(__file__).parents[1] / "families"

EXTERNAL = "external"
"""Family of models that nothing here can load."""

FULL_PRECISION = "float32"
MATMUL_PRECISIONS = {FULL_PRECISION: "single precision", "tf32": "TF32"}
"""How factors of a product of matrices in single precision are rounded on a GPU, with the word to show: TF32 keeps 10
bits after the point of 23, sums stay in single precision. PyTorch's "medium" gave the same numbers as TF32 on an H200
(docs/gpu.md). Models in double precision know no such choice."""

_ID = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_PACKED_CODE = (".nequip.zip",)
"""Names of checkpoint files that run code of their own when they are loaded."""


@dataclass(frozen=True)
class CheckpointFile:
    """One file of a checkpoint.

    Attributes:
        name: File name in the local checkpoint directory; files of one model share that directory.
        sha256: Checksum of its bytes; empty where they could never be had: the first fetch records it.
        url: Where it is downloaded from; None for a file that a package carries, empty for one that was made here.
        mirror: Path of the same bytes inside a mirror directory.
        package_file: Path inside the installed package that carries it; None for a download.
        archive_member: Where the file is a zip or tar archive, the file or directory in it that is the checkpoint;
            `*` for the only entry at its top.
    """

    name: str
    sha256: str
    url: str | None = None
    mirror: str | None = None
    package_file: str | None = None
    archive_member: str = ""


@dataclass(frozen=True)
class Model:
    """One checkpoint of one model family.

    Attributes:
        model_id: Kebab-case key of the registry.
        label: Name to show.
        family: Name of the file in engine/families/ that loads it; `external` where none does.
        files: Files of the checkpoint; none where the family computes without one.
        training_sets: Ids of the training sets.
        license: Licence of the weights.
        source: Paper or model page, a URL.
        level: How the labels were computed that it predicts.
        elements: All elements that it was trained on, by atomic number; those of its training sets where the entry
            does not state them.
        conservative: Forces are minus the gradient of the energy.
        options: Keywords for the family's `load`.
        n_training_structures: Structures in the training sets; None where unknown.
        n_parameters: Trainable parameters; None where unknown.
        paper_row: Row of the paper's Table 1; its counts are given as printed there.
        gate: What a person must do before the files can be downloaded; empty where nothing.
        not_runnable: Why the model cannot run yet, and the next step; empty where it runs.
        note: What is inferred or needs care; empty where nothing.
        fitted_to: Datasets that it was fitted to on this machine.
        variant_of: Model of this project that it is but for its `matmul_precision`; empty where it is its own.
        matmul_precision: Of products of matrices in single precision, from MATMUL_PRECISIONS.
    """

    model_id: str
    label: str
    family: str
    files: tuple[CheckpointFile, ...]
    training_sets: tuple[str, ...]
    license: str
    source: str
    level: LevelOfTheory
    conservative: bool
    elements: tuple[str, ...] = ()
    options: dict[str, object] = field(default_factory=dict)
    n_training_structures: int | None = None
    n_parameters: int | None = None
    paper_row: int | None = None
    gate: str = ""
    not_runnable: str = ""
    note: str = ""
    fitted_to: tuple[str, ...] = ()
    variant_of: str = ""
    matmul_precision: str = FULL_PRECISION

    @property
    def is_runnable(self) -> bool:
        """Whether this release can load the model."""
        return not self.not_runnable

    @property
    def weights_of(self) -> str:
        """Id of the model whose files hold the weights."""
        return self.variant_of or self.model_id

    @property
    def training_labels(self) -> tuple[str, ...]:
        """Names of the training sets to show."""
        return tuple(load_training_sets()[key].label for key in self.training_sets)

    def unknown_elements(self, symbols: Collection[str]) -> list[str]:
        """Those of the elements that it was never trained on, by atomic number."""
        return sorted(set(symbols) - set(self.elements), key=atomic_numbers.__getitem__)


def load_models(path: Path | None = None) -> Registry[Model]:
    """Read and check the model registry, files by name, entries in file order, then the user's.

    Args:
        path: A folder with one TOML file per family, or one file, one table per model, read alone; without it, both
            registries.

    Returns:
        Models by id; read-only by convention, since the result is cached.

    Raises:
        RegistryError: An entry is wrong, or a user's has the id of another; the message names it.
    """
    return _joined(*as_written(user_registry())) if path is None else _read_registry(path, 0)


def user_registry(folder: DataFolder | None = None) -> Path:
    """The registry of models that a user added: `models.toml` in the data folder."""
    return (folder or DataFolder.default()).root / "models.toml"


def user_model(model_id: str, table: object) -> Model:
    """A model from an entry of the user's registry, which states its level of theory itself.

    Raises:
        RegistryError: The entry is wrong, or is of a family that can be loaded here and was not trained here.
    """
    where = f"models.toml of the data folder, '{model_id}'"
    if isinstance(table, dict) and "variant_of" in table:
        return _variant(model_id, table, where)
    rest = with_elements(table, where)
    names = ("functional", "energy_reference")
    level = make_level(model_id, {name: rest.pop(name, "none") for name in names}, where)
    model = _checked(build(Model, rest | {"level": level}, where, model_id=model_id), where)
    if not model.fitted_to:
        check_choice(model.family, (EXTERNAL,), f"{where}: family")
    return model


def _variant(model_id: str, table: dict[str, object], where: str) -> Model:
    """A model of this project, computed with products of matrices in lower precision."""
    if set(table) != {"variant_of", "matmul_precision"}:
        raise RegistryError(f"{where}: a variant has variant_of and matmul_precision and nothing else.")
    precision = str(table["matmul_precision"])
    check_choice(
        precision, [name for name in MATMUL_PRECISIONS if name != FULL_PRECISION], f"{where}: matmul_precision"
    )
    base = load_models(MODELS_PATH)[str(table["variant_of"])]
    varied = dataclasses.replace(
        base,
        model_id=model_id,
        label=f"{base.label} ({MATMUL_PRECISIONS[precision]})",
        paper_row=None,
        variant_of=base.model_id,
        matmul_precision=precision,
        note=f"{base.label} with products of matrices in {MATMUL_PRECISIONS[precision]}. {base.note}".strip(),
    )
    _check(varied, where)
    return varied


@functools.cache
def _read_registry(path: Path, _stamp: int) -> Registry[Model]:
    """One registry file, at one time of writing."""
    models = {}
    for file, model_id, table in read_folder(path):
        where = f"{file.name}, '{model_id}'"
        model = _model(model_id, table, where)
        if path.is_dir() and model.family != file.stem:
            raise RegistryError(f"{where}: family '{model.family}' has a file of its own, {model.family}.toml.")
        models[model_id] = model
    check_unique(((m.model_id, m.paper_row) for m in models.values()), "paper_row", path.name)
    return Registry(models, "Model", "engine/registry/models")


@functools.cache
def _joined(added: Path, stamp: int) -> Registry[Model]:
    """Both registries."""
    entries = read_tables(added) if stamp else {}
    users = {model_id: user_model(model_id, table) for model_id, table in entries.items()}
    clash = (
        f"{added} has an entry '{{id}}', which is now a model of this project; "
        "rename it there and in the folder 'imported'."
    )
    return with_users(load_models(MODELS_PATH), users, clash)


def _model(model_id: str, table: object, where: str) -> Model:
    """A model from its TOML table."""
    return _checked(build(Model, with_level(with_elements(table, where), where), where, model_id=model_id), where)


def _checked(model: Model, where: str) -> Model:
    """A model with the elements of its training sets, where its entry states none."""
    check_training_sets(model.training_sets, where)
    if not model.elements:
        model = dataclasses.replace(model, elements=elements_of(model.training_sets))
    _check(model, where)
    return model


def get_model(model_id: str) -> Model:
    """Look one model up.

    Raises:
        RegistryError: The id is unknown; the message names the closest one.
    """
    return load_models()[model_id]


def select_models(ids: Iterable[str]) -> list[Model]:
    """Look models up, each once, in the order asked; `all` stands for every model.

    Raises:
        RegistryError: An id is unknown; the message names the closest one.
    """
    return load_models().select(ids)


def families() -> list[str]:
    """Names of all families: the files in engine/families/."""
    return sorted(p.stem for p in FAMILIES.glob("*.py") if p.stem != "__init__")


@functools.cache
def family_options(family: str) -> frozenset[str]:
    """Keywords that a family's `load` takes beside checkpoint and device, read without importing it."""
    tree = ast.parse((FAMILIES / f"{family}.py").read_text(encoding="utf-8"))
    load = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "load")
    return frozenset(argument.arg for argument in load.args.args + load.args.kwonlyargs) - {"checkpoint", "device"}


def _check(model: Model, where: str) -> None:
    """Check what a type cannot express."""
    if not _ID.fullmatch(model.model_id):
        raise RegistryError(f"{where}: an id is kebab-case: lower-case letters, digits, '-' and '.'.")
    if model.is_runnable:  # a row of the paper stays in the registry until its family is written
        check_choice(model.family, families(), f"{where}: family")
        for key in model.options:
            check_choice(key, family_options(model.family), f"{where}: options of family {model.family}")
    if not model.elements and model.family != EXTERNAL:
        raise RegistryError(f"{where}: needs elements, since its training sets list none.")
    for file in model.files:
        if (file.url is None) == (file.package_file is None):
            raise RegistryError(f"{where}: file {file.name!r} needs either a url or a package_file.")
        if file.sha256 and not SHA256.fullmatch(file.sha256):
            raise RegistryError(f"{where}: sha256 of {file.name!r} is not 64 hexadecimal digits.")
        if not file.sha256 and file.name.endswith(_PACKED_CODE):
            raise RegistryError(f"{where}: {file.name!r} runs its own code when it is loaded, so state its sha256.")
