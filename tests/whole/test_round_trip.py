"""Structures that are written and read again: same cell, elements, positions, periodicity and labels.

More than two thousand of them are made up by hypothesis and written by ASE, by pymatgen and by hand in the liberties
that programs take. Crystals with symmetry are expanded by the tables of ASE, which know nothing of gemmi's.
"""

import functools
from io import BytesIO, StringIO

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.cell import Cell
from ase.constraints import FixAtoms
from ase.geometry import cellpar_to_cell
from ase.io import write
from ase.spacegroup import Spacegroup
from ase.spacegroup.spacegroup import SpacegroupNotFoundError
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from engine.errors import DatasetError
from engine.readers.uploads import read_upload

METALS = ("Li", "Al", "Ti", "V", "Fe", "Co", "Ni", "Cu", "Zr", "Nb", "Mo", "Ta", "W", "Au", "Bi", "H", "O", "C")
SEEDS = st.integers(0, 2**32 - 1)


def examples(n: int) -> settings:
    """So many examples, the same in every run."""
    return settings(
        max_examples=n, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )


def crystal(seed: int, *, n_most: int = 10) -> Atoms:
    """Atoms near places of a coarse grid in a cell with any angles; every fifth one left-handed."""
    rng = np.random.default_rng(seed)
    while True:
        cell = cellpar_to_cell([*rng.uniform(5, 11, 3), *rng.uniform(65, 115, 3)])
        if np.linalg.det(cell) > 0.4 * np.prod(np.linalg.norm(cell, axis=1)):
            break
    places = rng.permutation(np.stack(np.meshgrid(*[np.arange(3)] * 3), -1).reshape(-1, 3))[: rng.integers(1, n_most)]
    fractional = (places + rng.uniform(0, 0.2, places.shape)) / 3
    if rng.random() < 0.2:
        cell = cell[[1, 0, 2]]
    symbols = sorted(rng.choice(METALS, len(fractional)))
    return Atoms(symbols, scaled_positions=fractional, cell=cell, pbc=True)


def assert_same(found, lengths_and_angles, symbols, fractional, tolerance: float = 2e-3) -> None:
    """Same cell up to rotation, and the same atoms in it whatever their order."""
    cell = Cell(found.cell)
    np.testing.assert_allclose(cell.cellpar(), lengths_and_angles, atol=tolerance)
    assert sorted(Atoms(found.numbers).get_chemical_symbols()) == sorted(symbols)
    apart = cell.scaled_positions(found.positions)[:, None] - np.asarray(fractional)[None]
    apart -= np.round(apart)
    distances = np.linalg.norm(apart @ cell.array, axis=2)
    distances[np.array(Atoms(found.numbers).get_chemical_symbols())[:, None] != np.array(symbols)[None]] = np.inf
    assert (distances < tolerance).sum(axis=0).tolist() == [1] * len(symbols)
    assert (distances < tolerance).sum(axis=1).tolist() == [1] * len(symbols)


def assert_same_atoms(found, atoms: Atoms, tolerance: float = 2e-3) -> None:
    assert_same(found, atoms.cell.cellpar(), atoms.get_chemical_symbols(), atoms.get_scaled_positions(), tolerance)


def read(name: str, text: str | bytes):
    return read_upload(name, text if isinstance(text, bytes) else text.encode()).configuration


@given(SEEDS, st.tuples(st.booleans(), st.booleans(), st.booleans()))
@examples(400)
def test_extended_xyz_of_ase_keeps_labels_and_periodicity(seed, pbc):
    atoms = crystal(seed)
    atoms.pbc = pbc
    rng = np.random.default_rng(seed)
    forces = rng.normal(size=(len(atoms), 3))
    stress = rng.normal(size=6) if all(pbc) else None
    atoms.calc = SinglePointCalculator(atoms, energy=float(rng.normal()), forces=forces, stress=stress)
    text = StringIO()
    write(text, atoms, format="extxyz")

    found = read("some.xyz", text.getvalue())

    np.testing.assert_allclose(found.cell, atoms.cell.array, atol=1e-7)
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-7)
    assert found.numbers.tolist() == atoms.numbers.tolist()
    assert found.pbc == pbc
    assert found.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-7)
    np.testing.assert_allclose(found.forces, forces, atol=1e-7)
    if stress is not None:
        np.testing.assert_allclose(found.stress, stress, atol=1e-7)


