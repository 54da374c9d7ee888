"""A report as one HTML file that needs no network: interactive figures with their captions."""

import html
from collections.abc import Sequence

from plotly.offline import get_plotlyjs

from app.figures import base
from app.report import citations
from app.report.basket import Item

_STYLE = """
body { font-family: "Source Sans 3", "Helvetica Neue", Arial, sans-serif; color: #1b1f24; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; line-height: 1.5; }
figure { margin: 2.5rem 0; overflow-x: auto; } figcaption { font-size: .9rem; color: #333b44; }
pre { background: #f6f7f9; padding: 1rem; overflow-x: auto; font-size: .8rem; white-space: pre-wrap; }
"""


def page(items: Sequence[Item], title: str) -> str:
    """The file's text; the same items give the same text.

    Args:
        items: In order.
        title: Heading of the report.
    """
    models = {name for item in items for name in item.models}
    datasets = {name for item in items for name in item.datasets}
    parts = [_figure(number, item) for number, item in enumerate(items, start=1)]
    references = html.escape(citations.bibtex(models, datasets))
    licences = html.escape(citations.licences(models, datasets))
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style><script>{get_plotlyjs()}</script></head>\n<body><h1>{html.escape(title)}</h1>\n"
        + "\n".join(parts)
        + f"\n<h2>References</h2><pre>{references}</pre>\n<h2>Licences</h2><pre>{licences}</pre></body></html>\n"
    )


def _figure(number: int, item: Item) -> str:
    figure = base.without_title(item.drawn())
    figure.layout.annotations = [note for note in figure.layout.annotations if note.name != "source"]
    config = {"displaylogo": False, "responsive": True}
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, div_id=f"figure-{number}", config=config)
    kind = "Structure" if item.structure else "Figure"
    return f"<figure>{drawn}<figcaption><b>{kind} {number}.</b> {html.escape(item.caption)}</figcaption></figure>"
