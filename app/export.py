"""Export of figures and tables, each with what is needed to cite and repeat it.

The Export menu of a chart gives SVG, PDF and PNG to print, where Chromium is installed, a stand-alone HTML file and the
data as CSV, and puts the chart into the visitor's report. A file is made when its button is clicked. Without Chromium
the camera in the chart's toolbar stays, which saves what the browser shows.
"""

import datetime
import html
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal
from urllib.parse import urlencode

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.figures import base
from app.report import basket, columns, layout, renderer
from app.wording import dataset_label, energy_meaning, listed, model_labels
from engine.quantities import ALIGNMENTS

MakeFigure = Callable[[base.Ink], go.Figure]

FILE_NAME_LENGTH = 60  # characters of the conditions in a file name
SOURCE_LINE_LENGTH = 76  # characters that a figure in a window of 420 pixels has room for
MIME_TYPES = {
    "csv": "text/csv",
    "html": "text/html",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "zip": "application/zip",
}
_NAMED = 3  # ids that are written out
_MOST_DEFINITIONS = 3


@dataclass(frozen=True)
class Provenance:
    """Contents and origin of a figure or table.

    Attributes:
        page: Page, for the file name.
        title: Title of the figure.
        models: Model ids; none where the figure shows the reference alone.
        datasets: Dataset ids.
        n: Number of samples with their noun.
        data_version: Build of the data.
        citation: Whom to cite for the reference data.
        conditions: What narrows the datasets, in words.
        subject: What stands in the place of datasets: `Dataset`, or `Structure` for a visitor's own.
    """

    page: str
    title: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    n: str
    data_version: str
    citation: str = ""
    conditions: tuple[str, ...] = ()
    subject: str = "Dataset"

    def parts(self, *, with_date: bool = True) -> list[str]:
        """Ids, count, version, date and citation, one each.

        Args:
            with_date: Whether today's date is among them, which files that are to be equal tomorrow leave out.
        """
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return [
            *([_named("Model", self.models)] if self.models else []),
            ", ".join([_named(self.subject, self.datasets) if self.datasets else "Dataset: all", *self.conditions]),
            f"n = {self.n}",
            f"Defect Atlas, data {self.data_version}" + (f", {today}" if with_date else ""),
            *([f"Reference data: {self.citation}"] if self.citation else []),
        ]

    def source_line(self) -> str:
        """The same in short lines, four of them at most, with the citation cut to author and DOI."""
        *parts, last = self.parts()
        lines = [""]
        for part in [*parts, _short_citation(last)]:
            joined = f"{lines[-1]} · {part}".removeprefix(" · ")
            lines = [*lines, part] if len(joined) > SOURCE_LINE_LENGTH else [*lines[:-1], joined]
        return "<br>".join(lines[:4])

    def file_name(self, extension: str) -> str:
        """`<page>_<model>_<dataset>_<conditions>_<version>.<extension>`."""
        conditions = "-".join(self.conditions)[:FILE_NAME_LENGTH]
        ids = [_some_of("models", self.models), _some_of("datasets", self.datasets)]
        names = [self.page, *ids, conditions, self.data_version]
        return "_".join(re.sub(r"[^\w.-]+", "-", name) for name in names if name) + f".{extension}"


def _short_citation(citation: str) -> str:
    """First author and DOI, where there is a DOI."""
    doi = re.search(r"doi:\S*[^\s.]", citation)
    author, comma, _ = citation.partition(",")
    return f"{author} et al., {doi[0]}" if doi and comma else citation


def _named(noun: str, ids: tuple[str, ...]) -> str:
    """The ids after their noun, or how many there are if they do not fit a line."""
    return f"{noun}: {', '.join(ids)}" if len(ids) <= _NAMED else f"{len(ids)} {noun.lower()}s"


def _some_of(nouns: str, ids: tuple[str, ...]) -> str:
    """The only id, or how many there are, for a file name."""
    return ids[0] if len(ids) == 1 else f"{len(ids)}-{nouns}" if ids else ""


def camera(provenance: Provenance) -> dict[str, Any]:
    """Plotly settings of a chart: no button without use; the camera only where the Export menu draws no pictures."""
    unused = ["lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"]
    return {
        "displaylogo": False,
        "displayModeBar": True,
        "responsive": True,
        "modeBarButtonsToRemove": [*unused, "toImage"] if renderer.browser() else unused,
        "toImageButtonOptions": {"format": "svg", "filename": provenance.file_name("svg").rpartition(".")[0]},
    }


def to_csv(table: pd.DataFrame, provenance: Provenance) -> bytes:
    """The table with units in the names of its columns, and its origin in comment lines.

    Read it with `pandas.read_csv(file, comment="#")`. The same table of the same data is the same on any day.
    """
    head = "".join(f"# {line}\n" for line in [provenance.title, *provenance.parts(with_date=False)])
    named = columns.named(_without_formulas(table), provenance.page, provenance.title)
    return (head + str(named.to_csv(index=False))).encode()


def _without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before texts that a spreadsheet would compute; texts may come from anyone's file."""
    texts = table.select_dtypes(exclude="number").columns
    return table.assign(**{name: table[name].map(_plain_text) for name in texts})


def _plain_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def to_html(make: MakeFigure, provenance: Provenance) -> bytes:
    """A page that needs no network: Plotly's script is inside."""
    figure = make(base.LIGHT)
    name = provenance.file_name("svg").rpartition(".")[0]
    config = {"displaylogo": False, "toImageButtonOptions": {"format": "svg", "filename": name}}
    page = str(figure.to_html(include_plotlyjs=True, config=config))
    return page.replace("<head>", f"<head><title>{html.escape(provenance.title)}</title>", 1).encode()