@given(
    SEEDS,
    st.sampled_from(["=", " = ", " =", "= "]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "latin-1"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(['"', "'"]),
    st.booleans(),
)
@examples(250)
def test_extended_xyz_by_hand(seed, equals, encoding, newline, quote, is_lower):
    atoms = crystal(seed)
    lattice = " ".join(f"{x:.8f}" for x in atoms.cell.array.ravel())
    key = "lattice" if is_lower else "Lattice"
    comment = (
        f"author{equals}Müller {key}{equals}{quote}{lattice}{quote} Properties{equals}species:S:1:pos:R:3 pbc{equals}T"
    )
    rows = [f"{s} {x:.8f} {y:.8f} {z:.8f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)]

    found = read("hand.xyz", newline.join([str(len(atoms)), comment, *rows, ""]).encode(encoding))

    np.testing.assert_allclose(found.cell, atoms.cell.array, atol=1e-7)
    np.testing.assert_allclose(found.positions, atoms.positions, atol=1e-7)
    assert found.pbc == (True, True, True)


@given(SEEDS, st.booleans(), st.booleans())
@examples(250)
def test_poscar_of_ase(seed, is_direct, is_selective):
    atoms = crystal(seed)
    if is_selective:
        atoms.set_constraint(FixAtoms([0]))
    text = StringIO()
    write(text, atoms, format="vasp", direct=is_direct)

    assert_same_atoms(read("POSCAR", text.getvalue()), atoms, 1e-6)


@given(SEEDS)
@examples(150)
def test_poscar_of_pymatgen(seed):
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.vasp import Poscar

    atoms = crystal(seed)
    structure = AseAtomsAdaptor.get_structure(atoms)

    assert_same_atoms(read("CONTCAR", Poscar(structure).get_str(significant_figures=10)), atoms, 1e-6)


@given(
    SEEDS,
    st.sampled_from(["factor", "volume", "three factors"]),
    st.sampled_from(["", " ! note", " # 3 4"]),
    st.sampled_from(["", "_pv", "_sv/1a2b"]),
    st.sampled_from(["Direct", "Cartesian", "direct", "K-points no", "Selective dynamics\ncart"]),
    st.sampled_from(["", "\nmade by a converter\n", "\nCartesian\n 0 0 0\n"]),
    st.booleans(),
)
@examples(350)
def test_poscar_by_hand(seed, scaling, remark, suffix, mode, footer, is_glued):
    atoms = crystal(seed)
    factors = np.array({"factor": [2.5] * 3, "volume": [1.0] * 3, "three factors": [2.0, 0.5, 4.0]}[scaling])
    head = {"factor": "2.5", "volume": f"-{abs(np.linalg.det(atoms.cell.array)):.12f}", "three factors": "2 0.5 4"}
    cell = atoms.cell.array / factors * (0.7 if scaling == "volume" else 1.0)
    is_direct = mode.lower().startswith("d")
    scaled = atoms.positions / factors * (0.7 if scaling == "volume" else 1.0)
    places = atoms.get_scaled_positions() if is_direct else scaled
    blank = "" if is_glued else " "  # columns of 20 characters touch where a number is negative and long

    def row(vector):
        return blank.join(f"{x:+.10f}" for x in vector)

    symbols = list(dict.fromkeys(atoms.get_chemical_symbols()))
    counts = [atoms.get_chemical_symbols().count(symbol) for symbol in symbols]
    lines = ["by hand", head[scaling] + remark, *(row(vector) + remark for vector in cell)]
    lines += [" ".join(s + suffix for s in symbols) + remark, " ".join(map(str, counts)) + remark, mode]
    lines += [f"{row(place)} {symbol}" for place, symbol in zip(places, atoms.symbols, strict=True)]

    assert_same_atoms(read("POSCAR", "\n".join(lines) + "\n" + footer), atoms, 1e-5)


@given(SEEDS)
@examples(200)
def test_cif_in_p1_of_ase_is_periodic(seed):
    atoms = crystal(seed)
    text = BytesIO()
    write(text, atoms, format="cif")

    found = read("p1.cif", text.getvalue())

    assert found.pbc == (True, True, True)
    # ASE writes angles to three and coordinates to five digits.
    assert_same_atoms(found, atoms, 2e-2)


@given(SEEDS)
@examples(100)
def test_cif_in_p1_of_pymatgen_is_periodic(seed):
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifWriter

    atoms = crystal(seed)
    found = read("p1.cif", str(CifWriter(AseAtomsAdaptor.get_structure(atoms), significant_figures=9)))

    assert found.pbc == (True, True, True)
    assert_same_atoms(found, atoms, 1e-3)


@functools.cache
def group(number: int, setting: int) -> Spacegroup:
    return Spacegroup(number, setting)


@functools.cache
def settings_of(number: int) -> list[int]:
    """Settings of a group in the tables of ASE: origins, axes, or the unique axis."""
    try:
        group(number, 2)
    except SpacegroupNotFoundError:
        return [1]
    return [1, 2]


def is_unique_c(number: int, setting: int) -> bool:
    """Whether a monoclinic group has its axis along c: its operations treat x and y alike."""
    return 2 < number < 16 and all(r[0, 0] == r[1, 1] for r in group(number, setting).get_op()[0])


def full_name(number: int, setting: int) -> str:
    """Hermann-Mauguin name with all three directions of a monoclinic group."""
    lattice, *rest = group(number, setting).symbol.split()
    if not 2 < number < 16:
        return " ".join([lattice, *rest])
    return f"{lattice} 1 1 {rest[0]}" if is_unique_c(number, setting) else f"{lattice} 1 {rest[0]} 1"


def system_cell(number: int, symbol: str, setting: int, rng: np.random.Generator) -> list[float]:
    """Lengths and angles that a space group allows."""
    a, b, c = np.round(rng.uniform(6, 12, 3), 4)
    alpha, beta, gamma = np.round(rng.uniform(70, 110, 3), 3)
    if number <= 2:
        return [a, b, c, alpha, 85.0 + 5 * rng.random(), gamma]
    if number <= 15:
        return [a, b, c, 90, 90, gamma] if is_unique_c(number, setting) else [a, b, c, 90, beta, 90]
    if number <= 74:
        return [a, b, c, 90, 90, 90]
    if number <= 142:
        return [a, a, c, 90, 90, 90]
    if number <= 194:
        if symbol.startswith("R") and setting == 2:
            return [a, a, a, *[np.round(rng.uniform(50, 80), 3)] * 3]
        return [a, a, c, 90, 90, 120]
    return [a, a, a, 90, 90, 90]


def symmetric(seed: int):
    """Group, cell, sites to write, and all atoms of the cell by the tables of ASE."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(1, 231))
    setting = int(rng.choice(settings_of(number)))
    sg = group(number, setting)
    parameters = system_cell(number, sg.symbol, setting, rng)
    special = [0, 0.25, 0.5, 0.75, 1 / 3, 2 / 3, 0.125]
    sites = [
        (str(rng.choice(METALS)), [float(rng.choice([*special, *np.round(rng.random(2), 5)])) for _ in range(3)])
        for _ in range(rng.integers(1, 3))
    ]
    rotations, shifts = sg.get_op()
    symbols, fractional = [], []
    for symbol, place in sites:
        images = np.unique(np.round((rotations @ place + shifts) % 1.0, 6) % 1.0, axis=0)
        fractional += images.tolist()
        symbols += [symbol] * len(images)
    return sg, setting, parameters, sites, symbols, np.array(fractional)


def is_sound(parameters, fractional) -> bool:
    """Whether no two atoms are too close, and none lies on another."""
    if len(fractional) > 250:
        return False
    apart = fractional[:, None] - fractional[None]
    apart -= np.round(apart)
    distances = np.linalg.norm(apart @ cellpar_to_cell(parameters), axis=2)
    return bool((distances[np.triu_indices(len(fractional), 1)] > 0.5).all())


def ambiguous(sg: Spacegroup) -> bool:
    """Whether a name or a number of this group leaves its origin open."""
    return len(settings_of(sg.no)) > 1 and not sg.symbol.startswith("R")


def cif_text(source: str, sg: Spacegroup, setting: int, parameters, sites, symbols) -> str:
    lines = ["data_made"]
    tags = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines += [f"_cell_{tag} {value:.5f}(2)" for tag, value in zip(tags, parameters, strict=True)]
    lines.append(f"_chemical_formula_sum '{Atoms(symbols).get_chemical_formula('metal')}'")
    mark = "HR"[setting - 1] if sg.symbol.startswith("R") else str(setting)
    is_open = sg.symbol.startswith("R") or (ambiguous(sg) and sg.no > 15)
    named = full_name(sg.no, setting) + (f" :{mark}" if is_open else "")
    if source == "name":
        lines.append(f"_symmetry_space_group_name_H-M '{named}'")
    elif source == "number":
        lines.append(f"_space_group_IT_number {sg.no}")
    elif source == "short name":
        lines.append(f"_space_group_name_H-M_alt '{sg.symbol.replace(' ', '')}'")
    else:
        tag = {"operations": "_space_group_symop_operation_xyz", "old": "_symmetry_equiv_pos_as_xyz"}[source]
        lines += ["loop_", tag, *(f"'{operation(r, t)}'" for r, t in zip(*sg.get_op(), strict=True))]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"]
    lines += [f"{s}{k} {s.upper()} {x:.6f} {y:.6f} {z:.6f}" for k, (s, (x, y, z)) in enumerate(sites)]
    return "\n".join(lines) + "\n"


def operation(rotation, shift) -> str:
    """An operation as text: -x, y+1/2, z."""
    parts = []
    for row, part in zip(rotation, shift, strict=True):
        terms = "".join(f"{'+' if n > 0 else '-'}{axis}" for n, axis in zip(row, "xyz", strict=True) if n)
        n = round(float(part) * 12) % 12
        parts.append(terms.removeprefix("+") + (f"+{n}/12" if n else ""))
    return ",".join(parts)


@given(SEEDS, st.sampled_from(["operations", "old", "name", "number", "short name"]))
@examples(400)
def test_crystals_of_all_space_groups(seed, source):
    sg, setting, parameters, sites, symbols, fractional = symmetric(seed)
    assume(is_sound(parameters, fractional))
    text = cif_text(source, sg, setting, parameters, sites, symbols)
    if source in ("number", "short name") and ambiguous(sg):
        # Neither says the origin. Where the formula leaves both, the file is refused and not guessed.
        try:
            found = read("made.cif", text)
        except DatasetError:
            return
        assert sorted(Atoms(found.numbers).get_chemical_symbols()) == sorted(symbols)
        return

    found = read("made.cif", text)

    assert_same(found, parameters, symbols, fractional, 2e-4)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")
@given(SEEDS)
@examples(60)
def test_symmetrized_cif_of_pymatgen(seed):
    from pymatgen.core import Lattice, Structure
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    _, _, parameters, _, symbols, fractional = symmetric(seed)
    assume(len(symbols) <= 48 and is_sound(parameters, fractional))
    structure = Structure(Lattice.from_parameters(*parameters), symbols, fractional)
    refined = SpacegroupAnalyzer(structure, 1e-3).get_refined_structure()
    text = str(CifWriter(structure, symprec=1e-3, significant_figures=8))

    expected = [site.specie.symbol for site in refined]
    assert_same(read("sym.cif", text), refined.lattice.parameters, expected, refined.frac_coords, 2e-2)
