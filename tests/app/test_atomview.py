"""What the 3D viewer is sent, and the files that leave with a structure."""

import base64
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read

from app.structures import atomview, files
from app.structures.atomview import AtomColors, largest_arrows, payload, script_url
from engine.readers.example_structures import examples


@pytest.fixture
def atoms():
    return bulk("Fe", "bcc", a=2.87, cubic=True) * (2, 1, 1)


def decoded(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=dtype)


def test_positions_travel_as_little_endian_float32(atoms):
    data = payload(atoms.numbers, atoms.positions, atoms.cell.array)

    np.testing.assert_allclose(decoded(data["positions"], "<f4").reshape(-1, 3), atoms.positions, atol=1e-6)
    assert decoded(data["numbers"], "u1").tolist() == [26] * 4
    assert data["kinds"]["26"]["symbol"] == "Fe"


def test_structure_keeps_its_name_when_only_the_colours_change(atoms):
    plain = payload(atoms.numbers, atoms.positions, atoms.cell.array)
    colors = AtomColors(np.arange(4.0), "x", "y")
    coloured = payload(atoms.numbers, atoms.positions, atoms.cell.array, colors=colors)
    moved = payload(atoms.numbers, atoms.positions + 0.1, atoms.cell.array)

    assert plain["structure"] == coloured["structure"] != moved["structure"]


def test_last_colour_starts_at_the_99th_percentile():
    values = np.append(np.ones(999), 1000.0)

    colors = AtomColors(values, "|ΔF|", "meV/Å")
    data = payload(np.full(1000, 26), np.zeros((1000, 3)), np.eye(3), colors=colors)

    assert data["vmax"] == pytest.approx(1.0)
    assert data["clipped"]
    assert len(data["palette"]) == 64


def test_rounding_errors_are_not_painted_as_large():
    assert AtomColors(np.full(3, 1e-9), "|ΔF|", "meV/Å").top() == 1.0


def test_atoms_without_a_value_do_not_spoil_the_scale():
    assert AtomColors(np.array([np.nan, 2.0, 2.0]), "x", "y").top() == 2.0
    assert AtomColors(np.array([np.nan]), "x", "y", floor=0.5).top() == 0.5


def test_arrows_go_to_the_longest_vectors_and_share_one_scale():
    vectors = np.array([[0.0, 0, 0.1], [0, 0.5, 0], [0.25, 0, 0]])

    arrows, scale = largest_arrows(vectors, "red", n=2)

    assert [arrow.index for arrow in arrows] == [1, 2]
    # The longest, 0.5 eV/Å, is 2.5 Å in the picture; hence 0.2 eV/Å per Å, and 0.25 eV/Å is 1.25 Å.
    assert arrows[1].vector == (1.25, 0.0, 0.0)
    assert scale == pytest.approx(0.2)


def test_no_arrow_for_forces_that_vanish():
    assert largest_arrows(np.zeros((3, 3)), "red")[0] == ()


def test_missing_library_is_taken_from_its_public_address(monkeypatch):
    monkeypatch.setattr(atomview, "LIBRARY", Path("/nowhere/3Dmol.es6-min.js"))

    assert script_url() == atomview.PUBLIC_LIBRARY


def test_library_version_is_the_one_in_the_lock_file():
    lock = (Path(__file__).parents[2] / "package-lock.json").read_text()

    assert f'"3dmol": "{atomview.VERSION}"' in lock
    assert "resolved" not in lock  # no registry's address


def test_extended_xyz_reads_back_with_its_forces(atoms):
    forces = np.arange(12.0).reshape(4, 3)

    text = files.to_extxyz(
        atoms.numbers, atoms.positions, atoms.cell.array, (True, True, True),
        arrays={"REF_forces": forces, "predicted_forces": None}, info={"REF_energy": -8.0, "model": None},
    )  # fmt: skip

    back = read(StringIO(text), format="extxyz")
    np.testing.assert_allclose(back.arrays["REF_forces"], forces)
    assert back.info == {"REF_energy": -8.0}
    np.testing.assert_allclose(back.cell.array, atoms.cell.array)


def test_html_page_names_its_origin_and_escapes_it():
    made = next(iter(examples().values()))

    page = files.to_html(
        made.numbers, made.positions, made.cell,
        colors=AtomColors(np.linspace(0, 5, made.n_atoms), "|ΔF|", "meV/Å"),
        title="W <vacancy>", source="data v1",
    )  # fmt: skip

    assert "W &lt;vacancy&gt;" in page
    assert "data v1" in page
    assert "linear-gradient" in page


def test_html_page_holds_the_library_where_the_server_has_it():
    if not files._PAGE_LIBRARY.is_file():
        pytest.skip("app/static/3Dmol-min.js is missing; run: npm ci && npm run static")
    made = next(iter(examples().values()))

    page = files.to_html(made.numbers, made.positions, made.cell, colors=None, title="W", source="data v1")

    assert "data:text/javascript;base64," in page
    assert "https://" not in page.replace("https://3dmol.org", "")
