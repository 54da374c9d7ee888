"""Small files of kinds that went wrong elsewhere, each with what is right of it (`tests/fixtures/cases/right.json`).

Their labels are those of ASE's EMT, so whatever is accepted can be computed again.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from engine.data_folder import DataFolder
from engine.errors import DatasetError, PredictionError
from engine.readers.label_keys import Keys
from engine.records import Configuration, read_configurations, read_predictions
from engine.registry.datasets import get_dataset
from engine.registry.models import get_model
from precompute.acquire.imports import import_file
from precompute.acquire.user_datasets import add
from precompute.jobs.prediction import predict_file
from precompute.workers.worker_envs import why_not_runnable

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
RIGHT = json.loads((CASES / "right.json").read_text(encoding="utf-8"))

REFUSED = {
    # case: what the refusal says
    "D02": ["'energy' with 'forces'", "'dft_energy' with 'dft_force'", "--reference-key dft_energy"],
    "D03": ["'dft_energy'", "--reference-key dft_energy --forces-key dft_force --virial-key dft_virial"],
    "D06": ["'free_energy'", "--reference-key free_energy"],
    "D11b": ["no converged step of DFT", "machine-learned force field"],
    "D12": ["NELM = 20", "not converged", "3 of 3 steps"],
    "D19a": ["an ASE trajectory", "ase convert"],
    "D19c": ["a DeepMD folder", "extended XYZ"],
    "D19d": ["an MTP file", "--species"],
    "D19e": ["JSON of pymatgen, as MPtrj", "extended XYZ"],
    "D19f": ["JSON of MatPES", "extended XYZ"],
}
ADDED = {
    # case: configurations, of them with stress, what the report warns of
    "D04": (15, 15, ""),
    "D05c": (8, 8, "as if in GPa"),
    "D07": (9, 8, ""),
    "D08": (8, 0, ""),
    "D10": (8, 0, "they look like energies per atom"),
    "D11": (2, 2, "3 of 5 steps left out (1, 2, 4): they are predictions of VASP's machine-learned force field"),
    "D13": (3, 3, "its element 'r' is Zr"),
    "D16": (1, 1, "2 of 3 steps left out (0, 2): the electronic steps reached NELM = 30"),
    "D17": (1, 1, ""),
    "D18": (2, 2, ""),
    "D20": (8, 0, ""),
    "D21": (8, 0, ""),
    "D22": (2, 2, "its title says Cu3 Au1, its potentials Au3 Cu1"),
}
IMPORTED = ("E01", "E02", "E03")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path / "data"))
    return DataFolder(tmp_path / "data")


def emt(c: Configuration) -> Atoms:
    atoms = Atoms(c.numbers, c.positions, cell=c.cell, pbc=c.pbc)
    atoms.calc = EMT()
    return atoms


def test_every_case_of_datasets_and_imports_is_here() -> None:
    ours = {case for case in RIGHT if case[0] in "DE"}
    assert ours == {*REFUSED, *ADDED, *IMPORTED, "D03b"}


@pytest.mark.parametrize("case", REFUSED)
def test_case_is_refused_with_the_way_out(folder: DataFolder, case: str) -> None:
    with pytest.raises(DatasetError) as caught:
        add(CASES / RIGHT[case]["file"], "mine", folder)
    assert all(words in str(caught.value) for words in (RIGHT[case]["file"], *REFUSED[case]))


@pytest.mark.parametrize("case", ADDED)
def test_case_is_added_and_what_is_odd_is_said(folder: DataFolder, case: str) -> None:
    lines: list[str] = []
    n_configs, n_stresses, said = ADDED[case]

    add(CASES / RIGHT[case]["file"], "mine", folder, show=lines.append)

    found = read_configurations(folder.configurations("mine"))
    warned = [line for line in lines if "warning" in line and said in line]
    assert (len(found), sum(c.stress is not None for c in found)) == (n_configs, n_stresses)
    assert bool(warned) or not said


@pytest.mark.parametrize("case", ["D04", "D07", "D08", "D11", "D16", "D18", "D20", "D21"])
def test_labels_of_an_added_case_are_those_that_emt_gives(folder: DataFolder, case: str) -> None:
    add(CASES / RIGHT[case]["file"], "mine", folder)

    for c in read_configurations(folder.configurations("mine")):
        assert c.energy == pytest.approx(emt(c).get_potential_energy(), abs=1e-4)  # OUTCAR: positions to 1e-5 Å
        np.testing.assert_allclose(c.forces, emt(c).get_forces(), atol=2e-4)
        if c.stress is not None:
            np.testing.assert_allclose(c.stress, emt(c).get_stress(), atol=2e-5)


def test_keys_that_are_named_are_read_and_the_virial_with_them(folder: DataFolder) -> None:
    add(CASES / RIGHT["D03b"]["file"], "mine", folder, keys=Keys("dft_energy", "dft_force"))

    for c in read_configurations(folder.configurations("mine")):
        assert c.energy == pytest.approx(emt(c).get_potential_energy(), abs=1e-8)
        np.testing.assert_allclose(c.stress, emt(c).get_stress(), atol=1e-8)


@pytest.mark.parametrize("case", IMPORTED)
def test_imported_case_has_its_true_error(folder: DataFolder, case: str) -> None:
    add(CASES / "ref-cu.xyz", "cu", folder)

    import_file(get_dataset("cu"), get_model("mace-omat-0"), CASES / RIGHT[case]["file"], folder)

    reference = read_configurations(folder.configurations("cu"))
    predicted = read_predictions(folder.imported("cu", "mace-omat-0"))
    pairs = list(zip(predicted, reference, strict=True))
    energies = np.array([(p.energy - c.energy) / c.n_atoms for p, c in pairs])
    forces = np.concatenate([p.forces - c.forces for p, c in pairs])
    assert 1000 * np.sqrt((energies**2).mean()) == pytest.approx(4513.1, abs=0.05)
    assert 1000 * np.sqrt((forces**2).mean()) == pytest.approx(285.6, abs=0.05)


def test_the_reference_alone_is_no_prediction(folder: DataFolder) -> None:
    add(CASES / "ref-cu.xyz", "cu", folder)
    model = get_model("mace-omat-0")

    with pytest.raises(PredictionError, match="holds the reference and no predictions: 'REF_energy'"):
        import_file(get_dataset("cu"), model, CASES / "ref-cu.xyz", folder)
    with pytest.raises(PredictionError, match="are the reference energies of the dataset to rounding"):
        import_file(get_dataset("cu"), model, CASES / "ref-cu.xyz", folder, energy_key="REF_energy")
    assert not folder.imported("cu", "mace-omat-0").exists()


@pytest.mark.family
def test_a_left_handed_poscar_has_the_stress_of_the_right_handed_cell() -> None:
    folder, model = DataFolder.default(), get_model("chgnet-0.3.0")
    if why_not_runnable(model, folder):
        pytest.skip(why_not_runnable(model, folder))

    (row,) = predict_file(CASES / RIGHT["P14"]["file"], [model], folder, "cpu")

    assert row["energy"] == pytest.approx(-15.58867, abs=1e-4)
    np.testing.assert_allclose(row["stress"][:3], [0.03307, 0.03307, 0.02659], atol=2e-5)
