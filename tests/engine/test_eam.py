"""The EAM family sums over all pairs at once; ASE's own loop over atoms says what must come out."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.eam import EAM

from engine.families.eam import load
from tests.tiny.tiny_eam import setfl


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eam")
    (folder / "W-Mo.eam.alloy").write_text(setfl(), encoding="utf-8")
    return folder


@pytest.fixture
def alloy() -> Atoms:
    atoms = bulk("W", "bcc", a=3.17).repeat((3, 2, 2))
    atoms.symbols[[0, 3, 4]] = "Mo"
    atoms.rattle(0.1, seed=1)
    return atoms


def test_energy_forces_and_stress_are_those_of_ase(folder, alloy):
    ours, theirs = load(str(folder), "cpu"), EAM(potential=str(folder / "W-Mo.eam.alloy"), form="alloy")
    for calculator in (ours, theirs):
        calculator.calculate(alloy, ["energy", "forces", "stress"])
    assert ours.results["energy"] == pytest.approx(theirs.results["energy"], abs=1e-10)
    np.testing.assert_allclose(ours.results["forces"], theirs.results["forces"], atol=1e-10)
    np.testing.assert_allclose(ours.results["stress"], theirs.results["stress"], atol=1e-12)
    assert np.abs(theirs.results["forces"]).max() > 0.1


def test_the_file_is_chosen_by_the_elements(folder, alloy, tmp_path):
    for element in ("W", "Mo"):
        text = setfl().replace(" W Mo\n", f" {element} {'V' if element == 'W' else 'Nb'}\n")
        (tmp_path / f"{element}.eam.alloy").write_text(text, encoding="utf-8")
    calculator = load(str(tmp_path), "cpu")
    calculator.calculate(bulk("W"))
    with pytest.raises(ValueError, match="no cross terms"):
        calculator.calculate(alloy)
    with pytest.raises(ValueError, match="no file knows Fe"):
        calculator.calculate(bulk("Fe"))


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no \.eam\.alloy file"):
        load(str(tmp_path), "cpu")
