"""Files as the server sends them: compressed, the same after unpacking, small fonts, and a page with its name."""

import gzip
import re
from io import BytesIO

import brotli
import pytest
from fontTools.ttLib import TTFont
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_handler

from app import delivery, small_charts, small_fonts
from app.delivery import Delivery, Packer, shell
from app.main import PAGES

INDEX = small_fonts.STATIC.parent / "index.html"
SCRIPT = next((small_fonts.STATIC / "js").glob("index.*.js"))
UNPACK = {"br": brotli.decompress, "gzip": gzip.decompress}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Streamlit's own static files behind ours."""
    app = Starlette(
        middleware=[
            Middleware(
                Delivery, folder=tmp_path_factory.mktemp("packed"), titles={"": "Overview", "duel": "Duel"},
                with_charts=frozenset({"duel"}),
            )
        ]
    )  # fmt: skip
    app.mount("/", create_streamlit_static_handler(str(INDEX.parent), ""))
    with TestClient(app) as made:
        yield made


def raw(client, path: str, **headers: str) -> tuple[bytes, dict[str, str]]:
    with client.stream("GET", path, headers=headers) as answer:
        return b"".join(answer.iter_raw()), dict(answer.headers)


@pytest.mark.parametrize("encoding", ["br", "gzip"])
def test_a_script_comes_compressed_and_is_the_same(client, encoding):
    body, headers = raw(client, f"/static/js/{SCRIPT.name}", **{"accept-encoding": f"deflate, {encoding};q=1.0"})
    assert headers["content-encoding"] == encoding
    assert headers["vary"] == "Accept-Encoding"
    assert "immutable" in headers["cache-control"]
    assert int(headers["content-length"]) == len(body) < SCRIPT.stat().st_size / 2.5
    assert UNPACK[encoding](body) == SCRIPT.read_bytes()


def test_who_cannot_unpack_gets_the_file_itself(client):
    body, headers = raw(client, f"/static/js/{SCRIPT.name}", **{"accept-encoding": "identity"})
    assert "content-encoding" not in headers
    assert body == SCRIPT.read_bytes()


def test_what_a_browser_has_is_not_sent_again(client):
    _, headers = raw(client, "/duel", **{"accept-encoding": "br"})
    again = client.get("/duel", headers={"accept-encoding": "br", "if-none-match": headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_page_of_each_address_has_its_name_before_scripts_run(client):
    page = client.get("/duel").text
    assert "<title>Duel · Defect Atlas</title>" in page
    assert re.search(r'<div id="root">.*<h2>Duel</h2>.*Loading the page', page, re.DOTALL)
    assert small_fonts.chart_library() in page
    assert small_fonts.chart_library() not in client.get("/").text  # as asked: no charts there
    assert 'as="font"' not in page


def test_streamlits_page_still_has_what_the_shell_changes():
    """Another version of Streamlit may have another page; then this says what to look at."""
    page = INDEX.read_text(encoding="utf-8")
    changed = shell(page, "T", has_charts=True)
    assert changed.count('<div id="root"><style>') == 1
    assert small_fonts.chart_library()
    assert len(re.findall("modulepreload", changed)) == len(re.findall("modulepreload", page)) + 1


def test_files_are_packed_smaller_later_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "QUIET_SECONDS", 0.0)
    data = SCRIPT.read_bytes()[:60_000]
    first = Packer(tmp_path)
    quick = first.pack(data, "br")
    assert first._thread is not None
    first._thread.join(timeout=60)
    small = first.pack(data, "br")
    assert len(small) < len(quick)
    assert brotli.decompress(small) == data
    assert Packer(tmp_path).pack(data, "br") == small


def _spelled(font: TTFont) -> set[str]:
    """Words that a font of icons has a glyph for."""
    letters = {glyph: chr(code) for code, glyph in font.getBestCmap().items()}
    tables = [getattr(t, "ExtSubTable", t) for lookup in font["GSUB"].table.LookupList.Lookup for t in lookup.SubTable]
    return {
        "".join(letters[glyph] for glyph in (first, *one.Component))
        for table in tables
        for first, ligatures in getattr(table, "ligatures", {}).items()
        for one in ligatures
    }


def test_the_font_of_icons_has_all_icons_that_pages_name():
    path = next((small_fonts.STATIC / "media").glob("MaterialSymbols*"))
    small = small_fonts.reduced(path.name, path.read_bytes())
    assert len(small) < path.stat().st_size / 5
    here, there = _spelled(TTFont(BytesIO(small))), _spelled(TTFont(path))
    named = {entry.icon.split("/")[1].rstrip(":") for entry in PAGES}
    named |= {"download", "keyboard_double_arrow_right", "help", "expand_more", "close"}  # the last of Streamlit's own
    assert named <= here
    assert small_fonts.wanted().splitlines() and set(small_fonts.wanted().splitlines()) & there <= here


def test_the_library_of_charts_holds_what_pages_show():
    whole = (small_fonts.STATIC / "js" / small_fonts.chart_library()).read_bytes()
    small = small_charts.reduced(whole)
    assert len(small) < 0.45 * len(whole)  # else Streamlit's file has changed: look at small_charts.EMPTY
    assert small[-200:] == whole[-200:]
    assert b"alpha_shape:n(" in whole and b"alpha_shape:n(" not in small
    assert b'"src/traces/treemap/plot.js"(e,t){}' in small
    assert b'"src/lib/index.js"(e,t){}' not in small  # whose variable is `$`
    register = re.compile(rb'"lib/index\.js"\(e,t\)\{var n=[\w$]+\(\);n\.register\(\[([^]]*)\]')
    names = [re.search(rf'([\w$]+)=[\w$]+\(\{{"lib/{kind}\.js"'.encode(), whole)[1] for kind in small_charts.KINDS]
    assert register.search(small)[1] == b",".join(name + b"()" for name in names)
    lines = re.compile(rb'[\w$]+\(\{"([\w@.-]+/[^"]*)"\(')
    assert lines.findall(small) == lines.findall(whole)  # every module is there, empty or not
    path = f"/static/js/{small_fonts.chart_library()}"
    assert small_charts.SCRIPT.search(path)
    assert not small_charts.SCRIPT.search(f"/static/js/{SCRIPT.name}")


def test_a_library_of_charts_that_is_made_otherwise_is_sent_as_it_is():
    whole = (small_fonts.STATIC / "js" / small_fonts.chart_library()).read_bytes()
    other = whole.replace(b'"stackgl_modules/index.js"', b'"stackgl/index.js"')
    assert small_charts.reduced(other) == other
    assert small_charts.reduced(b"no library") == b"no library"


def test_pages_draw_nothing_that_the_small_library_lacks():
    """Scatter is always there; other kinds are left out of what browsers get."""
    drawn = {
        kind for path in small_fonts.APP.rglob("*.py") for kind in re.findall(r"\bgo\.([A-Z]\w+)", path.read_text())
    }
    assert {kind.lower() for kind in drawn} == {"figure", "scatter", *small_charts.KINDS}


def test_what_is_no_font_is_sent_as_it_is():
    assert small_fonts.reduced("SourceSans.woff2", b"no font") == b"no font"
