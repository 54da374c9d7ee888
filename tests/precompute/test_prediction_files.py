"""Files of predictions as other programs write them: matched to the dataset, or refused with nothing stored."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from engine.data_folder import DataFolder
from engine.errors import PredictionError
from engine.records import Configuration, read_configurations, read_predictions, write_configurations
from engine.registry.datasets import get_dataset
from engine.registry.models import get_model
from precompute.acquire.geometry import atom_order
from precompute.acquire.imports import import_file
from precompute.acquire.prediction_files import read_predictions_file
from tests.precompute.test_label_kinds import frame

SEEDS = range(6)


def alloy(seed: int) -> Atoms:
    """Eight atoms of B2-like order, rattled, with labels of EMT."""
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True) * (2, 1, 1)
    atoms.symbols[::3] = "Au"
    atoms.rattle(0.1, seed=seed)
    atoms.calc = EMT()
    return atoms


def predicted(atoms: Atoms) -> tuple[float, np.ndarray]:
    """A model that is too soft, with a zero of its own, whose errors go with the element."""
    energy = 0.8 * atoms.get_potential_energy() - 3.0 * len(atoms)
    return energy, 0.8 * atoms.get_forces() + 0.01 * (atoms.numbers[:, None] - 40) / 40


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A data folder with an alloy under the id of a dataset of the registry."""
    made = DataFolder(tmp_path / "data")
    cells = [
        Configuration(
            f"c-{seed}", "all", a.numbers, a.positions, a.cell.array, (True,) * 3, a.get_potential_energy(),
            a.get_forces(),
        )
        for seed in SEEDS
        for a in [alloy(seed)]
    ]  # fmt: skip
    write_configurations(made.configurations("w-g"), cells)
    return made


def file_of(tmp_path: Path, change=lambda atoms, forces: (atoms, forces), info: str = "", ids: bool = True) -> Path:
    """Predictions in extended XYZ, with structures changed by a function."""
    text = ""
    for seed in SEEDS:
        energy, forces = predicted(alloy(seed))
        atoms, forces = change(alloy(seed), forces)
        name = f"config_id=c-{seed} " if ids else ""
        text += frame(atoms, f"{name}energy={energy:.8f} {info}", forces=forces)
    (tmp_path / "p.xyz").write_text(text)
    return tmp_path / "p.xyz"


def take(folder: DataFolder, path: Path, **keys: str) -> list[np.ndarray]:
    import_file(get_dataset("w-g"), get_model("mace-omat-0"), path, folder, **keys)
    return [p.forces for p in read_predictions(folder.imported("w-g", "mace-omat-0"))]


