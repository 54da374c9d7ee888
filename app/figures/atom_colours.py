"""Colours of atoms, the same in flat pictures and in the 3D viewer."""

import numpy as np
from ase.data.colors import jmol_colors

_N_STEPS = 64


def of_element(number: int) -> str:
    """Jmol's colour of an element; it names none beyond meitnerium.

    Example:
        >>> of_element(26)
        '#e06633'
    """
    red_green_blue = jmol_colors[number] if number < len(jmol_colors) else jmol_colors[0]
    return "#" + "".join(f"{round(255 * part):02x}" for part in red_green_blue)


def palette(colormap: str) -> list[str]:
    """A colour map of matplotlib in steps, from its low end."""
    from matplotlib import colormaps  # pages need not wait for it
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps[colormap](np.linspace(0, 1, _N_STEPS))]
