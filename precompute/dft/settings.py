"""The settings table of the DFT dataset: read, checked, and asked for an element's settings."""

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path

from engine.cells.lattices import Lattice
from engine.data_folder import EMBEDDED
from engine.errors import SettingsError

SETTINGS_FILE = EMBEDDED / "reference-settings.toml"


@dataclass(frozen=True)
class CommonSettings:
    """Settings shared by all metals; one field per key of `[common]`, units in the names."""

    functional: str
    smearing_ev: float
    kpoints_per_inverse_angstrom: float
    energy_tolerance_ev_per_electron: float
    density_tolerance_electrons: float
    eigenstates_tolerance_ev2: float
    max_iterations: int


@dataclass(frozen=True)
class ElementSettings:
    """Settings of one metal; one field per key of `[elements.X]`, lengths in Å."""

    structure: str
    a: float
    setup: str
    cutoff_ev: float
    spin_polarized: bool
    ships_stress: bool
    valence_electrons: int
    c: float | None = None
    initial_magnetic_moment: float | None = None
    is_antiferromagnetic: bool = False
    takes_hydrogen: bool = False
    solutes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class AdditionSettings:
    """Settings of an element that is only added to metals; one field per key of `[additions.X]`."""

    setup: str
    cutoff_ev: float
    valence_electrons: int
    spin_polarized: bool = False
    initial_magnetic_moment: float | None = None


@dataclass(frozen=True)
class AlloySettings:
    """One alloy; one field per key of `[alloys.X]`, lengths in Å."""

    structure: str
    a: float
    species: list[str]


@dataclass(frozen=True)
class ReferenceSettings:
    """The whole table.

    Attributes:
        common: Settings of all metals.
        elements: Symbol to settings of a metal.
        additions: Symbol to settings of an element that is only added to metals.
        alloys: Name to settings of an alloy.
        defect_meshes: Perfect crystal, metal, `stacks` or `default` to the mesh density of the cells that make defect
            energies, 1/(1/Å); the first of them that is there counts.
    """

    common: CommonSettings
    elements: dict[str, ElementSettings]
    additions: dict[str, AdditionSettings] = field(default_factory=dict)
    alloys: dict[str, AlloySettings] = field(default_factory=dict)
    defect_meshes: dict[str, float] = field(default_factory=dict)

    @property
    def systems(self) -> list[str]:
        """Metals and then alloys, in the order of the table."""
        return [*self.elements, *self.alloys]

    def species(self, symbol: str) -> ElementSettings | AdditionSettings:
        """Settings of one element.

        Args:
            symbol: Chemical symbol, a key of `elements` or `additions`.

        Returns:
            Its setup, cutoff and spin.
        """
        return self.elements[symbol] if symbol in self.elements else self.additions[symbol]

    def defect_mesh(self, symbol: str, parent_id: str = "", *, is_stack: bool = False) -> float:
        """Mesh density of the cells that make a metal's defect energies.

        Args:
            symbol: Chemical symbol, a key of `elements`.
            parent_id: The cell's perfect crystal, such as `na-bcc-bulk-07`.
            is_stack: Whether the cell is a stack of layers: a slab, a fault, a boundary or their perfect crystals.

        Returns:
            K-points per reciprocal length, 1/(1/Å).
        """
        names = (parent_id, "stacks" if is_stack else symbol, "default")
        return next(self.defect_meshes[name] for name in names if name in self.defect_meshes)

    def lattice(self, symbol: str) -> Lattice:
        """The crystal of one metal.

        Args:
            symbol: Chemical symbol, a key of `elements`.

        Returns:
            Its lattice.
        """
        element = self.elements[symbol]
        return Lattice(symbol, element.structure, element.a, element.c)


def load_settings(path: Path = SETTINGS_FILE) -> ReferenceSettings:
    """Read and check the settings table.

    Args:
        path: A TOML file shaped like the shipped one.

    Returns:
        The table.

    Raises:
        SettingsError: The file is missing, or a key is unknown, missing or of a wrong kind.
    """
    if not path.exists():
        raise SettingsError(f"{path} does not exist; restore it from the repository.")
    try:
        table = tomllib.loads(path.read_text())
        common = CommonSettings(**table["common"])
        elements = {symbol: ElementSettings(**entry) for symbol, entry in table["elements"].items()}
        additions = {symbol: AdditionSettings(**entry) for symbol, entry in table.get("additions", {}).items()}
        alloys = {name: AlloySettings(**entry) for name, entry in table.get("alloys", {}).items()}
        meshes = {symbol: float(density) for symbol, density in table["defect_meshes"].items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        kinds = (CommonSettings, ElementSettings, AdditionSettings, AlloySettings)
        known = ", ".join(dict.fromkeys(one.name for kind in kinds for one in fields(kind)))
        raise SettingsError(f"{path}: {error}; known keys: {known}.") from error
    settings = ReferenceSettings(common, elements, additions, alloys, meshes)
    _check(settings, path)
    return settings


def _check(settings: ReferenceSettings, path: Path) -> None:
    """Refuse a table whose entries do not fit together."""
    crystals = tuple(f"{symbol.lower()}-{element.structure}-bulk-" for symbol, element in settings.elements.items())
    named = {name for name in settings.defect_meshes if not name.startswith(crystals)}
    if unknown := sorted(named - {"default", "stacks", *settings.elements}):
        raise SettingsError(f"{path}: [defect_meshes] has {unknown[0]}, which has no entry.")
    for name, density in settings.defect_meshes.items():
        if density <= settings.common.kpoints_per_inverse_angstrom:
            raise SettingsError(f"{path}: [defect_meshes]: {name} is no denser than the mesh of all cells.")
    known: dict[str, ElementSettings | AdditionSettings] = {**settings.elements, **settings.additions}
    for host, element in settings.elements.items():
        added = [*element.solutes, *(["H"] if element.takes_hydrogen else [])]
        for symbol in added:
            if symbol not in known:
                raise SettingsError(f"{path}: {host} takes {symbol}, which has no entry.")
            # The energies of the interaction must be those of one cutoff.
            if known[symbol].cutoff_ev > element.cutoff_ev:
                raise SettingsError(f"{path}: {symbol} needs a higher cutoff than its host {host}.")
