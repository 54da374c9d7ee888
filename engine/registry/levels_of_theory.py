"""Levels of theory: how the labels of training sets and datasets were computed."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import RegistryError, unknown_id
from engine.registry.tables import build, check_choice, read_tables

LEVELS_PATH = Path(__file__).with_name("levels_of_theory.toml")

ENERGY_REFERENCES = ("mp", "mp-d3", "mp-r2scan", "omat24", "matpes", "matpes-r2scan", "own", "none")
SPINS = ("polarised", "unpolarised", "not stated")


@dataclass(frozen=True)
class LevelOfTheory:
    """A DFT set-up, as far as its source states it; what is not stated has the default.

    Attributes:
        level_id: Kebab-case key of the registry; the dataset's id where a dataset states its own.
        functional: Exchange-correlation functional; `none` where there is not one functional.
        energy_reference: Set-up that fixes the zero of energy of each element; `own` for one that nothing else here
            has, `none` for a model that was not fitted to the energies of one set-up.
        code: DFT code.
        potentials: Pseudopotentials and main settings, in the words of the source.
        generation: Release of the pseudopotentials.
        spin: `polarised` where elements or an odd number of electrons can give a moment, or `unpolarised` nowhere.
        hubbard_u: Whether metals with O or F have a Hubbard U; for a dataset, whether any metal in it has one.
        cutoff_ev: Cutoff of the plane waves, eV.
        k_spacing: Largest distance of k-points with the factor 2π, 1/Å.
        k_density: k-points per volume of the reciprocal cell, Å^3.
        scf_criterion: Change of energy that ends the self-consistency.
        d3: Labels include the D3 dispersion correction.
        source: Where the facts are from, a URL.
        note: What is inferred or needs care.
    """

    level_id: str
    functional: str
    energy_reference: str
    code: str = ""
    potentials: str = ""
    generation: str = ""
    spin: str = "not stated"
    hubbard_u: bool | None = None
    cutoff_ev: float | None = None
    k_spacing: float | None = None
    k_density: float | None = None
    scf_criterion: str = ""
    d3: bool = False
    source: str = ""
    note: str = ""


@functools.cache
def load_levels(path: Path = LEVELS_PATH) -> Mapping[str, LevelOfTheory]:
    """Read and check the registry of levels of theory, in file order.

    Args:
        path: A TOML file with one table per level.

    Returns:
        Levels by id; read-only by convention, since the result is cached.

    Raises:
        RegistryError: An entry is wrong; the message names it.
    """
    return {
        level_id: make_level(level_id, table, f"{path.name}, '{level_id}'")
        for level_id, table in read_tables(path).items()
    }


def make_level(level_id: str, table: object, where: str) -> LevelOfTheory:
    """A level from its TOML table.

    Args:
        level_id: Its id.
        table: The parsed TOML table.
        where: Names the entry in messages.

    Raises:
        RegistryError: A key is missing, unknown or has an impossible value.
    """
    level = build(LevelOfTheory, table, where, level_id=level_id)
    check_choice(level.energy_reference, ENERGY_REFERENCES, f"{where}: energy_reference")
    check_choice(level.spin, SPINS, f"{where}: spin")
    return level


def with_level(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """An entry of another registry with `level_of_theory` replaced by the level that it names.

    Args:
        table: The parsed TOML table of the entry.
        where: Names the entry in messages.

    Raises:
        RegistryError: It names none, or none that is known.
    """
    rest = dict(table)
    name = rest.pop("level_of_theory", None)
    if name is None:
        raise RegistryError(f"{where}: key 'level_of_theory' is missing.")
    levels = load_levels()
    if name not in levels:
        known = "engine/registry/levels_of_theory.toml"
        raise RegistryError(f"{where}: {unknown_id('Level of theory', str(name), levels, known)}")
    return rest | {"level": levels[name]}
