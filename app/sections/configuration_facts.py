"""What the Structure page says of a configuration in numbers: its energies and the errors of the model."""

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from app import furniture, wording
from app.structures.shown import Sight
from engine.quantities import ALIGNMENTS, significant
from engine.queries import configurations

_NAMES = {"raw": "raw", "per_element": "aligned", "crystal": "against the crystal"}


def show(sight: Sight, alignment: str) -> None:
    """Size, energies, and errors of the model, the energy error in the alignment of the page first.

    Args:
        sight: What is shown.
        alignment: `raw`, `per_element` or `crystal`.
    """
    c, p = sight.configuration, sight.prediction
    reference = None if c.energy is None else c.energy / c.n_atoms
    predicted = None if p is None or p.energy is None else p.energy / c.n_atoms
    errors = sight.force_errors
    rmse = None if errors is None else 1000 * float(np.sqrt(np.mean(errors**2)))
    row = _own_row(sight)
    known = [name for name in ALIGNMENTS if name != "crystal" or wording.has_crystal(sight.dataset_id)]
    energies = {name: _energy_error(sight, row, name) for name in known}
    others = ", ".join(f"{_NAMES[name]}: {_signed(energies[name])}" for name in known if name != alignment)
    model = wording.seen_marked(wording.model_labels()[sight.model_id], row is not None and row["is_seen"])
    furniture.numbers(
        [
            (sight.formula, f"{c.n_atoms} {'atom' if c.n_atoms == 1 else 'atoms'}", f"group {c.group_name}"),
            ("Reference energy (eV/atom)", _fixed(reference), wording.dataset_label(sight.dataset_id)),
            ("Predicted energy (eV/atom)", _fixed(predicted), model),
            (f"Energy error, {_NAMES[alignment]} (meV/atom)", _signed(energies[alignment]), others),
            (
                "Force RMSE (meV/Å)",
                significant(rmse),
                f"n = {c.n_atoms:,} atoms{_worst(sight)}",
            ),
        ]
    )
    furniture.captions(
        " ".join(wording.energy_meaning(name) for name in known),
        wording.one_composition_note(sight.dataset_id, "per_element"),
    )


def _worst(sight: Sight) -> str:
    """The atom with the largest force error, by its index as the table has it; empty without forces."""
    if sight.force_errors is None:
        return ""
    sizes = np.linalg.norm(sight.force_errors, axis=1)
    atom = int(sizes.argmax())
    symbol = chemical_symbols[int(sight.configuration.numbers[atom])]
    return f", worst: {symbol} {atom}, {significant(1000 * float(sizes[atom]))} meV/Å"


def _own_row(sight: Sight) -> pd.Series | None:
    """The store's row of the model on the configuration."""
    table = configurations.models_on_configuration(sight.dataset_id, sight.configuration.config_id)
    row = table[table["model_id"] == sight.model_id]
    return None if row.empty else row.iloc[0]


def _energy_error(sight: Sight, row: pd.Series | None, alignment: str) -> float | None:
    """Of the model on the configuration, meV/atom."""
    if alignment == "raw":
        return None if sight.energy_error is None else 1000 * sight.energy_error
    column = {"per_element": "aligned", "crystal": "crystal"}[alignment]
    value = None if row is None else row[f"energy_error_per_atom_{column}"]
    return None if value is None or pd.isna(value) else 1000 * float(value)


def _fixed(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{'−' if value < 0 else '+'}{significant(abs(value))}"
