"""3D viewer of one configuration: a Streamlit component on 3Dmol.

Python sends atoms, cell, colours and arrows; the browser sends back which atom was clicked. 3Dmol itself is a
file that the set-up step copies from the npm package into `app/static/`; without it the browser asks 3Dmol's
public address, and the page says so.
"""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from app.figures import atom_colours

VERSION = "2.5.5"
LIBRARY = Path(__file__).parents[1] / "static" / "3Dmol.es6-min.js"
PUBLIC_LIBRARY = f"https://cdn.jsdelivr.net/npm/3dmol@{VERSION}/build/3Dmol.es6-min.js"

# Light at the low end: on lit spheres a map that starts in black makes the undisturbed crystal vanish.
ERROR_COLORS, DEVIATION_COLORS, FORCE_COLORS = "YlOrRd", "YlGnBu", "PuRd"

CLIP_PERCENTILE = 99.0
LONGEST_ARROW = 2.5  # Å in the picture; longer ones reach past the neighbours

_HERE = Path(__file__).parent
_HTML = (
    '<div class="av"><div class="av-frame">'
    '<div class="av-gl" tabindex="0" role="img" aria-label="A structure that is being drawn"></div>'
    '<div class="av-ring" hidden></div><div class="av-tag" hidden></div><div class="av-bar"></div>'
    '<div class="av-tools" role="toolbar" aria-label="View"></div>'
    '<div class="av-status" role="status" aria-live="polite"></div>'
    '<div class="av-notice" role="alert" hidden></div>'
    "</div></div>"
)
_component = st.components.v2.component(
    "atomview",
    html=_HTML,
    css=(_HERE / "atomview.css").read_text(encoding="utf-8"),
    js=(_HERE / "atomview.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class AtomColors:
    """One value per atom, shown as colour.

    Args:
        values: Shape (n_atoms,), in `unit`; NaN where there is none.
        label: What the values are, for the colour bar and the status line.
        unit: Unit of the values.
        colormap: Name of a matplotlib colour map.
        floor: Smallest value that may get the last colour, so that rounding is not painted as error.
        top_value: Value that gets the last colour, where pictures share a scale; found from the values where None.
    """

    values: NDArray[np.floating]
    label: str
    unit: str
    colormap: str = ERROR_COLORS
    floor: float = 1.0
    top_value: float | None = None

    def top(self) -> float:
        """Value that gets the last colour: `top_value`, or the 99th percentile but at least `floor`."""
        if self.top_value is not None:
            return self.top_value
        finite = self.values[np.isfinite(self.values)]
        return max(float(np.percentile(finite, CLIP_PERCENTILE)), self.floor) if len(finite) else self.floor


@dataclass(frozen=True)
class Arrow:
    """A vector drawn at an atom.

    Args:
        index: Index of the atom.
        vector: Shape (3,), Å in the picture.
        color: CSS colour.
    """

    index: int
    vector: tuple[float, float, float]
    color: str


def largest_arrows(vectors: NDArray[np.floating], color: str, n: int = 12) -> tuple[tuple[Arrow, ...], float]:
    """Arrows for the longest vectors, scaled so that the longest is `LONGEST_ARROW`.

    Args:
        vectors: One vector per atom, shape (n_atoms, 3), any unit.
        color: CSS colour.
        n: How many arrows at most.

    Returns:
        The arrows, longest first, and how many units of `vectors` one Å of the picture stands for.

    Example:
        >>> arrows, scale = largest_arrows(np.array([[0.0, 0, 1], [0, 0, 5], [0, 0, 0]]), "red", n=1)
        >>> arrows[0].index, arrows[0].vector, scale
        (1, (0.0, 0.0, 2.5), 2.0)
    """
    lengths = np.linalg.norm(vectors, axis=1)
    longest = float(lengths.max(initial=0.0))
    if longest == 0:
        return (), 1.0
    order = np.argsort(-lengths, kind="stable")[:n]
    scaled = vectors * (LONGEST_ARROW / longest)
    arrows = (Arrow(int(i), tuple(scaled[i].tolist()), color) for i in order if lengths[i] > 0)
    return tuple(arrows), longest / LONGEST_ARROW


def atomview(
    numbers: NDArray[np.integer],
    positions: NDArray[np.floating],
    cell: NDArray[np.floating],
    *,
    key: str,
    alt: str,
    colors: AtomColors | None = None,
    selected: int | None = None,
    on_pick: Callable[[int | None], None] | None = None,
    arrows: Sequence[Arrow] = (),
    faint: NDArray[np.bool_] | None = None,
    filename: str = "structure.png",
    height: int = 520,
    camera: str = "",
    link: str = "",
) -> None:
    """Draw the viewer.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector per row, shape (3, 3), Å.
        key: Streamlit key; the camera lives as long as the key does.
        alt: What the picture shows, for people who do not see it.
        colors: Values to colour by; by element where None.
        selected: Index of the marked atom. The page owns it: keep what `on_pick` says and hand it back.
        on_pick: Called before the next run with the picked atom, None when it was picked a second time.
        arrows: Vectors to draw.
        faint: Atoms to draw small, shape (n_atoms,).
        filename: Name of the picture that the PNG button saves.
        height: Height on the page, px.
        camera: Name of what the camera belongs to; it stays while this does. Without one, each structure has its own.
        link: Viewers of a page with the same name here turn together.
    """
    data = payload(numbers, positions, cell, colors=colors, selected=selected, arrows=arrows, faint=faint)
    data |= {"alt": alt, "filename": filename, "height": height, "script": script_url()}
    data |= {"camera": camera, "link": link}
    data["theme"] = st.context.theme.type  # lines and labels are drawn anew when the theme changes

    def picked() -> None:
        event = st.session_state[key].get("picked")
        if on_pick is not None and event is not None:
            on_pick(event["atom"])

    _component(key=key, data=data, height=height + 2, on_picked_change=picked)
    if not LIBRARY.is_file():
        st.caption(
            "The 3D library is not on this server, so the browser asks 3Dmol's public address for it. "
            "To serve it from here: `npm ci && npm run static`."
        )


def payload(
    numbers: NDArray[np.integer],
    positions: NDArray[np.floating],
    cell: NDArray[np.floating],
    *,
    colors: AtomColors | None = None,
    selected: int | None = None,
    arrows: Sequence[Arrow] = (),
    faint: NDArray[np.bool_] | None = None,
) -> dict[str, object]:
    """Data for the browser: arrays as base64 of little-endian numbers, 12 bytes an atom for positions.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).
        positions: Shape (n_atoms, 3), Å.
        cell: One lattice vector per row, shape (3, 3), Å.
        colors: Values to colour by; by element where None.
        selected: Index of the marked atom.
        arrows: Vectors to draw.
        faint: Atoms to draw small, shape (n_atoms,).
    """
    data: dict[str, object] = {
        "numbers": _base64(numbers, "u1"),
        "positions": _base64(positions, "<f4"),
        "cell": np.asarray(cell, dtype=float).ravel().tolist(),
        "kinds": {str(z): _kind(z) for z in np.unique(numbers).tolist()},
        "structure": _digest(numbers, positions, cell),
        "selected": selected,
        "arrows": [{"index": a.index, "vector": a.vector, "color": a.color} for a in arrows],
        "faint": None if faint is None else _base64(faint, "u1"),
        "values": None,
    }
    if colors is not None:
        top = colors.top()
        data |= {
            "values": _base64(colors.values, "<f4"),
            "label": colors.label,
            "unit": colors.unit,
            "vmin": 0.0,
            "vmax": top,
            "clipped": bool(np.nanmax(colors.values, initial=0.0) > top),
            "palette": atom_colours.palette(colors.colormap),
        }
    return data


def script_url() -> str:
    """Address of 3Dmol for the browser: this server, or 3Dmol's public address where the file is missing."""
    if not LIBRARY.is_file():
        return PUBLIC_LIBRARY
    base = st.get_option("server.baseUrlPath").strip("/")
    return f"{'/' + base if base else ''}/app/static/{LIBRARY.name}?v={VERSION}"


def _kind(number: int) -> dict[str, object]:
    """Symbol, colour and drawn radius (Å) of an element; spheres of neighbours just fail to touch."""
    return {
        "symbol": chemical_symbols[number],
        "color": atom_colours.of_element(number),
        "radius": 0.72 * float(covalent_radii[number]),
    }


def _base64(values: NDArray[np.generic], dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes()).decode()


def _digest(*arrays: NDArray[np.generic]) -> str:
    """Name of a structure; the browser keeps its camera while the name stays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()[:16]
