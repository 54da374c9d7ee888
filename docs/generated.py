"""Pages that are made from the code at every build of the documentation, so that they cannot lag behind it."""

import argparse
import functools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.api import make_api
from engine.registry.datasets import DATASETS_PATH, Dataset, load_datasets
from engine.registry.licences import fits
from engine.registry.models import MODELS_PATH, Model, load_models
from precompute.__main__ import make_parser

ROOT = Path(__file__).resolve().parents[1]
FAVICON = ROOT / "app" / "static" / "favicon.svg"
REST = "More"  # heading of pages that the navigation does not name
SCHEMA = ROOT / "engine" / "store" / "schema.sql"

# Page -> title, what is on it, and the modules or folders whose docstrings it shows.
MODULES = {
    "numerics": ("Numerics", "Arrays in, arrays out. Energies in eV, lengths in Å.", ("engine/numerics",)),
    "records": (
        "Records",
        "What a configuration, a prediction and a run are, and the files that hold them.",
        ("engine/records.py", "engine/shards.py", "engine/data_folder.py", "engine/errors.py", "engine/quantities.py"),
    ),
    "readers": ("Readers", "Bytes in, checked configurations out.", ("engine/readers",)),
    "queries": (
        "Queries",
        'Every statement that a page runs. `python -m precompute table --query "catalog.costs()"` runs one.',
        ("engine/queries",),
    ),
    "registries": ("Registries", "Facts as tables, and the types that check them.", ("engine/registry",)),
}
_TABLE = re.compile(r"^create table (\w+) \((.*?)\n?\);$", re.DOTALL | re.MULTILINE)


@functools.cache
def pages() -> dict[str, str]:
    """Markdown of every page that is made, by its path."""
    made = {f"reference/{name}.md": _modules(*about) for name, about in MODULES.items()}
    return made | {
        "reference/commands.md": commands(make_parser()),
        "reference/http.md": http(make_api().openapi()),
        "reference/store.md": store(SCHEMA.read_text(encoding="utf-8")),
        "cards/models.md": model_cards(load_models(MODELS_PATH).values()),
        "cards/data.md": data_cards(load_datasets(DATASETS_PATH).values()),
    }


def fitted(nav: list[Any], here: set[str]) -> list[Any]:
    """The navigation without pages that are missing, and with those that it does not name at its end.

    Args:
        nav: As mkdocs.yml has it: titles with a path, or with a list of the same.
        here: Paths of all pages.
    """
    kept = [entry for entry in (_kept(one, here) for one in nav) if entry]
    rest = sorted(here - set(_paths(kept)))
    return [*kept, {REST: rest}] if rest else kept


def _kept(entry: dict[str, Any], here: set[str]) -> dict[str, Any]:
    """An entry as far as its pages are there; empty where none is."""
    ((title, value),) = entry.items()
    if isinstance(value, str):
        return entry if value in here else {}
    left = [one for one in (_kept(part, here) for part in value) if one]
    return {title: left} if left else {}


def _paths(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            if isinstance(value, str):
                yield value
            else:
                yield from _paths(value)


def commands(parser: argparse.ArgumentParser) -> str:
    """Every command of the parser with its help."""
    (subparsers,) = (one for one in parser._actions if isinstance(one, argparse._SubParsersAction))
    lines = [
        "# Commands",
        "",
        "`python -m precompute COMMAND`. Progress goes to standard error and results to standard output. A command",
        "that is run again does only what is missing. It ends with 0, with 1 after an error that it names, or with 130",
        "after Ctrl-C.",
    ]
    for name, sub in subparsers.choices.items():
        lines += ["", f"## {name}", "", _sentence(sub.description or ""), "", "```text", *_usage(sub), "```"]
    return "\n".join(lines) + "\n"


def _usage(sub: argparse.ArgumentParser) -> list[str]:
    """The help of a command, the same in a window of any width."""
    sub.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=110, max_help_position=30)
    return sub.format_help().strip().splitlines()


def http(description: Mapping[str, object]) -> str:
    """Paths of the HTTP API.

    Args:
        description: Its OpenAPI document.
    """
    lines = [
        "# HTTP API",
        "",
        "Below `/api/v1` on the port of the pages; `/api/v1/openapi.json` describes bodies and answers. It shares",
        "queue, models and limits with the page Predict. Beside it, `/healthz` and `/metrics` are for those who run",
        "the server.",
        "",
        "| request | what it does | parameters |",
        "|---|---|---|",
    ]
    paths = description["paths"]
    assert isinstance(paths, dict)
    for path, methods in paths.items():
        for method, about in methods.items():
            names = ", ".join(f"`{one['name']}`" for one in about.get("parameters", ()))
            first = about.get("description", about.get("summary", "")).partition("\n\n")[0].replace("\n", " ")
            lines.append(f"| `{method.upper()} {path}` | {_cell(first)} | {names} |")
    return "\n".join(lines) + "\n"