def to_image(make: MakeFigure, image_format: str, width: int) -> bytes:
    """The figure to print.

    Args:
        make: Draws it.
        image_format: `svg`, `pdf` or `png`.
        width: 85 or 180 mm.

    Raises:
        RenderingError: It could not be drawn.
    """
    return renderer.render([renderer.Job(layout.for_print(make(base.LIGHT), width), image_format)])[0]


def caption(provenance: Provenance, table: pd.DataFrame) -> str:
    """What a figure shows, for its caption: title, n, models, data, definitions, alignment, version, whom to cite."""
    labels = model_labels()
    title = provenance.title.rstrip(".")
    datasets = ", ".join(map(dataset_label, provenance.datasets))
    reference = "Reference data" if provenance.subject == "Dataset" else provenance.subject
    about = [
        f"{title}.",
        f"n = {provenance.n}.",
        f"Models: {listed(labels.get(name, name) for name in provenance.models)}." if provenance.models else "",
        f"{reference}: {', '.join(filter(None, [datasets, *provenance.conditions]))}.",
        *_definitions(title, table),
        _alignment(title),
        f"Source of the reference data: {provenance.citation.rstrip('.')}." if provenance.citation else "",
        f"Defect Atlas, data version {provenance.data_version}.",
    ]
    return " ".join(filter(None, about))


def _definitions(title: str, table: pd.DataFrame) -> list[str]:
    """Definitions of the quantities that a title names, or of the first ones of its table."""
    known = columns.definitions([str(name) for name in table])
    meant = [sentence for sentence in known if sentence.partition(":")[0].lower() in title.lower()]
    return (meant or known)[:_MOST_DEFINITIONS]


def _alignment(title: str) -> str:
    """What the energies of a figure are relative to; forces and figures without energies have no alignment."""
    if "energ" not in title.lower() or "defect energ" in title.lower():
        return ""
    named = [key for key, words in ALIGNMENTS.items() if words in title] or ["per_element"] * ("aligned" in title)
    key = named[0] if named else st.session_state.get("align")
    return energy_meaning(key) if key in ALIGNMENTS else ""


def menu(make: MakeFigure, table: pd.DataFrame, provenance: Provenance, *, key: str, widths: Sequence[int]) -> None:
    """The Export menu of a figure; nothing is drawn before a click.

    Args:
        make: Draws the figure.
        table: The numbers behind it.
        provenance: Its origin.
        key: Of the figure.
        widths: In mm, at which it can be printed.
    """
    with st.popover("Export", icon=":material/download:", help="Save this figure or its data, or add it to the report"):
        if renderer.browser():
            _images(make, provenance, key, widths)
        else:
            st.caption(renderer.INSTALL)
        download("HTML, interactive, offline", lambda: to_html(make, provenance), provenance.file_name("html"), key=key)
        download("CSV, data", lambda: to_csv(table, provenance), provenance.file_name("csv"), key=key)
        report_button(lambda: figure_item(make, table, provenance), key)


def _images(make: MakeFigure, provenance: Provenance, key: str, widths: Sequence[int]) -> None:
    """Buttons of files to print, and the width of the print."""
    width = widths[0]
    if len(widths) > 1:
        width = st.segmented_control(
            "Width in print", sorted(widths), default=widths[0], required=True, format_func="{} mm".format,
            key=f"width-{key}", width="stretch",
        )  # fmt: skip
    else:
        st.caption(f"Width in print: {width} mm; this figure is too wide for {min(layout.WIDTHS)} mm.")
    with st.container(horizontal=True, gap="small"):
        for image_format in renderer.FORMATS:
            name = provenance.file_name(image_format)
            content = partial(to_image, make, image_format, width)
            download(image_format.upper(), content, f"{width}mm_{name}", key=key, width="content")


def report_button(make: Callable[[], basket.Item], key: str) -> None:
    """A button that puts something into the visitor's report, and says so.

    Args:
        make: Makes the item, on click.
        key: Of the figure or structure.
    """

    def add() -> None:
        st.toast(basket.add(make()))

    st.button("Add to report", icon=":material/library_add:", key=f"report-{key}", width="stretch", on_click=add)


def figure_item(make: MakeFigure, table: pd.DataFrame, provenance: Provenance) -> basket.Item:
    """A figure as it lies in the basket, with the address of the page that it is on."""
    page = str(st.session_state.get("address", ""))
    figure = make(base.LIGHT)
    asked = {name: st.query_params.get_all(name) for name in sorted(st.query_params)}
    return basket.Item(
        title=provenance.title,
        caption=caption(provenance, table),
        page=page,
        address=urlencode(asked, doseq=True),
        models=provenance.models,
        datasets=provenance.datasets,
        data_version=provenance.data_version,
        figure=basket.figure_text(figure),
        csv=to_csv(table, provenance).decode(),
        widths=layout.widths_of(figure),
    )


def download(
    label: str,
    content: Callable[[], str | bytes],
    name: str,
    *,
    key: str = "",
    width: Literal["stretch", "content"] = "stretch",
) -> None:
    """A button whose file is made on click, off the script's thread and without a rerun.

    Args:
        label: Of the button.
        content: Makes the file.
        name: Of the file; its ending tells the type.
        key: Of the figure, where a page has several with files of the same name.
        width: Of the button.
    """
    st.download_button(
        label,
        content,
        file_name=name,
        mime=MIME_TYPES.get(name.rpartition(".")[2], "text/plain"),
        on_click="ignore",
        key=f"download-{key}-{label}-{name}",
        width=width,
    )
