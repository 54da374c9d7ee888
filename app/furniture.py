"""Pieces that every page shares: headings, numbers, figures with their Export menu, empty states, the footer."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from app import drawn_figures, export, theme
from app.drawn_figures import DrawnFigure
from app.selection import Selection, choose_dataset
from app.wording import citation, dataset_label, model_labels, summary_note
from engine.queries import catalog, error_metrics
from engine.queries.scope import Scope
from engine.version import VERSION

_LONG = 240  # characters of a text that a narrow column would draw out

_COMMAND = re.compile(r"`python -m|`npm|\bmake demo")

FAVICON = str(Path(__file__).parent / "static" / "favicon.svg")


def captions(*texts: str) -> None:
    """Small lines below a chart or table; empty ones are left out."""
    for text in filter(None, texts):
        st.caption(text)


def say_unheeded(scope: Scope, what: str = "This page does not heed") -> None:
    """Warn that a page, or a part of it, ignores the sidebar's conditions; nothing where there are none.

    Args:
        scope: The sidebar's dataset under its conditions.
        what: Subject and verb of the sentence, such as `The offsets do not heed`.
    """
    if words := scope.restrictions():
        st.caption(f":material/filter_alt_off: {what} the conditions at the left: {', '.join(words)}.")


def warn_of_leakage(dataset_ids: Sequence[str]) -> None:
    """Say which models may have been trained on a dataset, since their errors on it are no test."""
    datasets = catalog.datasets()
    for row in datasets[datasets["dataset_id"].isin(dataset_ids)].itertuples():
        if row.leakage and not str(row.leakage).startswith("None"):
            st.caption(f":material/warning: {row.label} and training data: {row.leakage}")


def provenance(page: str, title: str, models: Iterable[str], scope: Scope, n: str) -> export.Provenance:
    """Origin of a figure over the configurations of a scope; it cites the dataset where there is only one."""
    return export.Provenance(
        page=page,
        title=title,
        models=tuple(models),
        datasets=scope.dataset_ids,
        n=n,
        data_version=catalog.store_info().data_version,
        citation=citation(scope.dataset_id) if len(scope.dataset_ids) == 1 else "",
        conditions=tuple(scope.restrictions()),
    )


def provenance_beside(
    page: str, title: str, models: Iterable[str], reference: str, n: str, citation: str = ""
) -> export.Provenance:
    """Origin of a figure whose reference is no dataset of the registry.

    Args:
        page: Address of the page.
        title: Title of the figure.
        models: Model ids.
        reference: What stands in the place of a dataset, in words.
        n: Number of samples with their noun.
        citation: Whom to cite for the reference.
    """
    return export.Provenance(page, title, tuple(models), (reference,), n, catalog.store_info().data_version, citation)


def name_tab(title: str) -> None:
    """What the browser's tab and history show."""
    st.set_page_config(page_title=f"{title} · Defect Atlas")


def say_updated() -> None:
    """Say that the numbers come from a newer build of the data than those that the visitor saw before."""
    version = catalog.store_info().data_version
    if st.session_state.setdefault("data_version", version) != version:
        st.session_state["data_version"] = version
        st.info(f"The data were updated to version {version} since you opened this page. Numbers may have changed.")


def header(title: str, lead: str) -> DeltaGenerator:
    """Title and the page's question; returns the place at its right for the Export menu."""
    name_tab(title)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title(title, anchor=False, width="stretch")
        slot = st.container(width="content")
    st.markdown(lead)
    return slot


def rebuilds(figure: str, differs: str) -> None:
    """Cite the figure of the paper that a page rebuilds, and say in a sentence what differs.

    Args:
        figure: Its number, with the panel where it is one, such as `5` or `1 (h, i)`.
        differs: Data, number of configurations and models.
    """
    st.caption(
        f":material/menu_book: Rebuilds Figure {figure} of Shuang et al. (2025), “Universal machine learning "
        f"interatomic potentials poised to supplant DFT in modeling general defects in metals and random alloys”. "
        f"What differs: {differs}"
    )


def controls() -> DeltaGenerator:
    """A row for the page's own widgets."""
    return st.container(horizontal=True, vertical_alignment="bottom", gap="medium")


def least_width(key: str, pixels: int) -> None:
    """Let a container of a row go below what is beside it, rather than become narrower than that.

    Args:
        key: Of the container.
        pixels: Its least width, in windows that have it.
    """
    # Of the box around it: within that box 100 % would be what the box happens to have left.
    wrapper = f"[data-testid=stLayoutWrapper]:has(> .st-key-{key})"
    st.html(f"<style>{wrapper} {{min-width: min({pixels}px, 100%)}}</style>")


def numbers(values: Sequence[tuple[str, str, str]]) -> None:
    """A row of label, value and a small line below; it wraps in a narrow window, so that no digit is cut."""
    with st.container(horizontal=True, gap="medium"):
        for label, value, below in values:
            with st.container(width="content", gap=None):
                st.metric(label, value, width="content")
                st.caption(below or "\u2007", width="content")


def details(values: Sequence[tuple[str, str]]) -> None:
    """Label and text (Markdown) side by side, as many in a row as there is room for; empty ones are left out.

    A long text has the width of two.
    """
    with st.container(horizontal=True, gap="small"):
        for label, text in values:
            if text:
                with st.container(width=225 if len(text) < _LONG else 466, gap=None):
                    st.caption(label)
                    st.markdown(text)


