"""Search over everything that has a name: kinds of structures, elements, datasets and models, by plain words."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
from ase.data import atomic_names, chemical_symbols

from engine.queries import catalog, reference_data
from engine.queries.scope import Scope
from engine.registry.kinds import label, load_kinds
from engine.store.connection import cached

MOST = 4  # hits of one sort

# Beside the names in ASE.
_OTHER_NAMES = {"Al": "aluminum", "Cs": "caesium", "W": "wolfram", "Fe": "ferrum", "Hg": "quicksilver"}


@dataclass(frozen=True)
class Meaning:
    """What the words of a query name.

    Attributes:
        elements: Symbols.
        kinds: Ids of kinds of structures.
        rest: Words that are neither.
    """

    elements: tuple[str, ...]
    kinds: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def scope(self) -> Scope:
        """Configurations of these kinds with these elements, of all datasets."""
        return Scope(elements=self.elements, kinds=self.kinds)


def meaning(query: str) -> Meaning:
    """Split a query into elements, kinds and other words; symbols count as written, names in any case.

    Example:
        >>> meaning("tungsten grain boundaries")
        Meaning(elements=('W',), kinds=('grain-boundary',), rest=())
        >>> meaning("MACE on Ni vacancy")
        Meaning(elements=('Ni',), kinds=('vacancy',), rest=('MACE',))
    """
    elements: list[str] = []
    kinds: list[str] = []
    rest = []
    phrases = {(kind.kind_id, words) for kind in load_kinds().values() for words in kind.words if " " in words}
    asked = sorted((kind_id, words) for kind_id, words in phrases if words in query.lower())
    kinds += [kind_id for kind_id, _ in asked]
    for _, words in asked:
        query = re.sub(f"{words}s?", " ", query, flags=re.IGNORECASE)
    for word in _words(query):
        named = _kinds(word)
        symbols = [] if named else _elements(word)
        elements += symbols
        kinds += named
        if not symbols and not named and word.lower() not in ("on", "of", "in", "for", "with", "the", "and", "a"):
            rest.append(word)
    return Meaning(tuple(dict.fromkeys(elements)), tuple(sorted(set(kinds))), tuple(rest))


def _words(query: str) -> list[str]:
    return re.findall(r"[\w.+-]+", query)


def _elements(word: str) -> list[str]:
    """The element that a word is the symbol or the name of, from four letters of the name on."""
    if word in chemical_symbols[1:]:
        return [word]
    lower = word.lower()
    names = [*zip(chemical_symbols[1:], map(str.lower, atomic_names[1:]), strict=True), *_OTHER_NAMES.items()]
    exact = [symbol for symbol, name in names if name == lower]
    return exact or [symbol for symbol, name in names if len(lower) > 3 and name.startswith(lower)]


def _kinds(word: str) -> list[str]:
    """Kinds whose label or one of whose single words begins with a word, in the singular or the plural."""
    lower = word.lower()
    stem = re.sub(r"(ies|y|s)$", "", lower)
    found = []
    for kind in load_kinds().values():
        names = [*kind.label.lower().split(), kind.kind_id, *(name for name in kind.words if " " not in name)]
        if any(name == lower or (len(stem) > 3 and name.startswith(stem)) for name in names):
            found.append(kind.kind_id)
    return found if len(lower) > 1 else []


@cached
def datasets(query: str) -> pd.DataFrame:
    """Datasets with configurations of what a query names, or whose name or elements fit its words.

    Returns:
        dataset_id, label and n_configs (that fit), at most `MOST`; those with most first.
    """
    found = meaning(query)
    table = catalog.datasets()[["dataset_id", "label", "n_configs", "elements"]]
    fitting = table["dataset_id"].map(_counts(found)).fillna(0).astype(int)
    text = table["dataset_id"] + " " + table["label"].fillna("")
    is_named = _contain(text, found.rest or tuple(_words(query)))
    has_meaning = bool(found.elements or found.kinds)
    keep = fitting.gt(0) if has_meaning else is_named
    if found.rest and (keep & is_named).any():
        keep &= is_named
    table = table.assign(n_configs=fitting if has_meaning else table["n_configs"].fillna(0).astype(int))
    table = table[keep].sort_values(["n_configs", "dataset_id"], ascending=[False, True])
    return table[["dataset_id", "label", "n_configs"]].head(MOST).reset_index(drop=True)


def _counts(found: Meaning) -> dict[str, int]:
    """Configurations of what is named, by dataset."""
    return reference_data.counts_by_dataset(found.scope) if found.elements or found.kinds else {}


@cached
def models(query: str) -> pd.DataFrame:
    """Models whose name, id, family or training sets have all other words of a query: model_id and label, some first.

    Models with numbers come first; at most `MOST`.
    """
    words = meaning(query).rest or tuple(_words(query))
    table = catalog.models()
    text = table["model_id"] + " " + table["label"] + " " + table["family"] + " " + table["training_sets"].map(" ".join)
    table = table[_contain(text, words)].sort_values(["n_datasets", "label"], ascending=[False, True])
    return table[["model_id", "label"]].head(MOST).reset_index(drop=True)


def _contain(text: pd.Series, words: Iterable[str]) -> pd.Series:
    """Whether each text has all of the words; none has where there are no words."""
    keep = pd.Series(bool(tuple(words)), index=text.index)
    for word in words:
        keep &= text.str.lower().str.contains(word.lower(), regex=False)
    return keep


def describe(found: Meaning) -> str:
    """What a query names, such as `Grain boundary with W`; empty where it names neither kind nor element."""
    kinds = " or ".join(label(name).lower() if k else label(name) for k, name in enumerate(found.kinds))
    elements = " or ".join(found.elements)
    if kinds and elements:
        return f"{kinds} with {elements}"
    return kinds or (f"Configurations with {elements}" if elements else "")
