"""Streamlit's library of charts with the kinds that pages show: 1,060 kB of a first visit become 490.

Plotly's modules stand one after another in that file, each under its name, and one of them registers the kinds of
charts. Kinds that no page shows are not registered, and the modules that nothing else needs are left empty. A file in
which that cannot be followed is sent as it is, so another version of Streamlit costs bytes and breaks nothing.
"""

import functools
import re

SCRIPT = re.compile(r"/static/js/PlotlyChart\.[^/]*\.js$")

# Beside scatter, which Plotly always has. Bundles of Plotly's own without other calendars exist, so none are needed.
KINDS = ("bar", "heatmap", "scattergl")

# Of maps (MapLibre) and 3D plots (stack.gl) alone, and empty in any case: other modules seem to ask for these, since a
# letter names a module in one place and something else in another. Anything can be read from what stands for the first.
_NOTHING = "var p=new Proxy(function(){},{get:()=>p});t.exports=p"
EMPTY = {
    "stackgl_modules/index.js": _NOTHING,
    "build/maplibre_worker.js": 't.exports=""',
    "node_modules/maplibre-gl/dist/maplibre-gl.mjs": "",
    "node_modules/maplibre-gl/dist/maplibre-gl-shared.mjs": "",
    "node_modules/maplibre-gl/dist/maplibre-gl.css": "",
}

_REGISTER = "lib/index.js"
_NAME = r"[\w$]+"
_MODULE = re.compile(rf"(?<![\w$])(?:({_NAME})=|return ){_NAME}\(\{{\"([^\"]+\.(?:js|mjs|css|json))\"\([^()]*\)\{{")
_END = re.compile(rf"\}}\}}\),{_NAME}=(?:{_NAME}\(\{{\"|\{{\}};)")  # of a module, and the beginning of what follows
_CALL = re.compile(rf"(?<![\w$.])({_NAME})\(\)")  # a module is asked for by the name of its variable
_LIST = re.compile(rf"({_NAME})=({_NAME})\(\);\1\.register\(\[((?:{_NAME}\(\),?)+)\]\)")


@functools.lru_cache(maxsize=2)
def reduced(script: bytes) -> bytes:
    """The library without what no page shows.

    Args:
        script: The file of Streamlit.

    Returns:
        The same file with some modules empty; the file itself where they cannot all be found.
    """
    text = script.decode()
    modules = list(_MODULE.finditer(text))
    paths = {found[2]: found for found in modules}
    registers = _LIST.search(text, paths[_REGISTER].end()) if _REGISTER in paths else None
    wanted = [paths.get(f"lib/{kind}.js") for kind in KINDS]
    if registers is None or len(paths) < len(modules) or not all(wanted) or not EMPTY.keys() <= paths.keys():
        return script
    variables = [found[1] for found in wanted if found]
    needed = _needed(text, modules, {registers[2], *variables})
    pieces, at = [], 0
    for found, after in zip(modules, [*modules[1:], None], strict=True):
        end = _END.search(text, found.end())
        if found[2] == _REGISTER:
            listed = ",".join(f"{name}()" for name in variables)
            pieces += [text[at : registers.start(3)], listed]
            at = registers.end(3)
        elif (found[2] in EMPTY or found[1] not in needed) and end and (after is None or end.start() < after.start()):
            pieces += [text[at : found.end()], EMPTY.get(found[2], "")]
            at = end.start()
    return "".join([*pieces, text[at:]]).encode()


def _needed(text: str, modules: list[re.Match[str]], start: set[str]) -> set[str]:
    """Variables of the modules that some modules need, themselves among them."""
    names = {found[1] for found in modules}
    ends = [found.start() for found in modules[1:]] + [len(text)]
    asks = {
        found[1]: names & set(_CALL.findall(text, found.end(), end))
        for found, end in zip(modules, ends, strict=True)
        if found[2] not in EMPTY
    }
    needed, waiting = set(start), list(start)
    while waiting:
        more = asks.get(waiting.pop(), set()) - needed
        needed |= more
        waiting += more
    return needed
