"""Labels as programs write them: what is told apart, in elements and habits other than those of `test_cases`."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from engine.data_folder import DataFolder
from engine.errors import DatasetError, EngineError, PredictionError
from engine.readers.extxyz import read_extxyz
from engine.readers.label_keys import Keys, classify
from engine.readers.plausibility import stresses
from engine.records import Prediction, read_configurations
from precompute.acquire.prediction_checks import check_predictions
from precompute.acquire.user_datasets import add

NAMES = ["xx", "xy", "xz", "yx", "yy", "yz", "zx", "zy", "zz"]


def crystal(symbol: str, seed: int, scale: float = 1.0, rattle: float = 0.1) -> Atoms:
    """Four atoms of a metal, rattled."""
    atoms = bulk(symbol, "fcc", cubic=True)
    atoms.set_cell(atoms.cell * scale, scale_atoms=True)
    atoms.rattle(rattle, seed=seed)
    atoms.calc = EMT()
    return atoms


def nine(tensor: np.ndarray) -> str:
    """A symmetric tensor in Voigt order as nine numbers in quotes."""
    full = [tensor[k] for k in (0, 5, 4, 5, 1, 3, 4, 3, 2)]
    return '"' + " ".join(f"{value:.10f}" for value in full) + '"'


def frame(atoms: Atoms, info: str, **columns: np.ndarray) -> str:
    """Extended XYZ of one structure with what is given."""
    heads = "".join(f":{name}:R:3" for name in columns)
    lattice = " ".join(f"{value:.8f}" for value in atoms.cell.array.ravel())
    pbc = " ".join("T" if flag else "F" for flag in atoms.pbc)
    values = np.hstack([atoms.positions, *columns.values()])
    rows = "".join(
        f"{symbol} {' '.join(f'{value:.8f}' for value in row)}\n"
        for symbol, row in zip(atoms.get_chemical_symbols(), values, strict=True)
    )
    return f'{len(atoms)}\nLattice="{lattice}" pbc="{pbc}" {info} Properties=species:S:1:pos:R:3{heads}\n{rows}'


def two_sets(symbol: str, first: str, second: str, apart: float) -> str:
    """Frames with labels of EMT under one pair of names, and labels that are apart under another."""
    text = ""
    for seed in range(3):
        atoms = crystal(symbol, seed)
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        (e1, f1), (e2, f2) = first.split(","), second.split(",")
        info = f"{e1}={energy:.8f} {e2}={energy + apart:.8f}"
        text += frame(atoms, info, **{f1: forces, f2: forces + apart})
    return text


def write(tmp_path: Path, text: str, name: str = "x.xyz") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path / "data"))
    return DataFolder(tmp_path / "data")


def report(path: Path, folder: DataFolder, **options: object) -> str:
    lines: list[str] = []
    add(path, "mine", folder, show=lines.append, **options)  # type: ignore[arg-type]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("symbol", "first", "second"),
    [
        ("Ni", "energy,forces", "qm_energy,qm_forces"),
        ("Al", "gap_energy,gap_force", "energy,force"),
        ("Pd", "REF_energy,REF_forces", "energy,forces"),
        ("Ag", "energy_vasp,forces_vasp", "energy_nep,forces_nep"),
        ("Pt", "DFTEnergy,DFTForces", "Energy,forces"),
    ],
)
def test_two_sets_of_labels_are_a_question(tmp_path: Path, symbol: str, first: str, second: str) -> None:
    path = write(tmp_path, two_sets(symbol, first, second, apart=0.3))

    with pytest.raises(DatasetError, match="--reference-key") as caught:
        read_extxyz(path)

    assert all(repr(first.split(",")[0]) in str(caught.value) for first in (first, second))
    energy, forces = first.split(",")
    chosen = read_extxyz(path, energy_key=energy, forces_key=forces)[1]
    assert chosen.energy == pytest.approx(crystal(symbol, 1).get_potential_energy(), abs=1e-7)


@pytest.mark.parametrize("second", ["energy,forces", "free_energy,forces_copy"])
def test_two_sets_that_say_the_same_are_one(tmp_path: Path, second: str) -> None:
    first = "REF_energy,REF_forces" if second.startswith("energy") else "energy,forces"
    (one, *_) = read_extxyz(write(tmp_path, two_sets("Au", first, second, apart=0.0)))

    assert one.energy == pytest.approx(crystal("Au", 0).get_potential_energy(), abs=1e-7)
    assert one.forces is not None


@pytest.mark.parametrize("name", ["E", "U_ref"])
def test_a_name_that_says_nothing_is_listed(tmp_path: Path, folder: DataFolder, name: str) -> None:
    path = write(tmp_path, frame(crystal("Ag", 0), f"{name}=-9.5"))

    with pytest.raises(DatasetError, match=f"'{name}'.*--reference-key NAME"):
        add(path, "mine", folder)
    add(path, "mine", folder, keys=Keys(energy=name))
    assert read_configurations(folder.configurations("mine"))[0].energy == -9.5


def test_energy_beside_another_free_energy_is_a_question(tmp_path: Path) -> None:
    atoms = crystal("Pd", 0)
    path = write(tmp_path, frame(atoms, "energy=-20.1 free_energy=-20.13", forces=atoms.get_forces()))

    with pytest.raises(DatasetError, match=r"'free_energy' -20\.13"):
        read_extxyz(path)
    assert read_extxyz(path, energy_key="free_energy")[0].energy == -20.13


def test_labels_of_two_names_in_different_frames_are_a_question(tmp_path: Path) -> None:
    path = write(tmp_path, frame(crystal("Ni", 0), "REF_energy=-20") + frame(crystal("Ni", 1), "energy=-20"))

    with pytest.raises(DatasetError, match="configuration 1 has 'energy' but no 'REF_energy'"):
        read_extxyz(path)


def test_forces_of_another_origin_are_not_taken_for_a_named_energy(tmp_path: Path) -> None:
    atoms = crystal("Al", 0)
    path = write(tmp_path, frame(atoms, "energy=-1 dft_energy=-2", forces=atoms.get_forces()))

    with pytest.raises(DatasetError, match="which forces belong to 'dft_energy'"):
        read_extxyz(path, energy_key="dft_energy")
    assert read_extxyz(path, energy_key="dft_energy", forces_key="none")[0].forces is None


@pytest.mark.parametrize("key", ["energy_key", "forces_key", "stress_key", "virial_key"])
def test_a_named_key_that_is_nowhere_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(DatasetError, match="'lost' is in no configuration"):
        read_extxyz(write(tmp_path, frame(crystal("Al", 0), "energy=-1")), **{key: "lost"})


@pytest.mark.parametrize(
    ("name", "quantity", "origin"),
    [
        ("REF_energy", "energy", "ref"), ("MACE_forces", "forces", "mace"), ("dft_virials", "virial", "dft"),
        ("castepEnergy", "energy", "castep"), ("Energy", "energy", ""), ("total_energy", "energy", ""),
        ("virial_stress", "virial", "stress"), ("gap_energy", "energy", "gap"),
    ],
)  # fmt: skip
def test_names_of_labels_say_quantity_and_origin(name: str, quantity: str, origin: str) -> None:
    key = classify(name)
    assert key is not None and (key.quantity, key.origin) == (quantity, origin)


@pytest.mark.parametrize(
    "name", ["energy_per_atom", "energy_weight", "formation_energy", "kinetic_energy", "force_mask", "config_type"]
)
def test_other_quantities_are_no_labels(name: str) -> None:
    assert classify(name) is None


@pytest.mark.parametrize("name", ["virial", "virials", "REF_virial", "ref_virials"])
@pytest.mark.parametrize("symbol", ["Ni", "Ag"])
def test_a_virial_of_any_name_is_minus_stress_times_volume(tmp_path: Path, name: str, symbol: str) -> None:
    atoms = crystal(symbol, 0, scale=1.02)
    energy = "REF_energy" if name.lower().startswith("ref") else "energy"
    info = f"{energy}={atoms.get_potential_energy():.8f} {name}={nine(-atoms.get_stress() * atoms.get_volume())}"

    (found,) = read_extxyz(write(tmp_path, frame(atoms, info)))

    np.testing.assert_allclose(found.stress, atoms.get_stress(), atol=1e-9)


@pytest.mark.parametrize("factor", [-1.0, 160.2])
def test_a_stress_that_contradicts_the_virial_is_a_question(tmp_path: Path, factor: float) -> None:
    atoms = crystal("Al", 0, scale=0.97)
    stress = atoms.get_stress()
    info = f"energy=-1 virial={nine(-stress * atoms.get_volume())} stress={nine(stress * factor)}"
    path = write(tmp_path, frame(atoms, info))

    with pytest.raises(DatasetError, match="not minus its virial over the volume"):
        read_extxyz(path)
    np.testing.assert_allclose(read_extxyz(path, virial_key="virial")[0].stress, stress, atol=1e-9)


@pytest.mark.parametrize("pbc", [(True, True, True), (False, False, False)], ids=["in a box", "open"])
@pytest.mark.parametrize("key", ["stress", "virial"])
def test_zeros_of_a_lone_atom_are_no_stress(tmp_path: Path, pbc: tuple[bool, ...], key: str) -> None:
    atoms = Atoms("W", cell=[12, 12, 12], pbc=pbc)

    assert read_extxyz(write(tmp_path, frame(atoms, f"energy=-4.6 {key}={nine(np.zeros(6))}")))[0].stress is None


def test_zeros_of_a_slab_are_no_stress_but_its_virial_is_refused(tmp_path: Path) -> None:
    slab = crystal("Ni", 0)
    slab.pbc = (True, True, False)

    assert read_extxyz(write(tmp_path, frame(slab, f"energy=1 virial={nine(np.zeros(6))}")))[0].stress is None
    with pytest.raises(DatasetError, match="not periodic along three"):
        read_extxyz(write(tmp_path, frame(slab, f"energy=1 virial={nine(np.ones(6))}")))


@pytest.mark.parametrize(("said", "kept"), [("gb/sigma5", "gb-sigma5"), (r"md\1200K\liquid", "md-1200K-liquid")])
def test_slashes_in_names_become_hyphens(tmp_path: Path, said: str, kept: str) -> None:
    info = f"energy=-1 config_type={said} config_id={said}"

    (found,) = read_extxyz(write(tmp_path, frame(crystal("Ag", 0), info)))

    assert (found.group_name, found.config_id) == (kept, kept)


@pytest.mark.parametrize("symbols", [["Ni", "Al"], ["Ag"], ["Pt", "Pd"]], ids="-".join)
def test_energies_per_atom_are_told_without_neighbours(tmp_path: Path, folder: DataFolder, symbols: list[str]) -> None:
    text = right = ""
    for seed in range(6):
        atoms = crystal(symbols[0], seed, rattle=0.2)
        atoms.symbols[: seed % 3] = symbols[-1]
        total = atoms.get_potential_energy() - 4.0 * len(atoms)
        right += frame(atoms, f"energy={total:.8f}", forces=atoms.get_forces())
        text += frame(atoms, f"energy={total / len(atoms):.8f}", forces=atoms.get_forces())

    assert "they look like energies per atom" in report(write(tmp_path, text), folder)
    assert "energies per atom" not in report(write(tmp_path, right, "right.xyz"), folder, replace=True)


@pytest.mark.parametrize(("symbol", "scale"), [("Al", 1.0), ("Ni", 0.99), ("Au", 1.01)])
@pytest.mark.parametrize("factor", [160.2177, -160.2177, 1602.177], ids=["GPa", "GPa, VASP's sign", "kbar"])
def test_stresses_in_other_units_are_told_without_neighbours(
    tmp_path: Path, symbol: str, scale: float, factor: float
) -> None:
    text = right = ""
    for seed in range(6):
        atoms = crystal(symbol, seed, scale=scale)
        info = f"energy={atoms.get_potential_energy():.8f} stress="
        right += frame(atoms, info + nine(atoms.get_stress()), forces=atoms.get_forces())
        text += frame(atoms, info + nine(atoms.get_stress() * factor), forces=atoms.get_forces())

    assert stresses(read_extxyz(write(tmp_path, right))).verdict == "ok"
    found = stresses(read_extxyz(write(tmp_path, text)))
    assert found.verdict != "ok"
    assert re.search("as if in (GPa|kbar)|no stress in eV/Å³", found.text)


@pytest.mark.parametrize("symbol", ["Cu", "Pt"])
def test_the_opposite_sign_of_stresses_is_told_by_volumes(tmp_path: Path, folder: DataFolder, symbol: str) -> None:
    text = ""
    for seed in range(8):
        atoms = crystal(symbol, seed, scale=0.96 + 0.01 * seed)
        info = f"energy={atoms.get_potential_energy():.8f} stress={nine(-atoms.get_stress())}"
        text += frame(atoms, info, forces=atoms.get_forces())

    assert "as if the sign were opposite" in report(write(tmp_path, text), folder)


def test_an_entry_of_zeros_is_no_stress_of_atoms_with_forces(tmp_path: Path, folder: DataFolder) -> None:
    atoms = crystal("Ni", 0)
    info = f"energy={atoms.get_potential_energy():.8f} stress={nine(np.zeros(6))}"

    assert "exactly zero in 1 with forces" in report(
        write(tmp_path, frame(atoms, info, forces=atoms.get_forces())), folder
    )


@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_is_no_part_of_the_first_number(tmp_path: Path, packed: bool) -> None:
    data = b"\xef\xbb\xbf" + frame(crystal("Pd", 0), "energy=-1").replace("\n", "\r\n").encode()
    path = tmp_path / "train.xyz"
    path.write_bytes(gzip.compress(data) if packed else data)

    assert read_extxyz(path)[0].energy == -1


@pytest.mark.parametrize(
    ("encoding", "said"), [("latin-1", "iconv -f latin1"), ("cp1252", "line 2"), ("utf-16", "but UTF-16")]
)
def test_another_encoding_is_named(tmp_path: Path, encoding: str, said: str) -> None:
    path = tmp_path / "x.xyz"
    path.write_bytes(frame(crystal("Pd", 0), "energy=-1 who=Müller").encode(encoding))

    with pytest.raises(DatasetError, match=said):
        read_extxyz(path)


FOREIGN = {
    "a LAMMPS dump": "ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\n",
    "a LAMMPS data file": "LAMMPS data\n\n4 atoms\n1 atom types\n\n0.0 3.6 xlo xhi\n",
    "a CIF": "data_Ni\n_cell_length_a 3.5\n",
    "an XDATCAR": "Cu\n1.0\n3 0 0\n0 3 0\n0 0 3\nCu\n1\nDirect configuration=     1\n0 0 0\n",
    "machine-learned force field (ML_AB)": " 1.0 Version\n*****\n     The number of configurations\n",
    "an output of Quantum ESPRESSO": "\n     Program PWSCF v.7.2 starts\n",
    "an AtomEye file": "Number of particles = 4\nA = 1 Angstrom\n",
    "an input.data file": "begin\ncomment x\nlattice 1 0 0\n",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(40),
    "an output of FHI-aims": "  Invoking FHI-aims ...\n",
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_format_of_others_is_named_with_the_way_to_a_dataset(tmp_path: Path, folder: DataFolder, name: str) -> None:
    contents = FOREIGN[name]
    path = tmp_path / "some.out"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())

    with pytest.raises(EngineError, match=r"extended XYZ|\.extxyz|OUTCAR") as caught:
        add(path, "mine", folder)
    assert name in str(caught.value)


def test_an_mtp_file_is_read_once_its_elements_are_known(folder: DataFolder) -> None:
    path = Path(__file__).parents[1] / "fixtures" / "readers" / "cu-as-ni.cfg"

    add(path, "mine", folder, species=("Al", "Au", "Cu"))

    found = read_configurations(folder.configurations("mine"))
    assert {int(z) for c in found for z in c.numbers} == {29}


@pytest.mark.parametrize("symbol", ["Ni", "Cu"])
def test_forces_of_zeros_are_told(tmp_path: Path, folder: DataFolder, symbol: str) -> None:
    atoms = crystal(symbol, 0)
    energy = f"energy={atoms.get_potential_energy():.8f}"

    said = report(write(tmp_path, frame(atoms, energy, forces=np.zeros((4, 3)))), folder)
    assert "forces are exactly zero in all 1" in said
    right = write(tmp_path, frame(atoms, energy, forces=atoms.get_forces()), "right.xyz")
    assert "exactly zero" not in report(right, folder, replace=True)


@pytest.mark.parametrize("symbol", ["Ni", "Pt"])
def test_lengths_in_bohr_are_told(tmp_path: Path, folder: DataFolder, symbol: str) -> None:
    atoms = crystal(symbol, 0)
    info, forces = f"energy={atoms.get_potential_energy():.8f}", atoms.get_forces()
    assert "in bohr" not in report(write(tmp_path, frame(atoms, info, forces=forces), "right.xyz"), folder)
    atoms.set_cell(atoms.cell / 0.529177, scale_atoms=True)

    assert "as if lengths were in bohr" in report(
        write(tmp_path, frame(atoms, info, forces=forces)), folder, replace=True
    )


@pytest.mark.parametrize("symbol", ["Ag", "Al"])
def test_a_stress_of_a_crystal_that_is_called_open_is_told(tmp_path: Path, folder: DataFolder, symbol: str) -> None:
    atoms = crystal(symbol, 0)
    info = f"energy={atoms.get_potential_energy():.8f} stress={nine(atoms.get_stress())}"
    text = frame(atoms, info, forces=atoms.get_forces()).replace('pbc="T T T"', 'pbc="F F F"')

    assert "models will see clusters" in report(write(tmp_path, text), folder)


@pytest.mark.parametrize("symbol", ["Ni", "Pd"])
def test_forces_of_zeros_are_no_predictions(tmp_path: Path, symbol: str) -> None:
    atoms = crystal(symbol, 0)
    (c,) = read_extxyz(write(tmp_path, frame(atoms, "energy=-1", forces=atoms.get_forces())))
    zeros = Prediction(c.config_id, c.geometry_hash, "ok", energy=-1.2, forces=np.zeros((4, 3)))

    with pytest.raises(PredictionError, match=r"zero in all 1 configurations.*--forces-key none"):
        check_predictions("p.xyz", [c], [zeros], is_placed=True)


@pytest.mark.parametrize("name", ["gradients", "dE_dr", "negative_forces"])
def test_gradients_alone_are_refused_for_their_sign(tmp_path: Path, folder: DataFolder, name: str) -> None:
    atoms = crystal("Ni", 0)
    path = write(tmp_path, frame(atoms, "energy=-1", **{name: -atoms.get_forces()}))

    with pytest.raises(DatasetError, match=f"holds {name!r} and no forces. A gradient of the energy is minus"):
        add(path, "mine", folder)
    assert read_extxyz(path, forces_key="none")[0].forces is None


@pytest.mark.parametrize(
    ("info", "keys", "said"),
    [
        ("energy_hartree=-1", Keys("energy_hartree", "none"), "its unit is hartree"),
        ("energyRy=-1", Keys("energyRy", "none"), "its unit is ry"),
        ('energy=-1 stress_GPa="1 1 1 0 0 0"', Keys(stress="stress_GPa"), "its unit is gpa"),
        ("energy=-1 energy_unit=Hartree", Keys(), "energy_unit='Hartree', expected eV"),
        ("energy=-1 units=kcal/mol", Keys(), "units='kcal/mol', expected eV"),
    ],
)
def test_a_unit_that_a_file_names_is_not_taken_for_another(
    tmp_path: Path, folder: DataFolder, info: str, keys: Keys, said: str
) -> None:
    with pytest.raises(DatasetError, match=re.escape(said)):
        add(write(tmp_path, frame(crystal("Cu", 0), info)), "mine", folder, keys=keys)


@pytest.mark.parametrize("info", ["energy=-1 energy_unit=eV", "energy=-1 units=eV/A", "energy=-1.0D0"])
def test_the_units_of_this_project_and_fortran_numbers_are_read(tmp_path: Path, info: str) -> None:
    assert read_extxyz(write(tmp_path, frame(crystal("Cu", 0), info)))[0].energy == -1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "id,energy\nc0,-1\n", "is a table of text"),
        ("a.tsv", "id\tenergy\nc0\t-1\n", "is a table of text"),
        ("a.json", '[{"energy": -1, "forces": []}]', "a list in JSON that no program here is known to write"),
        ("a.jsonl", '{"energy": -1}\n{"energy": -2}\n', "JSON of one object a line"),
    ],
)
def test_tables_and_lists_are_refused_with_the_way_to_extended_xyz(
    tmp_path: Path, folder: DataFolder, name: str, text: str, said: str
) -> None:
    with pytest.raises(DatasetError, match=f"{said}.*ase.io.write"):
        add(write(tmp_path, text, name), "mine", folder)
