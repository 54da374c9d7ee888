"""Fonts in SVG files: the letters that a drawing uses, inside the file, and sizes in millimetres.

The font is DejaVu Sans, which comes with matplotlib. Its licence (`licence`) allows to embed it.
"""

import base64
import html
import io
import re
from pathlib import Path

from app.report.layout import FONT, PX_PER_MM

_FILES = {"normal": "DejaVuSans.ttf", "bold": "DejaVuSans-Bold.ttf"}
_SIZE = re.compile(r'(<svg [^>]*?)width="([\d.]+)" height="([\d.]+)"', re.DOTALL)
_TEXT = re.compile(r">([^<>]+)<")
_BOLD = re.compile(r"font-weight:\s*(?:bold|[6-9]00)")


def folder() -> Path:
    """Where matplotlib keeps its fonts."""
    from matplotlib import get_data_path  # pages need not wait for it

    return Path(get_data_path()) / "fonts" / "ttf"


def licence() -> str:
    """Licence of the fonts."""
    return (folder() / "LICENSE_DEJAVU").read_text(encoding="utf-8")


def embedded(svg: str) -> str:
    """The drawing with the letters that it uses inside it, and its size in millimetres in place of pixels.

    Args:
        svg: As Plotly writes it, with sizes in CSS pixels.
    """
    letters = "".join(sorted(set(html.unescape("".join(_TEXT.findall(svg))))))
    weights = ["normal", "bold"] if _BOLD.search(svg) else ["normal"]
    faces = "".join(
        f'@font-face{{font-family:"{FONT}";font-weight:{weight};'
        f'src:url(data:font/ttf;base64,{_letters(weight, letters)}) format("truetype")}}'
        for weight in weights
    )
    sized = _SIZE.sub(
        lambda found: f'{found[1]}width="{float(found[2]) / PX_PER_MM:.3f}mm" '
        f'height="{float(found[3]) / PX_PER_MM:.3f}mm"', svg, count=1,
    )  # fmt: skip
    head, end, rest = sized.partition(">")
    return f"{head}{end}<style>{faces}</style>{rest}"


def _letters(weight: str, letters: str) -> str:
    """A font of these letters alone, as base64."""
    from fontTools import subset  # pages need not wait for it
    from fontTools.ttLib import TTFont

    options = subset.Options(layout_features=["kern"], notdef_outline=True, recalc_timestamp=False, hinting=False)
    font = TTFont(folder() / _FILES[weight], recalcTimestamp=False)
    made = subset.Subsetter(options)
    made.populate(text=letters)
    made.subset(font)
    content = io.BytesIO()
    font.save(content)
    return base64.b64encode(content.getvalue()).decode()
