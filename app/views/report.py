"""Report: the figures and structures that a visitor put aside, in order, as one ZIP and one HTML file."""

import streamlit as st

from app import export, furniture, wording
from app.figures import base, ranking_plots
from app.report import basket, bundle, citations, document, renderer
from app.report.bundle import Entry
from engine.quantities import METRICS, QUANTITIES
from engine.queries import unions
from engine.queries.scope import Scope

TITLE = "Models against DFT on metal defects"
_BUILT = "report-zip"  # in the session: what was built last, with what it was built of

MOST_NAMES = 3  # of datasets in a title


def show() -> None:
    """The items with their captions, and the files."""
    furniture.header(
        "Report", "Which figures and structures are to go into a paper or a talk? Order them, edit captions, take all."
    )
    if not basket.items():
        _begin()
        return
    title = st.text_input("Title", TITLE, key="title", bind="query-params", max_chars=120)
    entries = [_item(place, item) for place, item in enumerate(basket.items())]
    _files(entries, title or TITLE)


def _begin() -> None:
    """What to do while nothing is in the report, with a figure to begin with."""
    st.markdown(
        "Every figure has a menu **Export** with **Add to report**, and so has a structure under **Save**. What you "
        "add is kept here while this browser window is open. It is in no link, since it holds the figures with their "
        "data and your own structures; pass on the HTML file, or the link of a figure's page. A report is one ZIP of "
        "figures to print (SVG, PDF, PNG at 300 dpi, 85 or 180 mm wide, text of 7 to 9 points), their data as CSV, "
        "captions, BibTeX and licences, and one HTML file."
    )
    ids = unions.default_union()
    found = unions.union_ranking("raw", ids, "force")
    if found.ranked.empty:
        return
    names = ", ".join(map(wording.dataset_label, ids)) if len(ids) <= MOST_NAMES else f"{len(ids)} datasets"
    column = METRICS["force"].rmse
    title = f"{QUANTITIES[column].label}: {names}"
    models = found.ranked["model_id"].tolist()
    n = f"{found.n_configs:,} configurations that all ranked models share"
    origin = furniture.provenance("ranking-force", title, models, Scope.of(*ids), n)
    st.subheader("A figure to begin with", anchor=False)
    furniture.figure(
        lambda ink: ranking_plots.ranking_bars(
            found.ranked, "force", unions.POOLED, ink, title, origin.source_line(), with_other=False
        ),
        found.ranked[["model_id", "label", "n_configs", "pooled_rmse", "pooled_rmse_lo", "pooled_rmse_hi",
                      "pooled_rank", "pooled_rank_hi"]],
        origin,
        f"{title}, with 95 % bounds and intervals of ranks, the best model first.",
        key="begin",
    )  # fmt: skip
    st.caption(
        f"Red and hatched: trained on MPtrj alone. {base.IMPORTED_MARK} imported. Numbers at names: 95 % interval of "
        "the rank. Lines: 95 % bounds."
    )


def _item(place: int, item: basket.Item) -> Entry:
    """One item with its controls."""
    last = len(basket.items()) - 1
    key = item.item_id
    widths = item.widths
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            kind = "Structure" if item.structure else "Figure"
            st.markdown(f"**{kind} {place + 1}.** {item.title.translate(_PLAIN)}", width="stretch")
            st.button("Up", key=f"up-{key}", disabled=place == 0, on_click=basket.move, args=(place, -1))
            st.button("Down", key=f"down-{key}", disabled=place == last, on_click=basket.move, args=(place, 1))
            st.button("Remove", key=f"remove-{key}", on_click=basket.remove, args=(place,))
        st.text_area(
            "Caption", item.caption, key=f"caption-{key}", max_chars=3000,
            on_change=lambda: basket.write_caption(place, st.session_state[f"caption-{key}"]),
        )  # fmt: skip
        with st.container(horizontal=True, vertical_alignment="center"):
            width = st.segmented_control(
                "Width in print", sorted(widths), default=widths[0], required=True, format_func="{} mm".format,
                key=f"print-{key}",
            )  # fmt: skip
            is_shown = st.toggle("Preview", key=f"show-{key}")
            st.markdown(f"[Show it on its page](./{item.page}?{item.address})", width="content")
        if is_shown:
            figure = item.drawn()
            st.plotly_chart(
                figure.update_layout(title_text=""), theme=None, key=f"preview-{key}", config={"staticPlot": True},
                alt=item.title,
            )  # fmt: skip
    return Entry(item, int(width or widths[0]))


_PLAIN = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#$~|:"})


def _files(entries: list[Entry], title: str) -> None:
    """The ZIP, which is built on request, and files that need no drawing."""
    st.subheader("Files", anchor=False)
    versions = {entry.item.data_version for entry in entries}
    if len(versions) > 1:
        st.caption(
            f":material/warning: The items are of {len(versions)} builds of the data: {', '.join(sorted(versions))}."
        )
    can_draw = renderer.browser() is not None
    if not can_draw:
        st.caption(f":material/warning: {renderer.INSTALL} The ZIP then has data, captions, HTML, BibTeX and licences.")
    built_of = (title, tuple((entry.item, entry.width) for entry in entries), can_draw)
    models = {name for entry in entries for name in entry.item.models}
    datasets = {name for entry in entries for name in entry.item.datasets}
    items = [entry.item for entry in entries]
    version = sorted(versions)[-1]
    with st.container(horizontal=True, vertical_alignment="center"):
        is_asked = st.button("Build the ZIP", type="primary", icon=":material/folder_zip:")
        export.download(
            "HTML, offline",
            lambda: document.page(items, title),
            f"report_{version}.html",
            key="report",
            width="content",
        )
        export.download(
            "BibTeX", lambda: citations.bibtex(models, datasets), f"report_{version}.bib", key="report", width="content"
        )
    if is_asked:
        _build(entries, title, built_of, can_draw=can_draw)
    built = st.session_state.get(_BUILT)
    if built and built[0] == built_of:
        name = f"report_{version}.zip"
        export.download(f"Save the ZIP ({len(built[1]) / 1e6:.1f} MB)", lambda: built[1], name, width="content")
    elif built:
        st.caption("The report was changed since the last ZIP was built.")


def _build(entries: list[Entry], title: str, built_of: object, *, can_draw: bool) -> None:
    """Draw and pack, with progress; what was built is kept for this visitor."""
    progress = st.progress(0.0, "Starting to draw" if can_draw else "Packing")

    def say(n: int, of: int) -> None:
        progress.progress(n / of, f"{n} of {of} pictures are drawn")

    try:
        made = bundle.archive(entries, title, with_images=can_draw, on_drawn=say)
    except renderer.RenderingError as error:
        furniture.empty("The figures were not drawn", str(error))
        return
    finally:
        progress.empty()
    st.session_state[_BUILT] = (built_of, made)


show()
