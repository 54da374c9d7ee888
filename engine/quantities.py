"""QUANTITIES: what each stored column is called, its symbol and the unit in which it is shown.

This is the only place where units are written for display. Columns hold ASE units (eV, Å, eV/Å) unless their
name says otherwise; `factor` converts the stored value to `unit`.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    """How one column is shown.

    Attributes:
        label: Plain words, sentence case.
        symbol: Short form for axes and table heads.
        unit: Unit shown; empty for counts and ratios.
        factor: Stored value times factor is in `unit`.
        description: One sentence for tooltips.
    """

    label: str
    symbol: str
    unit: str
    factor: float = 1.0
    description: str = ""

    def title(self, *, symbol: bool = False) -> str:
        """Label (or symbol) with the unit, as on an axis."""
        name = self.symbol if symbol else self.label
        return f"{name} ({self.unit})" if self.unit else name


_PER_ATOM = "meV/atom"
_PER_ANG = "meV/Å"

QUANTITIES: dict[str, Quantity] = {
    "energy_rmse_mev_per_atom": Quantity(
        "Energy RMSE",
        "RMSE(E)",
        _PER_ATOM,
        description="Root mean square over configurations of (predicted - reference energy) / number of atoms.",
    ),
    "energy_rmse_mev_per_atom_lo": Quantity("Energy RMSE, lower 95 % bound", "RMSE(E) lo", _PER_ATOM),
    "energy_rmse_mev_per_atom_hi": Quantity("Energy RMSE, upper 95 % bound", "RMSE(E) hi", _PER_ATOM),
    "energy_rmse_mev_per_atom_aligned": Quantity("Energy RMSE, aligned", "RMSE(E)", _PER_ATOM),
    "energy_rmse_mev_per_atom_crystal": Quantity("Energy RMSE, against the perfect crystal", "RMSE(E)", _PER_ATOM),
    "energy_mae_mev_per_atom": Quantity("Energy MAE", "MAE(E)", _PER_ATOM),
    "macro_energy_rmse_mev_per_atom": Quantity(
        "Energy RMSE, mean over metals and kinds",
        "⟨RMSE(E)⟩",
        _PER_ATOM,
        description="Mean of the energy RMSEs of each kind of structure of each metal, so that none of them rules it.",
    ),
    "macro_force_rmse_mev_per_ang": Quantity(
        "Force RMSE, mean over metals and kinds",
        "⟨RMSE(F)⟩",
        _PER_ANG,
        description="Mean of the force RMSEs of each kind of structure of each metal that has forces in the reference.",
    ),
    "force_rmse_mev_per_ang": Quantity(
        "Force RMSE",
        "RMSE(F)",
        _PER_ANG,
        description="Root mean square over all Cartesian force components of all atoms.",
    ),
    "force_rmse_mev_per_ang_lo": Quantity("Force RMSE, lower 95 % bound", "RMSE(F) lo", _PER_ANG),
    "force_rmse_mev_per_ang_hi": Quantity("Force RMSE, upper 95 % bound", "RMSE(F) hi", _PER_ANG),
    "force_mae_mev_per_ang": Quantity("Force MAE", "MAE(F)", _PER_ANG),
    "force_slope": Quantity(
        "Force slope",
        "slope(F)",
        "",
        description="Least-squares slope through the origin of predicted against reference force components; "
        "below 1 means that the model is too soft.",
    ),
    "energy_noise_per_atom": Quantity(
        "Noise of the DFT energies",
        "noise(E)",
        _PER_ATOM,
        1000.0,
        "How far the reference energies themselves are off, root mean square; models that come closer than that "
        "cannot be told apart.",
    ),
    "force_noise": Quantity(
        "Noise of the DFT forces",
        "noise(F)",
        _PER_ANG,
        1000.0,
        "How far the reference force components themselves are off, root mean square.",
    ),
    "reference_energy_per_atom": Quantity("Reference energy", "E(ref)/N", "eV/atom"),
    "energy_error_per_atom": Quantity("Energy error, raw", "ΔE/N", _PER_ATOM, 1000.0),
    "energy_error_per_atom_aligned": Quantity(
        "Energy error, aligned",
        "ΔE/N",
        _PER_ATOM,
        1000.0,
        "About offsets per element that were fitted to all other configurations (leave-one-out).",
    ),
    "energy_error_per_atom_crystal": Quantity(
        "Energy error, against the perfect crystal",
        "ΔE/N",
        _PER_ATOM,
        1000.0,
        "Error of the energy above perfect crystals of the same elements, per atom: of a formation energy.",
    ),
    "force_rmse": Quantity("Force RMSE", "RMSE(F)", _PER_ANG, 1000.0),
    "force_max_error": Quantity("Largest force error", "max |ΔF|", _PER_ANG, 1000.0),
    "reference_force": Quantity("Reference force component", "F(ref)", "eV/Å"),
    "force_component_error": Quantity("Force component error", "ΔF", _PER_ANG, 1000.0),
    "largest_error": Quantity("Largest error in the box", "ΔF or ΔE/N", "meV", 1000.0),
    "n_samples": Quantity("Samples in the box", "n", ""),
    "atom_index": Quantity("Atom", "i", "", description="Index of the atom with the largest error in the box."),
    "energy_deviation": Quantity("Ensemble energy deviation", "dev(E)", _PER_ATOM, 1000.0),
    "energy_error": Quantity("Energy error of the ensemble mean", "|ΔE|/N", _PER_ATOM, 1000.0),
    "force_deviation": Quantity("Ensemble force deviation", "dev(F)", _PER_ANG, 1000.0),
    "force_error": Quantity("Force error of the ensemble mean", "|ΔF|", _PER_ANG, 1000.0),
    "error_mev": Quantity(
        "Error of the sum of energies",
        "ΔE",
        "meV",
        description="Predicted minus reference, before area or atoms divide.",
    ),
    "error_rss_mev": Quantity(
        "Errors of the parts, root of the sum of squares",
        "√Σ(ΔE²)",
        "meV",
        description="What the error of a defect energy would be if the errors of its parts were independent.",
    ),
    "error_sum_mev": Quantity(
        "Errors of the parts, sum of sizes",
        "Σ|ΔE|",
        "meV",
        description="What the error of a defect energy would be if the errors of its parts all added up.",
    ),
    "cancellation": Quantity(
        "Cancellation ratio",
        "|ΔE|/√Σ(ΔE²)",
        "",
        description="Size of the error of the defect energy over the root of the sum of squares of its parts' errors: "
        "0 where they cancel, about 1 where they are independent, above 1 where they add up.",
    ),
    "sign_agreement": Quantity(
        "Sign agreement", "sign", "%", 100.0, "Share of defect energies that have the sign of the reference."
    ),
    "sign_baseline": Quantity(
        "Sign agreement of always the commoner sign",
        "sign, no model",
        "%",
        100.0,
        "What one reaches who knows no model and always answers what most of the energies do.",
    ),
    "spearman": Quantity(
        "Spearman ρ", "ρ", "", description="Rank correlation of predicted with reference defect energies."
    ),
    "n_reactions": Quantity("Defect energies", "n", ""),
    "us_per_atom_step": Quantity("Cost", "cost", "ms per atom and step", 0.001),
    "us_per_atom_step_lo": Quantity("Cost, lower quartile", "cost lo", "ms per atom and step", 0.001),
    "us_per_atom_step_hi": Quantity(
        "Cost, upper quartile",
        "cost hi",
        "ms per atom and step",
        0.001,
        "A quarter of the counted steps took longer. Of one occasion alone: days differ by more.",
    ),
    "ms_per_step": Quantity("Time per step", "t", "ms", description="Median of the counted steps."),
    "ms_low": Quantity("Time per step, lower quartile", "t lo", "ms"),
    "ms_high": Quantity("Time per step, upper quartile", "t hi", "ms"),
    "peak_memory_mb": Quantity(
        "Peak memory",
        "memory",
        "MB",
        description="Main memory of the process until then, with Python and the libraries (0.2 GB at least); on a GPU "
        "the most that the model held there.",
    ),
    "load_seconds": Quantity(
        "Load time",
        "t(load)",
        "s",
        description="From the start of a process to a loaded model, imports included. A run pays it once.",
    ),
    "drift_mev_per_atom_ps": Quantity(
        "Drift of the energy",
        "drift",
        "meV/atom per ps",
        description="Slope of the total energy in 0.9 ps of molecular dynamics at constant energy (27 atoms at about "
        "600 K, steps of 3 fs). Near 0 where forces are the gradient of the energy.",
    ),
    "n_largest": Quantity(
        "Largest cell timed",
        "N max",
        "atoms",
        description="The largest cell that was tried and fitted. Larger ones did not fit into memory, would have taken "
        "too long, or nobody tried them.",
    ),
    "wall_seconds": Quantity("Wall time", "t", "s"),
    "n_configs": Quantity("Configurations", "n", ""),
    "n_energy": Quantity("Configurations with an energy error", "n(E)", ""),
    "n_force": Quantity("Configurations with force errors", "n(F)", ""),
    "n_clusters": Quantity(
        "Independent clusters",
        "n(clusters)",
        "",
        description="Metals, or cells and trajectories, that bounds and ranks are resampled over.",
    ),
    "rank": Quantity(
        "Rank", "rank", "", description="One more than the number of models that are better beyond doubt."
    ),
    "rank_lo": Quantity("Rank, lower 95 % bound", "rank lo", ""),
    "rank_hi": Quantity("Rank, upper 95 % bound", "rank hi", ""),
    "n_own": Quantity("Configurations of the model", "n own", "", description="All that this model has a result for."),
    "n_expected": Quantity("Configurations of the dataset", "n all", ""),
    "n_failed": Quantity("Failed", "failed", "", description="Configurations that the model could not predict."),
    "n_atoms": Quantity("Atoms", "N", ""),
    "n_threads": Quantity("Threads", "threads", ""),
}

ALIGNMENTS = {"raw": "raw", "per_element": "aligned per element", "crystal": "relative to the perfect crystal"}


@dataclass(frozen=True)
class Metric:
    """Columns that describe one choice of `quantity` in the app.

    Attributes:
        rmse: Column of the RMSE; its 95 % bounds end in `_lo` and `_hi`.
        mae: Column of the mean absolute error.
        reference: Quantity of the abscissa of residual and parity charts.
        error: Quantity of the residual.
        noise: Noise of the reference, of a dataset where it was measured.
        noun: What one sample is, in the plural.
    """

    rmse: str
    mae: str
    reference: str
    error: str
    noise: str
    noun: str


METRICS = {
    "energy": Metric(
        "energy_rmse_mev_per_atom",
        "energy_mae_mev_per_atom",
        "reference_energy_per_atom",
        "energy_error_per_atom",
        "energy_noise_per_atom",
        "configurations",
    ),
    "force": Metric(
        "force_rmse_mev_per_ang",
        "force_mae_mev_per_ang",
        "reference_force",
        "force_component_error",
        "force_noise",
        "force components",
    ),
}


def interval(low: float | None, high: float | None) -> str:
    """A rank with its bounds in few characters; an en dash where there is none.

    Example:
        >>> interval(1, 6), interval(2, 2), interval(None, None)
        ('1–6', '2', '–')
    """
    if low is None or high is None or low != low or high != high:
        return "–"
    return f"{low:.0f}" if low == high else f"{low:.0f}–{high:.0f}"


def significant(value: float | None, digits: int = 3) -> str:
    """Text of a number with that many significant digits, without exponent below a million; an en dash for none.

    Example:
        >>> significant(5.9962), significant(170.58), significant(4101.7), significant(1.4035e10), significant(None)
        ('6.00', '171', '4102', '1.40e10', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        head, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{head}e{int(power)}"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(decimals, 0)}f}"