def store(schema: str) -> str:
    """Tables of the store with their columns and what the schema says of them.

    Args:
        schema: Text of `schema.sql`.
    """
    lines = [
        "# The store",
        "",
        "One DuckDB file. Energies are in eV, forces in eV/Å, stresses in eV/Å³; other units are in the column's name.",
        '`python -m precompute sql "select count(*) from errors"` asks it, and so does the page SQL.',
    ]
    for match in _TABLE.finditer(schema):
        before = schema[: match.start()].rpartition("\n\n")[2]
        about = " ".join(line.removeprefix("--").strip() for line in before.splitlines() if line.startswith("--"))
        lines += ["", f"## {match[1]}", ""]
        lines += [_escaped(about), ""] if about else []
        lines += ["| column | type |", "|---|---|"]
        lines += [f"| `{name}` | {kind} |" for name, kind in _columns(match[2])]
    return "\n".join(lines) + "\n"


def _columns(body: str) -> Iterator[tuple[str, str]]:
    """Names and types of the columns of one table, the key of several columns left out."""
    without_key = re.sub(r",?\s*primary key \([^)]*\)", "", body)
    for column in filter(None, map(str.strip, without_key.split(","))):
        name, _, kind = column.partition(" ")
        yield name, kind


def model_cards(models: Iterable[Model]) -> str:
    """A card for every model, family by family."""
    families: dict[str, list[Model]] = {}
    for model in models:
        families.setdefault(model.family, []).append(model)
    lines = [
        "# Model cards",
        "",
        "From `engine/registry/models/`. What a model's source does not state is not here. Its measured errors are on",
        "the page Models of the app, and in [Results](../results.md).",
    ]
    for family in sorted(families):
        lines += ["", f"## {family}"]
        for model in families[family]:
            lines += ["", f"### {model.label}", "", *_model(model)]
    return "\n".join(lines) + "\n"


def _model(model: Model) -> Iterator[str]:
    level = model.level
    yield from _facts(
        {
            "id": f"`{model.model_id}`",
            "trained on": ", ".join(model.training_labels),
            "labels": level.functional + (" with D3" if level.d3 else ""),
            "elements": f"{len(model.elements)}: {', '.join(model.elements)}" if model.elements else "",
            "forces": "gradient of the energy" if model.conservative else "predicted, no gradient of an energy",
            "parameters": f"{model.n_parameters:,}" if model.n_parameters else "",
            "licence": f"{model.license}{_commercial(model.license)}",
            "source": model.source,
            "to do first": model.gate,
            "does not run": model.not_runnable,
            "note": model.note,
        }
    )


def _commercial(licence: str) -> str:
    return " (commercial use allowed)" if fits(licence, "commercial") else ""


def data_cards(datasets: Iterable[Dataset]) -> str:
    """A card for every dataset."""
    lines = [
        "# Data cards",
        "",
        "From `engine/registry/datasets/`. The full card of Open Defects is `data/embedded/README.md`, and comes with",
        "its archive ([Release](../howto/release.md)).",
    ]
    for dataset in datasets:
        lines += ["", f"## {dataset.label}", "", _escaped(dataset.description), "", *_dataset(dataset)]
    return "\n".join(lines) + "\n"


def _dataset(dataset: Dataset) -> Iterator[str]:
    level = dataset.level
    seen = "; ".join(f"{one.training_set}, {one.certainty}: {one.why}" for one in dataset.seen_by)
    yield from _facts(
        {
            "id": f"`{dataset.dataset_id}`",
            "elements": ", ".join(dataset.elements),
            "configurations": f"{dataset.n_configs or dataset.n_configs_source or dataset.n_configs_paper or '':}",
            "labels": ", ".join(filter(None, (level.functional, level.code, level.potentials))),
            "spin": level.spin,
            "noise of the labels": dataset.noise_note,
            "energies": dataset.comparable_note,
            "in training sets": " ".join(filter(None, (seen, dataset.leakage_note))),
            "files": dataset.file_note,
            "not here": dataset.not_available,
            "licence": dataset.license,
            "citation": dataset.citation,
            "source": dataset.source,
        }
    )


def _facts(facts: Mapping[str, str]) -> Iterator[str]:
    """A table of what is known."""
    yield from ("| | |", "|---|---|")
    for name, value in facts.items():
        if value:
            yield f"| {name} | {_cell(value)} |"


def _modules(title: str, about: str, paths: Iterable[str]) -> str:
    """A page of docstrings, made by mkdocstrings."""
    files = [path for name in paths for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).glob("*.py"))]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted(files)]
    parts = [f"::: {name}" for name in names if not name.endswith("__init__")]
    return "\n\n".join([f"# {title}", about, *parts]) + "\n"


def _sentence(text: str) -> str:
    return _escaped(text.strip())


def _cell(text: str) -> str:
    """Text of one cell of a table."""
    return _escaped(" ".join(text.split())).replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text without what Markdown would take for HTML or emphasis; code and addresses stay as they are."""
    parts = re.split(r"(`[^`]*`|https?://\S+)", text)
    return "".join(part if k % 2 else re.sub(r"([<*_\[\]])", r"\\\1", part) for k, part in enumerate(parts))
