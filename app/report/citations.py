"""Whom to cite: BibTeX of models and datasets, and their licences, from the registry's own facts."""

import re
from collections.abc import Iterable

import pandas as pd

from app.report import fonts
from engine.queries import catalog

_DOI = re.compile(r"(?:doi:\s*|https?://(?:dx\.)?doi\.org/)(10\.\S+?)[.,;]?(?=$|\s)", re.IGNORECASE)
_ARXIV = re.compile(r"arxiv(?:\.org/(?:abs|pdf)/|:)(\d{4}\.\d{4,5})", re.IGNORECASE)
_YEAR = re.compile(r"\((\d{4})\)")
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "&%$#_{}"})


def bibtex(models: Iterable[str], datasets: Iterable[str]) -> str:
    """One entry for each model and dataset, in the order of the registry, without what the registry does not know.

    Args:
        models: Model ids.
        datasets: Dataset ids.
    """
    known = _rows(catalog.models(), "model_id", models)
    entries = [_entry(f"model:{row.model_id}", row.label, row.source, "", row.license) for row in known.itertuples()]
    known = _rows(catalog.datasets(), "dataset_id", datasets)
    entries += [
        _entry(f"data:{row.dataset_id}", f"{row.label} (data set)", row.source, row.citation, row.license)
        for row in known.itertuples()
    ]
    return "\n".join(entries)


def licences(models: Iterable[str], datasets: Iterable[str]) -> str:
    """Licences of models, data and the fonts in the figures, as text."""
    lines = ["Licences of what this report shows, as their sources state them.", "", "Models"]
    known = _rows(catalog.models(), "model_id", models)
    lines += [f"  {row.label}: {row.license or 'not stated'} ({row.source})" for row in known.itertuples()]
    lines += ["", "Reference data"]
    known = _rows(catalog.datasets(), "dataset_id", datasets)
    lines += [f"  {row.label}: {row.license or 'not stated'} ({row.source})" for row in known.itertuples()]
    lines += ["", "Font in the figures: DejaVu Sans", "", fonts.licence()]
    return "\n".join(lines)


def _rows(table: pd.DataFrame, column: str, ids: Iterable[str]) -> pd.DataFrame:
    kept = [name for name in (column, "label", "source", "license", "citation") if name in table]
    return table.loc[table[column].isin(set(ids)), kept].sort_values(column).fillna("")


def _entry(key: str, title: str, source: str, citation: str, licence: str) -> str:
    """One entry of kind `misc`; identifiers are read from citation and source."""
    both = f"{citation} {source}"
    doi, arxiv, year = _DOI.search(both), _ARXIV.search(both), _YEAR.search(citation)
    fields = {
        "title": f"{{{title.translate(_SPECIAL)}}}",
        "note": ". ".join(
            part.translate(_SPECIAL)
            for part in (citation.rstrip("."), f"Licence: {licence}" if licence else "")
            if part
        ),
        "doi": doi[1] if doi else "",
        "eprint": arxiv[1] if arxiv else "",
        "archiveprefix": "arXiv" if arxiv else "",
        "year": year[1] if year else "",
        "url": source if source.startswith("http") else "",
    }
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items() if value)
    return f"@misc{{{key},\n{lines}}}\n"
