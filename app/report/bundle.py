"""A report as one ZIP: figures to print, their data and captions, references and licences.

Equal reports are equal bytes.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.report import citations, document, layout, renderer
from app.report.basket import Item

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a ZIP can hold
_MODE = 0o644 << 16


@dataclass(frozen=True)
class Entry:
    """An item of a report with the width of its figure in mm."""

    item: Item
    width: int


def archive(
    entries: Sequence[Entry],
    title: str,
    *,
    with_images: bool,
    on_drawn: Callable[[int, int], None] = lambda n, of: None,
) -> bytes:
    """The ZIP.

    Args:
        entries: At least one.
        title: Of the report.
        with_images: Whether SVG, PDF and PNG are drawn, which needs Chromium; captions, CSV and HTML come anyway.
        on_drawn: Called with the number of pictures that are done and of all of them.

    Raises:
        RenderingError: The figures could not be drawn.
    """
    files = contents(entries, title)
    if with_images:
        files |= images(entries, on_drawn)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as written:
        for name in sorted(files):
            about = zipfile.ZipInfo(f"report/{name}", _EPOCH)
            about.external_attr, about.compress_type, about.create_system = _MODE, zipfile.ZIP_DEFLATED, 3
            written.writestr(about, files[name])
    return made.getvalue()


def name_of(number: int, item: Item) -> str:
    """Path of an item's files without their endings.

    Args:
        number: Place in the report, from 1.
        item: The item.
    """
    return f"{'structures' if item.structure else 'figures'}/{number:02d}-{item.slug()}"


def contents(entries: Sequence[Entry], title: str) -> dict[str, bytes]:
    """Every file that needs no drawing, by path: data, captions, structures, HTML, references and licences."""
    found: dict[str, bytes] = {}
    captions = [f"# {title}"]
    for number, entry in enumerate(entries, start=1):
        item, name = entry.item, name_of(number, entry.item)
        kind = "Structure" if item.structure else "Figure"
        captions.append(f"**{kind} {number}.** {item.caption}")
        found[f"{name}.txt"] = f"{kind} {number}. {item.caption}\n".encode()
        found[f"{name}.csv"] = item.csv.encode()
        if item.structure:
            found[f"{name}.extxyz"] = item.structure.encode()
    models = {name for entry in entries for name in entry.item.models}
    datasets = {name for entry in entries for name in entry.item.datasets}
    found["captions.md"] = ("\n\n".join(captions) + "\n").encode()
    found["references.bib"] = citations.bibtex(models, datasets).encode()
    found["LICENCES.txt"] = citations.licences(models, datasets).encode()
    found["report.html"] = document.page([entry.item for entry in entries], title).encode()
    return found


def images(entries: Sequence[Entry], on_drawn: Callable[[int, int], None] = lambda n, of: None) -> dict[str, bytes]:
    """SVG, PDF and PNG of each figure, by path.

    Raises:
        RenderingError: They could not be drawn.
    """
    names, jobs = [], []
    for number, entry in enumerate(entries, start=1):
        figure = layout.for_print(entry.item.drawn(), entry.width)
        for image_format in renderer.FORMATS:
            names.append(f"{name_of(number, entry.item)}.{image_format}")
            jobs.append(renderer.Job(figure, image_format))
    drawn = renderer.render(jobs, lambda n: on_drawn(n, len(jobs)))
    return dict(zip(names, drawn, strict=True))
