"""Tables behind figures as tidy CSV, with the unit in the name of each column that has one."""

import re

import pandas as pd

from engine.quantities import QUANTITIES

_SLUGS = {
    "eV/atom": "ev_per_atom", "eV/Å": "ev_per_ang", "meV/atom": "mev_per_atom", "meV/Å": "mev_per_ang", "eV": "ev",
    "meV": "mev", "Å": "ang", "%": "percent", "ms per atom and step": "ms_per_atom_step", "s": "s", "MB": "mb",
    "mJ/m²": "mj_per_m2", "ms": "ms", "J/m²": "j_per_m2",
    "Å³/atom": "ang3_per_atom", "GPa": "gpa",
}  # fmt: skip
_STORED = {"energy": "eV/atom", "force": "eV/Å"}
_SHOWN = {"energy": "meV/atom", "force": "meV/Å"}

# Columns whose unit their name does not say, by page and name; `stored` and `shown` are the units of the quantity that
# the figure is about, as the store has it and as pages show it.
_UNITS = {
    ("parity", r"reference|error|predicted|value"): "stored",
    ("duel", r"rmse_(first|second)|difference(_lo|_hi)?|first|second|margin"): "shown",
    ("ranking", r"(pooled_|mean_)?rmse(_lo|_hi)?"): "shown",
    ("elements", r"first|second|error|difference.*"): "shown",
    ("cost", r"cost(_lo|_hi)?"): "ms per atom and step",
    ("uncertainty-size", r"bin_.*|rejection|best_rejection"): "shown",
    ("uncertainty", r"deviation|standard_deviation|error|log10_.*|median_(low|high)|weighted.*"): "stored",
    ("learning", r"rmse(_lo|_hi)?|lowest|highest"): "shown",
    ("environments", r"force_error|deviation"): "eV/Å",
    ("environments", r"share"): "%",
    ("defects", r"[xyz]"): "Å",
    ("structure", r"[xyz]"): "Å",
    ("structure", r"predicted_force"): "eV/Å",
    ("structure", r"force_error|force_deviation"): "meV/Å",
    ("predict", r"[xyz]|moved"): "Å",
    ("predict", r"energy|gain"): "eV",
    ("predict", r"energy_per_atom"): "eV/atom",
    ("predict", r"energy_error|energy_above|residual"): "meV/atom",
    ("predict", r"mean_force|largest_force|max_force"): "eV/Å",
    ("predict", r"force_error|force_rmse|force_deviation|from_mean|expected_low|expected_high"): "meV/Å",
    ("predict", r"volume_change|change"): "%",
    ("predict", r"volume"): "Å³/atom",
    ("predict", r"bulk_modulus"): "GPa",
    ("defect-energies", r"energy|published|unrelaxed_energy|migration"): "eV",
    ("defect-energies", r"largest_displacement"): "Å",
    ("defect-energies", r"volume_error"): "%",
    ("", r"energy_noise_per_atom|energy_error_per_atom.*|reference_energy_per_atom"): "eV/atom",
    ("", r"force_noise|force_rmse|force_max_error|reference_force"): "eV/Å",
}  # fmt: skip


def quantity_of(title: str) -> str:
    """`energy` or `force`, whichever the title of a figure is about."""
    energy, force = (title.lower().find(word) for word in ("energ", "force"))
    return "force" if force >= 0 and (energy < 0 or force < energy) else "energy"


def unit_of(column: str, page: str, title: str) -> str:
    """Unit of a column of a figure's table; empty where it has none or its name says it.

    Args:
        column: Name of the column.
        page: Of the figure's origin.
        title: Of the figure.
    """
    if any(column.endswith(f"_{slug}") or f"_{slug}_" in column for slug in _SLUGS.values()):
        return ""
    for (where, pattern), unit in _UNITS.items():
        if page.startswith(where) and re.fullmatch(pattern, column):
            return {"stored": _STORED, "shown": _SHOWN}.get(unit, {}).get(quantity_of(title), unit)
    return ""


def named(table: pd.DataFrame, page: str, title: str) -> pd.DataFrame:
    """The table with units in the names of columns; a column `unit` of one value gives its unit to the energies.

    Args:
        table: The numbers behind a figure.
        page: Of the figure's origin.
        title: Of the figure.
    """
    table = table.rename(columns={name: _with_unit(str(name), unit_of(str(name), page, title)) for name in table})
    units = table["unit"].unique() if "unit" in table else []
    if len(units) == 1 and units[0] in _SLUGS:
        named_so = r"reference|prediction|error|rmse(_lo|_hi)?|mae|mean_error"
        table = table.drop(columns="unit").rename(
            columns={name: _with_unit(name, units[0]) for name in table if re.fullmatch(named_so, name)}
        )
    return table


def _with_unit(name: str, unit: str) -> str:
    if not unit:
        return name
    slug = _SLUGS[unit]
    base = name.replace("_per_atom", "") if slug.endswith("_per_atom") else name
    return f"{base}_{slug}"


def definitions(columns: list[str]) -> list[str]:
    """What the quantities of a table mean, one sentence each, where it is written down.

    Args:
        columns: Names of its columns as the page has them.
    """
    known = [QUANTITIES[name] for name in columns if name in QUANTITIES]
    return list(dict.fromkeys(f"{one.label}: {one.description}" for one in known if one.description))