def by_element(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    order = np.argsort(atoms.numbers, kind="stable")
    return atoms[order], forces[order]


def reversed_and_wrapped(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    atoms.wrap()
    return atoms[::-1], forces[::-1]


def rounded(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    atoms.positions[:] = np.round(atoms.positions, 3)
    return atoms, forces


def in_other_vectors(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    a, b, c = atoms.cell.array
    atoms.set_cell([a, c, b + c])
    return atoms, forces


@pytest.mark.parametrize("change", [by_element, reversed_and_wrapped, rounded, in_other_vectors])
@pytest.mark.parametrize("ids", [True, False], ids=["ids", "no ids"])
def test_forces_come_into_the_order_of_the_dataset(folder: DataFolder, tmp_path: Path, change, ids: bool) -> None:
    for seed, forces in zip(SEEDS, take(folder, file_of(tmp_path, change, ids=ids)), strict=True):
        np.testing.assert_allclose(forces, predicted(alloy(seed))[1], atol=1e-7)


def moved(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    atoms.positions[3] += [0.05, 0, 0]
    return atoms, forces


def strained(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
    return atoms, forces


def exchanged(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    atoms.symbols[[0, 1]] = atoms.symbols[[1, 0]]
    return atoms, forces


def other_elements(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    atoms.symbols[0] = "Ag"
    return atoms, forces


def turned(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    return atoms, -forces


def in_mev(atoms: Atoms, forces: np.ndarray) -> tuple[Atoms, np.ndarray]:
    return atoms, 1000 * forces


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (moved, r"row 0 \('c-0'\): its positions are not those of the dataset: 1 of 8 atoms, such as atom 3"),
        (strained, "its cell differs from that of the dataset by 0.07"),
        (exchanged, "its positions are not those of the dataset: 2 of 8"),
        (other_elements, "it has Ag"),
        (turned, "the sign is turned"),
        (in_mev, "as if in meV/Å"),
    ],
)
def test_what_is_of_other_structures_or_units_is_refused(folder: DataFolder, tmp_path: Path, change, said: str) -> None:
    with pytest.raises(PredictionError, match=said):
        take(folder, file_of(tmp_path, change))
    assert not folder.imported("w-g", "mace-omat-0").exists()


def rows(energy: float = 1.0, per_atom: bool = False) -> list[dict[str, object]]:
    found = []
    for seed in SEEDS:
        value, forces = predicted(alloy(seed))
        value *= energy / (8 if per_atom else 1)
        found.append({"config_id": f"c-{seed}", "energy": value, "forces": forces.tolist()})
    return found


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"per_atom": True}, "per atom; totals"), ({"energy": 1e3}, "as if in meV"), ({"energy": 1 / 27.2114}, "Hartree")],
)
def test_energies_of_other_units_are_refused_without_geometry_too(
    folder: DataFolder, tmp_path: Path, changes: dict, said: str
) -> None:
    pq.write_table(pa.Table.from_pylist(rows(**changes)), tmp_path / "p.parquet")

    with pytest.raises(PredictionError, match=said):
        take(folder, tmp_path / "p.parquet")


def test_forces_in_another_order_are_told_without_geometry_too(folder: DataFolder, tmp_path: Path) -> None:
    shuffled = [row | {"forces": np.roll(row["forces"], 3, axis=0).tolist()} for row in rows()]
    pq.write_table(pa.Table.from_pylist(shuffled), tmp_path / "p.parquet")

    with pytest.raises(PredictionError, match="as if its atoms were in another order"):
        take(folder, tmp_path / "p.parquet")


def test_the_same_numbers_in_the_right_units_are_taken(folder: DataFolder, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows()), tmp_path / "p.parquet")

    assert len(take(folder, tmp_path / "p.parquet")) == len(SEEDS)


@pytest.mark.parametrize("names", [("dft_energy", "energy"), ("REF_energy", "nequip_energy"), ("energy", "orb_energy")])
def test_labels_beside_predictions_are_told_by_name_or_value(
    folder: DataFolder, tmp_path: Path, names: tuple[str, str]
) -> None:
    text = ""
    for seed in SEEDS:
        atoms, (energy, forces) = alloy(seed), predicted(alloy(seed))
        info = f"config_id=c-{seed} {names[0]}={atoms.get_potential_energy():.6f} {names[1]}={energy:.6f}"
        columns = {name.replace("energy", "forces"): None for name in names}
        columns = dict(zip(columns, (atoms.get_forces(), forces), strict=True))
        text += frame(atoms, info, **columns)
    (tmp_path / "p.xyz").write_text(text)

    np.testing.assert_allclose(take(folder, tmp_path / "p.xyz")[2], predicted(alloy(2))[1], atol=1e-7)


def test_predictions_of_two_models_in_one_file_are_a_question(folder: DataFolder, tmp_path: Path) -> None:
    path = file_of(tmp_path, info="mace_energy=-24.5")

    with pytest.raises(PredictionError, match="more than one set of predictions: 'energy', 'mace_energy'"):
        take(folder, path)
    assert len(take(folder, path, energy_key="energy")) == len(SEEDS)


def test_labels_copied_as_predictions_are_refused(folder: DataFolder, tmp_path: Path) -> None:
    labels = read_configurations(folder.configurations("w-g"))
    copied = [{"config_id": c.config_id, "energy": c.energy - 5.0, "forces": c.forces.tolist()} for c in labels]
    pq.write_table(pa.Table.from_pylist(copied), tmp_path / "p.parquet")

    with pytest.raises(PredictionError, match="reference forces of the dataset to rounding"):
        take(folder, tmp_path / "p.parquet", forces_key="forces")


def test_a_structure_without_id_that_the_dataset_lacks_is_refused(folder: DataFolder, tmp_path: Path) -> None:
    with pytest.raises(PredictionError, match="row 0: it has no config_id, and the dataset has no such structure"):
        take(folder, file_of(tmp_path, moved, ids=False))


def test_two_atoms_at_one_place_have_no_order() -> None:
    atoms = Atoms("Cu3", [[0, 0, 0], [0, 0, 0.001], [2, 0, 0]], cell=[9, 9, 9], pbc=True)
    wanted = Configuration("a", "all", atoms.numbers, atoms.positions, atoms.cell.array, (True,) * 3)
    swapped = Configuration("a", "all", atoms.numbers, atoms.positions[[2, 0, 1]], atoms.cell.array, (True,) * 3)

    with pytest.raises(PredictionError, match="positions are not those"):
        atom_order(wanted, swapped, "a")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("p.csv", "config_id,energy\nc0,-1\n", "is a table of text"),
        ("p.json", '[{"config_id": "c0", "energy": -1}]', "is JSON"),
        ("p.npz", "PK\x03\x04", "is a numpy archive"),
    ],
)
def test_other_tables_are_refused_with_the_way_to_parquet(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)

    with pytest.raises(PredictionError, match=f"{said}.*to_parquet"):
        read_predictions_file(tmp_path / name, [])
