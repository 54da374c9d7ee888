"""VASP's output: which ionic steps are labels of DFT, and numbers and names that VASP writes badly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine.errors import DatasetError
from engine.readers.outcar import outcar_steps, read_outcar
from engine.readers.vasp import vasprun_steps

FIXTURES = Path(__file__).parents[1] / "fixtures" / "readers"


@dataclass
class Step:
    """One ionic step to be written."""

    n_electronic: int = 5
    is_ml: bool = False
    says: str = "aborting loop because EDIFF is reached"
    height: str = "  4.050000000"
    force: str = "     0.000000     -0.000000      0.500000"
    stress: str = "   -12.00000   -13.00000   -14.00000     1.00000     2.00000     3.00000"


def outcar(tmp_path: Path, steps: list[Step], head: str = "", counts: str = "1    1", nelm: int = 40) -> Path:
    """An OUTCAR of two atoms."""
    head = head or " POTCAR:    PAW_PBE Al 04Jan2001\n POTCAR:    PAW_PBE Ni 02Aug2007\n" * 2
    text = f" vasp.6.4.2\n{head}   ions per type =               {counts}\n   NELM   =    {nelm};   NELMIN=  2;\n"
    for i, step in enumerate(steps):
        ml = " ML" if step.is_ml else ""
        loops = 0 if step.is_ml else step.n_electronic
        text += "".join(f"---- Iteration {i + 1:6d}({k + 1:4d})  ----\n" for k in range(loops))
        text += f" {step.says}\n{ml} FORCE on cell =-STRESS in cart. coord.  units (eV):\n  in kB {step.stress}\n"
        text += "      direct lattice vectors                 reciprocal lattice vectors\n"
        text += "     4.050000000  0.000000000  0.000000000    0.246913580  0.000000000  0.000000000\n"
        text += "     0.000000000  4.050000000  0.000000000    0.000000000  0.246913580  0.000000000\n"
        text += f"     0.000000000  0.000000000{step.height}    0.000000000  0.000000000  0.246913580\n"
        text += f" POSITION                 TOTAL-FORCE (eV/Angst){' (ML)' if step.is_ml else ''}\n -----\n"
        text += f"      0.00000      0.00000      0.00000    {step.force}\n"
        text += "      2.02500      2.02500      2.02500         0.000000      0.000000     -0.500000\n -----\n"
        text += f" {ml} FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n"
        text += f"  free  energy{ml} TOTEN  =   -9.1 eV\n\n {ml}energy without entropy= -9.2 "
        text += f" {ml}energy(sigma->0) = -9.{i}\n"
    (tmp_path / "OUTCAR").write_text(text + " General timing and accounting informations for this job:\n")
    return tmp_path / "OUTCAR"


def test_steps_are_read_with_the_energy_without_smearing_and_tension_positive(tmp_path: Path) -> None:
    first, second = read_outcar(outcar(tmp_path, [Step(), Step()]))

    assert (first.config_id, second.config_id) == ("OUTCAR_0000", "OUTCAR_0001")
    assert (first.energy, second.energy) == (-9.0, -9.1)
    assert first.numbers.tolist() == [13, 28]
    # xx, yy, zz, yz, xz, xy from xx, yy, zz, xy, yz, zx; VASP counts pressure in kbar
    np.testing.assert_allclose(first.stress * -1602.1766, [-12, -13, -14, 2, 3, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("steps", "kept", "said"),
    [
        (
            [Step(), Step(is_ml=True), Step()],
            ["OUTCAR_0000", "OUTCAR_0002"],
            "1 of 3 steps left out (1): they are",
        ),
        ([Step(), Step(n_electronic=40)], ["OUTCAR_0000"], "left out (1): the electronic steps reached NELM = 40"),
        ([Step(says="EDIFF was not reached (unconverged)"), Step()], ["OUTCAR_0001"], "left out (0): the electronic"),
    ],
    ids=["machine-learned", "NELM reached", "said so"],
)
def test_steps_that_are_no_labels_are_left_out_and_named(
    tmp_path: Path, steps: list[Step], kept: list[str], said: str
) -> None:
    found = outcar_steps(outcar(tmp_path, steps))

    assert [c.config_id for c in found.configurations] == kept
    assert len(found.remarks) == 1 and said in found.remarks[0]


def test_no_label_at_all_is_a_refusal_with_each_reason(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no converged step of DFT: 1 of 2 .*machine-learned.*; 1 of 2 .*NELM = 40"):
        read_outcar(outcar(tmp_path, [Step(is_ml=True), Step(n_electronic=41)]))


@pytest.mark.parametrize(
    ("step", "check"),
    [
        (Step(height="123.456789012"), lambda c: c.cell[2, 2] == 123.456789012),
        (Step(force="  -101.234567   -200.000000-1000.500000"), lambda c: c.forces[0, 2] == -1000.5),
        (Step(stress="-123456.12345-23456.12345   -14.00000     1.00000     2.00000     3.00000"),
         lambda c: c.stress[1] == pytest.approx(23456.12345 / 1602.1766208)),
    ],
    ids=["lattice", "force", "stress"],
)  # fmt: skip
def test_numbers_that_run_together_are_taken_apart_by_their_decimals(tmp_path: Path, step: Step, check) -> None:
    (found,) = read_outcar(outcar(tmp_path, [step]))

    assert check(found)


def test_a_number_too_large_for_its_field_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"configuration 0: it cannot be read \(line \d+: .*\*{5}"):
        read_outcar(outcar(tmp_path, [Step(force=" ************      0.000000      0.000000")]))


AL, NI = " POTCAR:    PAW_PBE Al 04Jan2001\n", " POTCAR:    PAW_PBE Ni_pv 06Sep2000\n"
TITLES = "   TITEL  = PAW_PBE Al 04Jan2001\n   TITEL  = PAW_PBE Ni_pv 06Sep2000\n"


@pytest.mark.parametrize(
    ("head", "counts", "numbers"),
    [
        ((AL + NI) * 2, "1    1", [13, 28]),
        ((AL + NI) * 3, "1    1", [13, 28]),
        (AL + NI + AL + TITLES, "1    1", [13, 28]),
        (NI * 5, "2", [28, 28]),
        (AL * 3, "1    1", [13, 13]),
    ],
    ids=["twice", "three times", "titles", "five times one", "two types of one element"],
)
def test_elements_follow_from_the_potentials_however_often_they_are_listed(
    tmp_path: Path, head: str, counts: str, numbers: list[int]
) -> None:
    assert read_outcar(outcar(tmp_path, [Step()], head, counts))[0].numbers.tolist() == numbers


def test_potentials_that_fit_no_ion_types_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="its potentials are Al, Ni, Ni, but it has 2 ion types"):
        read_outcar(outcar(tmp_path, [Step()], AL + NI + NI))


@pytest.mark.parametrize(
    ("title", "is_odd"), [("Ni Al", True), ("Al Ni", False), ("Ni2 Al1", True), ("Al1Ni1", False), ("NiAl B2", False)]
)
def test_a_title_of_other_elements_than_the_potentials_is_said(tmp_path: Path, title: str, is_odd: bool) -> None:
    remarks = outcar_steps(outcar(tmp_path, [Step()], (AL + NI) * 2 + f" POSCAR: {title}\n")).remarks

    assert bool(remarks) is is_odd


def vasprun(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = (FIXTURES / "vasprun.xml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "vasprun.xml").write_text(text)
    return tmp_path / "vasprun.xml"


def test_a_vasprun_step_without_electronic_steps_is_machine_learned(tmp_path: Path) -> None:
    text = (FIXTURES / "vasprun.xml").read_text()
    step = text.split("<calculation>")[2]
    bare = step[step.index("</scstep>") + len("</scstep>") :]
    path = vasprun(tmp_path, (step, bare), ("<parameters>", '<parameters><i type="logical" name="ML_LMLFF">T</i>'))

    found = vasprun_steps(path)

    assert [c.config_id for c in found.configurations] == ["vasprun_0000", "vasprun_0002"]
    assert "machine-learned" in found.remarks[0]


def test_a_vasprun_that_reaches_nelm_everywhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="3 of 3 steps left out"):
        vasprun_steps(vasprun(tmp_path, ("<parameters>", '<parameters><i type="int" name="NELM">1</i>')))


@pytest.mark.parametrize(
    ("cut", "potential", "number"), [("r ", "PAW_PBE Zr_sv 04Jan2005", 40), ("u", "PAW_PBE Cu", 29)]
)
def test_an_element_cut_short_is_that_of_its_potential(tmp_path: Path, cut: str, potential: str, number: int) -> None:
    kinds = f'<array name="atomtypes"><set><rc><c>4</c><c>{cut}</c><c>{potential}</c></rc></set></array>'

    found = vasprun_steps(vasprun(tmp_path, ("<c>Cu</c>", f"<c>{cut}</c>"), ("</atominfo>", f"{kinds}</atominfo>")))

    assert set(found.configurations[0].numbers.tolist()) == {number}
    assert potential in found.remarks[0]