def empty(title: str, reason: str) -> None:
    """Show, in place of a chart, why there is nothing and what to do next.

    Sentences with a command of the shell help those alone who run the app, so they are folded away.
    """
    sentences = re.split(r"(?<=[.]) (?=[A-Z])", reason)
    commands = [sentence for sentence in sentences if _COMMAND.search(sentence)]
    with st.container(border=True):
        st.markdown(f"**{title}**")
        if rest := " ".join(sentence for sentence in sentences if sentence not in commands):
            st.markdown(rest)
        if commands:
            with st.expander("For those who run this app"):
                st.markdown(" ".join(commands))


def no_atoms(dataset_id: str) -> bool:
    """Explain the empty page where a dataset is here as a summary without atoms; return whether it is.

    Datasets of the same elements that are here with their atoms are a click away.
    """
    note = summary_note(dataset_id)
    if note:
        empty(f"No structures and forces of {dataset_label(dataset_id)} here", note)
        for other in _with_atoms(dataset_id):
            st.button(
                f"Show {dataset_label(other)} instead", key=f"instead-{other}", on_click=choose_dataset, args=(other,)
            )
    return bool(note)


def _with_atoms(dataset_id: str) -> list[str]:
    """Up to three datasets that are here with atoms and predictions and hold an element of another dataset."""
    datasets = catalog.datasets().set_index("dataset_id", drop=False)
    wanted = set(datasets.loc[dataset_id, "elements"])
    here = datasets[(datasets["n_models"] > 0) & datasets["elements"].map(lambda one: bool(wanted & set(one)))]
    return [one for one in here["dataset_id"] if not summary_note(one)][:3]


def not_run(chosen: Selection) -> None:
    """Empty state of a model that has no numbers for the dataset; names models that have."""
    metrics = error_metrics.dataset_metrics("raw")
    others = metrics.loc[(metrics["dataset_id"] == chosen.dataset_id) & (metrics["n_configs"] > 0), "label"]
    listed = ", ".join(others.head(6)) + (" and others" if len(others) > 6 else "")
    model, dataset = model_labels()[chosen.model_id], dataset_label(chosen.dataset_id)
    empty(
        f"No numbers of {model} for {dataset}",
        f"Choose another model or dataset at the left ({dataset} has numbers of {listed or 'no model'}). "
        f"Run `python -m precompute run --model {chosen.model_id} --dataset {chosen.dataset_id}` and then "
        "`python -m precompute build`.",
    )


def figure(
    make: export.MakeFigure,
    table: pd.DataFrame,
    origin: export.Provenance,
    alt: str,
    *,
    key: str,
    slot: DeltaGenerator | None = None,
    on_select: Callable[[], None] | Literal["rerun", "ignore"] = "ignore",
    selection_mode: Literal["points", "box"] = "points",
    width: int | Literal["stretch"] = "stretch",
    has_menu: bool = True,
) -> Any:
    """A chart with its title and its Export menu.

    Args:
        make: Draws the figure in given colours.
        table: The numbers behind it.
        origin: Provenance, for files.
        alt: What the chart shows, in a sentence, for those who cannot see it.
        key: Of the widget; a new key forgets a selection.
        slot: Where the Export menu goes; beside the title without it.
        on_select: `rerun` or a callback, which make the chart clickable.
        selection_mode: `points` or `box`.
        width: Pixels, or `stretch`.
        has_menu: Whether the menu is shown; a part of a page that runs alone cannot write into a slot of the page.

    Returns:
        What `st.plotly_chart` returns.
    """
    drawn = drawn_figures.drawn(make, theme.ink())
    place, beside = _place_of(drawn, key, width)
    if has_menu:
        with slot or beside:
            export.menu(make, table, origin, key=key, widths=drawn.widths)
    with place:
        return st.plotly_chart(
            drawn.figure,
            width=width,
            theme=None,
            key=key,
            alt=alt,
            config=export.camera(origin),
            on_select=on_select,
            selection_mode=selection_mode,
        )


def _place_of(drawn: DrawnFigure, key: str, width: int | Literal["stretch"]) -> tuple[DeltaGenerator, DeltaGenerator]:
    """The figure's title, as text that wraps in a narrow window; the places of the chart below it and of a menu beside.

    A chart that needs more width than the window has scrolls in its place, and the page stays as wide as the window.
    """
    place = "chart-" + re.sub(r"[^a-z0-9]+", "-", key.lower())
    with st.container(gap=None, width=width):
        with st.container(horizontal=True, vertical_alignment="center"):
            if drawn.title:
                st.markdown(f"**{_literal(drawn.title.removeprefix('<b>').removesuffix('</b>'))}**", width="stretch")
            beside = st.container(width="content")
        if drawn.least_width:
            inner = f".st-key-{place} > * {{min-width: {drawn.least_width}px}}"
            st.html(f"<style>.st-key-{place} {{overflow-x: auto}} {inner}</style>")
        return st.container(key=place), beside


def _literal(text: str) -> str:
    """The text without a meaning in Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#$~|:])", r"\\\1", text)


def clicked(key: str) -> list[Any]:
    """`customdata` of the point that was clicked on the chart of that key; empty without one.

    It arrives as a list, or as a dictionary with the positions as keys, depending on how Plotly sent the
    array.
    """
    points = st.session_state[key]["selection"]["points"]
    data = points[0].get("customdata", []) if points else []
    return list(data.values()) if isinstance(data, dict) else list(data)


def footer() -> None:
    """Version of the data, so that a screenshot says where it came from."""
    info = catalog.store_info()
    st.divider()
    st.caption(
        f"Defect Atlas {VERSION} · data version {info.data_version}, built {info.built_at} UTC from commit "
        f"{info.git_commit[:12]} · errors are predicted minus reference (DFT); RMSE with 95 % "
        "bounds"
    )
