"""Streamlit's library of charts without maps and 3D plots, which no page shows: 1,060 kB of a first visit become 740.

Plotly's modules stand one after another in that file, each under its name. Those below are left empty. A file in which
one of them is not found exactly once is sent as it is, so another version of Streamlit costs bytes and breaks nothing.
"""

import functools
import re

SCRIPT = re.compile(r"/static/js/PlotlyChart\.[^/]*\.js$")

# What takes part in nothing but maps (MapLibre) and 3D plots (stack.gl), and what stands in its place. Modules of 3D
# plots read parts of it when they are loaded, so anything can be read from what stands for it.
_NOTHING = "var p=new Proxy(function(){},{get:()=>p});t.exports=p"
UNUSED = {
    "stackgl_modules/index.js": _NOTHING,
    "build/maplibre_worker.js": 't.exports=""',
    "node_modules/maplibre-gl/dist/maplibre-gl.mjs": "",
    "node_modules/maplibre-gl/dist/maplibre-gl-shared.mjs": "",
    "node_modules/maplibre-gl/dist/maplibre-gl.css": "",
}

_NAME = r"[\w$]+"
_END = re.compile(rf"\}}\}}\),{_NAME}=(?:{_NAME}\(\{{\"|\{{\}};)")  # of a module, and the beginning of what follows


@functools.lru_cache(maxsize=2)
def reduced(script: bytes) -> bytes:
    """The library without what no page shows.

    Args:
        script: The file of Streamlit.

    Returns:
        The same file with some modules empty; the file itself where they are not all found.
    """
    text = script.decode()
    for path, instead in UNUSED.items():
        found = list(re.finditer(rf"\b{_NAME}={_NAME}\(\{{\"{re.escape(path)}\"\((?:e(?:,t)?)?\)\{{", text))
        end = _END.search(text, found[0].end()) if len(found) == 1 else None
        if end is None:
            return script
        text = text[: found[0].end()] + instead + text[end.start() :]
    return text.encode()
