"""`python -m precompute equation-of-state`: energies of one crystal at some volumes, and the curve through them."""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ase.data import chemical_symbols

from engine.data_folder import DataFolder
from engine.errors import EngineError, SettingsError
from engine.records import Configuration
from engine.registry.models import Model, select_models
from engine.volume_scans import FEWEST, LARGEST_RANGE, LEAST_RANGE, MOST, Scanned, VolumeScan, scanned
from precompute.jobs.prediction import read_file
from precompute.workers.pool import Pool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("file", metavar="FILE", help="POSCAR, CIF or extended XYZ")
    parser.add_argument(
        "--strain", type=float, default=0.06, metavar="S",
        help=f"largest relative change of the volume, {LEAST_RANGE} to {LARGEST_RANGE} (default 0.06)",
    )  # fmt: skip
    parser.add_argument("--volumes", type=int, default=9, metavar="N", help=f"{FEWEST} to {MOST} (default 9)")
    parser.add_argument("--json", action="store_true")


def main(arguments: argparse.Namespace) -> int:
    """Fit an equation of state to one structure file by one or more models; fails where one has no minimum there."""
    if not arguments.model:
        raise SettingsError("equation-of-state needs --model ID.")
    try:
        scan = VolumeScan(arguments.volumes, arguments.strain)
    except ValueError as error:
        raise SettingsError(f"{error}.") from error
    configuration = read_file(Path(arguments.file)).configuration
    rows = list(
        scan_structure(configuration, select_models(arguments.model), DataFolder.default(), arguments.device, scan)
    )
    print(json.dumps(rows, indent=1) if arguments.json else "\n".join(map(line, rows)))
    return 0 if all(row["status"] == "ok" for row in rows) else 1


def scan_structure(
    configuration: Configuration, models: Sequence[Model], folder: DataFolder, device: str, scan: VolumeScan
) -> Iterator[dict[str, Any]]:
    """One row per model: volumes (Å³) and energies (eV) with the fit, or the reason why there is none.

    Args:
        configuration: A crystal.
        models: From the registry; one that does not know an element is not asked.
        folder: With worker environments and weights.
        device: auto, cpu or cuda.
        scan: Which volumes.

    Raises:
        SettingsError: The structure is not periodic in all three directions.
    """
    try:
        configurations = scan.of(configuration)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    symbols = {chemical_symbols[number] for number in configuration.numbers.tolist()}
    for model in models:
        row: dict[str, Any] = {"model_id": model.model_id, "n_atoms": configuration.n_atoms, "status": "failed"}
        if unknown := model.unknown_elements(symbols):
            yield row | {"reason": f"{model.label} does not know {', '.join(unknown)}."}
            continue
        try:
            with Pool(folder, device=device) as pool, pool.borrow(model) as loaded:
                found = loaded.evaluate(configurations).predictions
        except EngineError as error:
            yield row | {"reason": str(error)}
            continue
        energies = [one.energy for one in found if one.energy is not None]
        if len(energies) < len(found):
            yield row | {"reason": next(one.reason for one in found if one.energy is None)}
            continue
        yield row | _numbers(scanned(configurations, energies))


def _numbers(scan: Scanned) -> dict[str, Any]:
    """Numbers of one model for JSON."""
    row: dict[str, Any] = {"volumes": scan.volumes.tolist(), "energies": scan.energies.tolist()}
    if (curve := scan.curve) is None:
        return row | {"reason": scan.reason}
    return row | {
        "status": "ok", "volume": curve.volume, "energy": curve.energy, "bulk_modulus_gpa": curve.bulk_modulus_gpa,
        "derivative": curve.derivative, "residual": curve.residual,
    }  # fmt: skip


def line(row: Mapping[str, Any]) -> str:
    """One model's equation of state as a line of text."""
    if row["status"] != "ok":
        return f"{row['model_id']:28} failed: {row['reason']}"
    n_atoms = row["n_atoms"]
    return (
        f"{row['model_id']:28} V0 {row['volume'] / n_atoms:.4f} Å³/atom   B0 {row['bulk_modulus_gpa']:.2f} GPa   "
        f"B0' {row['derivative']:.2f}   residual {1000 * row['residual'] / n_atoms:.4f} meV/atom"
    )
