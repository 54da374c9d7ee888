"""Streamlit's fonts with no more than what pages show: 635 kB of a first visit become 100."""

import functools
import re
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

APP = Path(__file__).parent
STATIC = Path(streamlit.__file__).parent / "static" / "static"

ICONS = "MaterialSymbols"  # names of files begin with it
# Latin, Greek, punctuation, small digits, arrows, mathematics; other characters come in the system's font.
RANGES = ((0x20, 0x17F), (0x370, 0x3FF), (0x2010, 0x2044), (0x2070, 0x209C), (0x2190, 0x2193), (0x2200, 0x2265))
FEATURES = ["kern", "liga", "ccmp", "mark", "mkmk", "tnum", "case"]  # small capitals and old figures are never shown


@functools.cache
def wanted() -> str:
    """Words of the app and of Streamlit that may be names of icons, one a line; more than there are icons."""
    found: set[str] = set()
    for path in APP.rglob("*.py"):
        found.update(re.findall(r":material/(\w+):", path.read_text(encoding="utf-8")))
    for path in (STATIC / "js").glob("*.js"):
        text = path.read_text(encoding="utf-8")
        # Streamlit names its own icons as strings or with the prefix that apps use.
        found.update(re.findall(r"material/(\w+)", text))
        if "material" in text:
            found.update(re.findall(r"[\"'`]([a-z][a-z0-9_]{2,39})[\"'`]", text))
    return "\n".join(sorted(found))


def rules() -> str:
    """All that decides what a reduced font holds; another text, another font."""
    return f"{RANGES} {FEATURES}\n{wanted()}"


def chart_library() -> str:
    """File name of the part of Streamlit's scripts that draws charts; empty where it has another name."""
    return next((path.name for path in (STATIC / "js").glob("PlotlyChart.*.js")), "")


def reduced(name: str, data: bytes) -> bytes:
    """A font with the characters or icons that pages can show.

    Args:
        name: Of the file.
        data: WOFF2.

    Returns:
        WOFF2; the same data where the font cannot be read or would not become smaller.
    """
    from fontTools import subset  # a reduced font is kept, so few servers ever need it
    from fontTools.ttLib import TTFont, TTLibError

    try:
        font = TTFont(BytesIO(data))
        is_icons = name.startswith(ICONS)
        features = ["*"] if is_icons else FEATURES
        options = subset.Options(flavor="woff2", layout_features=features, hinting=False, notdef_outline=True)
        picker = subset.Subsetter(options)
        if is_icons:
            options.layout_closure = False  # else all icons stay, since each is a ligature of letters
            picker.populate(unicodes=range(0x20, 0x7F), glyphs=_icons(font, set(wanted().splitlines())))
        else:
            picker.populate(unicodes=[code for first, last in RANGES for code in range(first, last + 1)])
        picker.subset(font)
        font.flavor = "woff2"
        font.save(made := BytesIO())
    except (TTLibError, KeyError, subset.Subsetter.SubsettingError):
        return data
    return min(made.getvalue(), data, key=len)


def _icons(font: "TTFont", names: set[str]) -> list[str]:
    """Glyphs of the ligatures that spell one of the names."""
    letters = {glyph: chr(code) for code, glyph in font.getBestCmap().items()}
    found = []
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            table = getattr(table, "ExtSubTable", table)
            for first, ligatures in getattr(table, "ligatures", {}).items():
                for one in ligatures:
                    word = "".join(letters.get(glyph, "?") for glyph in (first, *one.Component))
                    if word in names:
                        found.append(one.LigGlyph)
    return found
