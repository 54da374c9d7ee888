"""Export of figures and tables, each with what is needed to cite and repeat it.

The camera in a chart's toolbar saves SVG or PNG in the browser. The Export menu gives a stand-alone HTML file
and the data as CSV, and, where kaleido and a Chromium browser are installed, SVG and PNG in report colours.
"""

import datetime
import importlib.util
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from app.figures import base

MakeFigure = Callable[[base.Ink], go.Figure]

PNG_SCALE = 300 / 96  # 300 dpi at CSS pixels
REPORT_WIDTH = 900
FILE_NAME_LENGTH = 60  # characters of the conditions in a file name
SOURCE_LINE_LENGTH = 76  # characters that a figure in a window of 420 pixels has room for
MIME_TYPES = {"csv": "text/csv", "html": "text/html", "png": "image/png", "svg": "image/svg+xml"}
_NAMED = 3  # ids that are written out
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


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
    """

    page: str
    title: str
    models: tuple[str, ...]
    datasets: tuple[str, ...]
    n: str
    data_version: str
    citation: str = ""
    conditions: tuple[str, ...] = ()

    def parts(self) -> list[str]:
        """Ids, count, version, date and citation, one each."""
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        return [
            *([_named("Model", self.models)] if self.models else []),
            ", ".join([_named("Dataset", self.datasets) if self.datasets else "Dataset: all", *self.conditions]),
            f"n = {self.n}",
            f"Defect Atlas, data {self.data_version}, {today}",
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
    """Plotly settings: the camera saves the chosen format, and no button without use is shown."""
    image_format = st.session_state.get("camera", "SVG").lower()
    return {
        "displaylogo": False,
        "displayModeBar": True,
        "responsive": True,
        "modeBarButtonsToRemove": ["lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
        "toImageButtonOptions": {
            "format": image_format,
            "filename": provenance.file_name(image_format).rpartition(".")[0],
            "scale": 1 if image_format == "svg" else PNG_SCALE,
        },
    }


def to_csv(table: pd.DataFrame, provenance: Provenance) -> bytes:
    """The table with its origin in comment lines; read it with `pandas.read_csv(file, comment="#")`."""
    head = "".join(f"# {line}\n" for line in [provenance.title, *provenance.parts()])
    return (head + str(table.to_csv(index=False))).encode()


def to_html(make: MakeFigure, provenance: Provenance) -> bytes:
    """A page that needs no network: Plotly's script is inside."""
    figure = make(base.LIGHT)
    page = str(figure.to_html(include_plotlyjs=True, config=camera_defaults(provenance)))
    return page.replace("<head>", f"<head><title>{provenance.title}</title>", 1).encode()


def camera_defaults(provenance: Provenance) -> dict[str, Any]:
    """Settings of the stand-alone page, whose camera saves SVG."""
    name = provenance.file_name("svg").rpartition(".")[0]
    return {"displaylogo": False, "toImageButtonOptions": {"format": "svg", "filename": name}}


def to_image(make: MakeFigure, image_format: str) -> bytes:
    """SVG or PNG in report colours, drawn by kaleido."""
    figure = make(base.LIGHT)
    scale = 1 if image_format == "svg" else PNG_SCALE
    return bytes(figure.to_image(format=image_format, width=REPORT_WIDTH, scale=scale))


def can_draw_images() -> bool:
    """Whether kaleido is installed and finds a browser; sets `BROWSER_PATH`, which it reads."""
    browser = os.environ.get("BROWSER_PATH") or next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None or importlib.util.find_spec("kaleido") is None:
        return False
    os.environ["BROWSER_PATH"] = browser
    return True


def menu(make: MakeFigure, table: pd.DataFrame, provenance: Provenance, *, has_camera: bool = True) -> None:
    """The Export menu of a page's figure; only the first on a page has the choice of the camera's format."""
    with st.popover("Export", icon=":material/download:", help="Save this figure or its data"):
        if has_camera:
            st.segmented_control(
                "The camera above the chart saves",
                ["SVG", "PNG"],
                default="SVG",
                required=True,
                key="camera",
                persist_state="session",
            )
        if can_draw_images():
            for image_format in ("svg", "png"):
                download(
                    f"{image_format.upper()}, report colours",
                    partial(to_image, make, image_format),
                    provenance.file_name(image_format),
                )
        download("HTML, interactive, offline", lambda: to_html(make, provenance), provenance.file_name("html"))
        download("CSV, data", lambda: to_csv(table, provenance), provenance.file_name("csv"))


def download(
    label: str, content: Callable[[], str | bytes], name: str, *, width: Literal["stretch", "content"] = "stretch"
) -> None:
    """A button whose file is made on click, off the script's thread and without a rerun.

    Args:
        label: Of the button.
        content: Makes the file.
        name: Of the file; its ending tells the type.
        width: Of the button.
    """
    st.download_button(
        label,
        content,
        file_name=name,
        mime=MIME_TYPES.get(name.rpartition(".")[2], "text/plain"),
        on_click="ignore",
        key=f"download-{label}-{name}",
        width=width,
    )
