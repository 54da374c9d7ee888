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
    """The whole table."""

    common: CommonSettings
    elements: dict[str, ElementSettings]
    additions: dict[str, AdditionSettings] = field(default_factory=dict)
    alloys: dict[str, AlloySettings] = field(default_factory=dict)

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
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        kinds = (CommonSettings, ElementSettings, AdditionSettings, AlloySettings)
        known = ", ".join(dict.fromkeys(one.name for kind in kinds for one in fields(kind)))
        raise SettingsError(f"{path}: {error}; known keys: {known}.") from error
    settings = ReferenceSettings(common, elements, additions, alloys)
    _check(settings, path)
    return settings


def _check(settings: ReferenceSettings, path: Path) -> None:
    """Refuse a table whose entries do not fit together."""
    known: dict[str, ElementSettings | AdditionSettings] = {**settings.elements, **settings.additions}
    for host, element in settings.elements.items():
        added = [*element.solutes, *(["H"] if element.takes_hydrogen else [])]
        for symbol in added:
            if symbol not in known:
                raise SettingsError(f"{path}: {host} takes {symbol}, which has no entry.")
            # The energies of the interaction must be those of one cutoff.
            if known[symbol].cutoff_ev > element.cutoff_ev:
                raise SettingsError(f"{path}: {symbol} needs a higher cutoff than its host {host}.")
