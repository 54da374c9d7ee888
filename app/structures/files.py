"""Structures as files to download: extended XYZ, and an HTML page that shows the structure offline."""

import base64
import html
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

import numpy as np
import py3Dmol
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from app.structures.atomview import AtomColors, payload
from engine.records import Configuration
from engine.relaxations import Relaxation

_PAGE_LIBRARY = Path(__file__).parents[1] / "static" / "3Dmol-min.js"


def to_extxyz(
    numbers: NDArray[np.integer],
    positions: NDArray[np.floating],
    cell: NDArray[np.floating],
    pbc: tuple[bool, bool, bool],
    *,
    arrays: Mapping[str, NDArray[np.floating] | None],
    info: Mapping[str, object],
) -> str:
    """One structure as extended XYZ.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector per row, shape (3, 3), Å.
        pbc: Periodic along each lattice vector.
        arrays: Column name to per-atom values; None is left out.
        info: Key to value for the comment line; None is left out.
    """
    from ase.io import write  # scipy's integrals come with it, which no page opens with

    atoms = Atoms(numbers, positions=positions, cell=cell, pbc=pbc)
    for name, values in arrays.items():
        if values is not None:
            atoms.set_array(name, np.asarray(values, dtype=float))
    atoms.info = {key: value for key, value in info.items() if value is not None}
    text = StringIO()
    write(text, atoms, format="extxyz")
    return text.getvalue()


def path_to_extxyz(given: Configuration, found: Relaxation, model_id: str) -> str:
    """The trajectory of a relaxation as extended XYZ: a frame for each step that is kept, with its energy (eV).

    The last frame has the forces of its atoms (eV/Å) too.

    Args:
        given: The structure that was relaxed.
        found: Its relaxation, with a trajectory.
        model_id: Of the model.
    """
    way = found.trajectory
    assert way is not None
    last = len(way.steps) - 1
    frames = []
    for k, step in enumerate(way.steps.tolist()):
        info = {
            "config_id": given.config_id, "model": model_id, "step": step, "energy": float(way.energies[k]),
            "max_force": float(way.max_forces[k]), "is_converged": bool(found.is_converged and k == last),
        }  # fmt: skip
        arrays = {"forces": found.forces if k == last else None}
        frames.append(to_extxyz(given.numbers, way.positions[k], way.cells[k], given.pbc, arrays=arrays, info=info))
    return "".join(frames)


def to_html(
    numbers: NDArray[np.integer],
    positions: NDArray[np.floating],
    cell: NDArray[np.floating],
    *,
    colors: AtomColors | None,
    title: str,
    source: str,
) -> str:
    """A page that shows the structure in 3D and needs no other file.

    3Dmol is written into the page where this server has it; else the page asks 3Dmol's public address for it.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector per row, shape (3, 3), Å.
        colors: Values to colour by; by element where None.
        title: Heading of the page.
        source: Line below the picture: data version, model, dataset.
    """
    data = payload(numbers, positions, cell, colors=colors)
    view = _py3dmol_view()
    view.addModel(_xyz(numbers, positions), "xyz")
    for style, indices in _styles(numbers, data, colors).items():
        color, radius = style
        view.setStyle({"index": indices}, {"sphere": {"color": color, "radius": radius}})
    _add_cell(view, cell)
    view.setProjection("orthographic")
    view.zoomTo()
    view.rotate(-72, "x")
    view.rotate(18, "y")
    view.zoom(1.4)
    return _PAGE.format(
        title=html.escape(title), source=html.escape(source), view=view.write_html(), bar=_bar(data, colors)
    )


_PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font-family: system-ui, sans-serif; margin: 1.5rem auto; max-width: 60rem; color: #1b1f24; }}
h1 {{ font-size: 1.2rem; }}
p {{ color: #59636e; }}
.bar {{ display: flex; align-items: center; gap: .6rem; margin: .6rem 0; }}
.bar div {{ width: 18rem; height: 12px; border: 1px solid #d5dae0; }}
</style></head>
<body><h1>{title}</h1>{bar}{view}<p>{source}</p></body>
</html>
"""


def _py3dmol_view() -> "py3Dmol.view":
    size = {"width": 900, "height": 640}
    if not _PAGE_LIBRARY.is_file():
        return py3Dmol.view(**size)
    script = base64.b64encode(_PAGE_LIBRARY.read_bytes()).decode()
    return py3Dmol.view(**size, js=f"data:text/javascript;base64,{script}")


def _xyz(numbers: NDArray[np.integer], positions: NDArray[np.floating]) -> str:
    rows = (
        f"{chemical_symbols[number]} {x:.5f} {y:.5f} {z:.5f}"
        for number, (x, y, z) in zip(numbers.tolist(), positions, strict=True)
    )
    return "\n".join([str(len(numbers)), "", *rows])


def _styles(
    numbers: NDArray[np.integer], data: dict[str, object], colors: AtomColors | None
) -> dict[tuple[str, float], list[int]]:
    """(colour, radius) -> indices of the atoms drawn so; few styles keep the page small."""
    kinds, palette = data["kinds"], data.get("palette")
    assert isinstance(kinds, dict)
    styles: dict[tuple[str, float], list[int]] = {}
    for index, number in enumerate(numbers.tolist()):
        kind = kinds[str(number)]
        color = kind["color"]
        if colors is not None:
            assert isinstance(palette, list)
            color = _palette_color(float(colors.values[index]), colors.top(), palette)
        styles.setdefault((color, kind["radius"]), []).append(index)
    return styles


def _palette_color(value: float, top: float, palette: list[str]) -> str:
    if not np.isfinite(value):
        return "#9a9a9a"
    return palette[round(min(max(value / top, 0.0), 1.0) * (len(palette) - 1))]


def _add_cell(view: "py3Dmol.view", cell: NDArray[np.floating]) -> None:
    corner: dict[tuple[int, ...], NDArray[np.float64]] = {
        (i, j, k): np.array([i, j, k]) @ np.asarray(cell, dtype=float)
        for i in (0, 1) for j in (0, 1) for k in (0, 1)
    }  # fmt: skip
    for start in corner:
        for axis in range(3):
            end = tuple(1 if at == axis else part for at, part in enumerate(start))
            if start[axis] == 0:
                ends = [dict(zip("xyz", corner[c].tolist(), strict=True)) for c in (start, end)]
                view.addCylinder({"start": ends[0], "end": ends[1], "radius": 0.05, "color": "#848c94"})


def _bar(data: dict[str, object], colors: AtomColors | None) -> str:
    if colors is None:
        return ""
    palette = data["palette"]
    assert isinstance(palette, list)
    at_least = "≥ " if data["clipped"] else ""
    return (
        f'<div class="bar">{html.escape(colors.label)} ({html.escape(colors.unit)}): 0'
        f'<div style="background:linear-gradient(to right,{",".join(palette)})"></div>'
        f"{at_least}{colors.top():.3g}</div>"
    )
