"""Small structure files of kinds that went wrong elsewhere, each with what is right of it (`right.json` beside them).

What matters of a structure is compared: elements, periodicity, volume of the cell and shortest distance. The other
cases are labels of datasets and imports; they stand in `tests/precompute/test_cases.py`.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from engine.data_folder import DataFolder
from engine.errors import DatasetError
from engine.readers.checks import check_elements
from engine.readers.uploads import read_upload
from engine.registry.models import get_model
from precompute.jobs.prediction import predict_file, read_file
from precompute.workers.worker_envs import why_not_runnable

CASES = Path(__file__).parents[1] / "fixtures" / "cases"
RIGHT = json.loads((CASES / "right.json").read_text(encoding="utf-8"))

READ = {
    # case: atoms, volume of the cell (Å³), shortest distance (Å), what is warned of
    "P07": ("NbMo", 3.3**3, 3.3 * 0.75**0.5, ""),
    "P09": ("NbMo", 3.3**3, 3.3 * 0.75**0.5, ""),
    "P10": ("Ti4H8", 4.45**3, 4.45 * 3**0.5 / 4, ""),
    "P11": ("W2", 3.17**3, 3.17 * 0.75**0.5, ""),
    "P12": ("W2", 3.17**3, 3.17 * 0.75**0.5, ""),
    "P14": ("Ti2", 3.009**2 * 0.75**0.5 * 4.7736, 2.9494, ""),
    "C01": ("W15", 6.34**3, 2.6417, ""),
    "C02": ("NiAl", 2.89**3, 2.89 * 0.75**0.5, "without symmetry"),
    "C03": ("FeAl", 2.89**3, 2.89 * 0.75**0.5, ""),
    "C04": ("CoCr", 2.85**3, 2.85 * 0.75**0.5, ""),
    "C06": ("Mg8Cu16", 7.03**3, 7.03 / 8**0.5, ""),
    "C07": ("Ta2", 3.31**3, 3.31 * 0.75**0.5, ""),
    "C12": ("Mg2", 3.21**2 * 0.75**0.5 * 5.21, (3.21**2 / 3 + 5.21**2 / 4) ** 0.5, ""),
    "C16": ("Bi2", 70.768, 3.07, ""),
    "X01": ("W15", 6.34**3, 2.6417, ""),
    "X05": ("NiAl", 0.0, 1.445 * 3**0.5, "not periodic"),
    "X07": ("W", 20.0**3, np.inf, "no neighbour within 6 Å of atom 0 (W)"),
    "X08": ("Po", 3.36**3, 3.36, ""),
    "X09": ("Cu2", 30.0**3, 0.5, "shortest Cu–Cu 0.50 Å"),
}
REFUSED = {
    # case: what the refusal says
    "P06": ["XDATCAR", "3 structures", "ase convert -n -1"],
    "P08": ["line 6 names 2 elements", "line 7 holds 1 number"],
    "C05": ["'NI1'", "_atom_site_type_symbol"],
    "C09": ["mixed site", "0.6Ni + 0.4Fe"],
    "C17": ["Va1", "vacancy"],
    "C18": ["line 14", "number of values"],
    "D08": ["8 structures"],
    "D19a": ["an ASE trajectory", "ase convert -n -1 md.traj"],
    "D19c": ["a DeepMD folder", "dpdata"],
    "D19d": ["an MTP file", "extended XYZ"],
    "D19e": ["JSON of pymatgen", "MPtrj"],
    "D19f": ["JSON of pymatgen", "MatPES"],
    "D21": ["8 structures"],
}
ELSEWHERE = {  # labels of datasets, and imports
    "D02", "D03", "D03b", "D04", "D05c", "D06", "D07", "D10", "D11", "D11b", "D12", "D13", "D16", "D17", "D18", "D20",
    "D22", "E01", "E02", "E03",
}  # fmt: skip


def path_of(case: str) -> Path:
    return CASES / RIGHT[case]["file"]


def test_every_case_is_covered():
    assert set(READ) | set(REFUSED) | ELSEWHERE == set(RIGHT)


@pytest.mark.parametrize("case", READ)
def test_a_case_that_can_be_read_is_read_right(case):
    symbols, volume, shortest, warned = READ[case]
    upload = read_upload(path_of(case).name, path_of(case).read_bytes())
    c = upload.configuration
    atoms = Atoms(c.numbers, c.positions, cell=c.cell, pbc=c.pbc)

    assert atoms.symbols.formula.count() == Atoms(symbols).symbols.formula.count()
    assert c.pbc == ((False,) * 3 if case == "X05" else (True,) * 3)
    assert abs(np.linalg.det(c.cell)) == pytest.approx(volume, rel=1e-4)
    distances = (
        (atoms * (2, 2, 2)).get_all_distances(mic=True)[np.triu_indices(8 * len(atoms), 1)] if volume else [shortest]
    )
    if np.isfinite(shortest):
        assert min(distances) == pytest.approx(shortest, abs=6e-3)
    assert all(warned in check.text for check in upload.checks if not check.is_fine) or warned
    assert warned in " ".join(check.text for check in upload.checks if not check.is_fine)


@pytest.mark.parametrize("case", REFUSED)
def test_a_case_that_cannot_be_read_says_why(case):
    with pytest.raises(DatasetError) as caught:
        read_file(path_of(case))

    assert [words for words in REFUSED[case] if words not in str(caught.value)] == []


def test_polonium_is_outside_of_what_a_model_knows():
    upload = read_upload("po.xyz", path_of("X08").read_bytes())

    check = check_elements(upload.configuration, {"CHGNet": ["W", "Cu"], "Other": ["Po"]})

    assert (check.is_fine, check.text) == (False, "CHGNet does not know Po")


@pytest.mark.family
@pytest.mark.parametrize(
    ("case", "energy"), [("C01", -189.2090), ("X01", -189.2090), ("C16", -7.5939), ("C06", -82.2607)]
)
def test_chgnet_gives_the_energy_of_the_periodic_cell(case, energy, tmp_path):
    if reason := why_not_runnable(get_model("chgnet-0.3.0"), DataFolder.default()):
        pytest.skip(reason)

    (row,) = predict_file(path_of(case), [get_model("chgnet-0.3.0")], DataFolder.default(), "cpu")

    assert row["energy"] == pytest.approx(energy, abs=2e-3)
