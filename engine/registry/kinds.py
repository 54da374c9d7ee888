"""Kinds of structures (bulk, vacancy, grain boundary and others), one vocabulary for the groups of all datasets.

kinds.toml has the vocabulary; each entry of datasets/*.toml says which kind its groups are. Groups that an entry does
not name, as those of a visitor's own data, get a kind by their names.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from engine.errors import RegistryError
from engine.registry.tables import Registry, build, check_choice, read_tables

KINDS_PATH = Path(__file__).with_name("kinds.toml")

OTHER = "other"


@dataclass(frozen=True)
class Kind:
    """One kind of structures.

    Attributes:
        kind_id: Kebab-case key of the registry.
        label: Name to show.
        meaning: What counts, in one sentence.
        words: What a visitor may call it.
        names: Regular expressions of parts of group names that tell it.
    """

    kind_id: str
    label: str
    meaning: str
    words: tuple[str, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class KindRule:
    """Which configurations of a dataset are of a kind.

    Attributes:
        kind: Id of the kind.
        groups: Names of groups, or patterns of them such as `surface_*`.
        ids: Regular expression that is found in the ids of the configurations; empty for all of these groups.
        note: What else is in these groups; empty where nothing.
    """

    kind: str
    groups: tuple[str, ...]
    ids: str = ""
    note: str = ""

    def fits_group(self, group_name: str) -> bool:
        """Whether the rule names a group."""
        return any(fnmatchcase(group_name, pattern) for pattern in self.groups)

    def fits(self, group_name: str, config_id: str) -> bool:
        """Whether a configuration of a group is of the kind."""
        return self.fits_group(group_name) and re.search(self.ids, config_id) is not None


@functools.cache
def load_kinds(path: Path = KINDS_PATH) -> Registry[Kind]:
    """Read and check the vocabulary, in file order.

    Raises:
        RegistryError: An entry is wrong, or a part of a name is no regular expression.
    """
    kinds = {}
    for kind_id, table in read_tables(path).items():
        where = f"{path.name}, '{kind_id}'"
        kinds[kind_id] = kind = build(Kind, table, where, kind_id=kind_id)
        for name in kind.names:
            _check_expression(name, where)
    return Registry(kinds, "Kind", f"engine/registry/{path.name}")


def check_rules(rules: Iterable[KindRule], where: str) -> None:
    """Refuse rules of unknown kinds, or with ids that are no regular expression.

    Args:
        rules: Of one dataset.
        where: Names the dataset in messages.

    Raises:
        RegistryError: A rule is wrong.
    """
    for rule in rules:
        check_choice(rule.kind, load_kinds(), f"{where}: kind")
        _check_expression(rule.ids, where)


def kind_of(rules: Iterable[KindRule], group_name: str, config_id: str) -> str:
    """The kind of a configuration: that of the first rule that fits, else by the name of its group.

    Args:
        rules: Of its dataset.
        group_name: Its group.
        config_id: Its id.

    Example:
        >>> rules = [KindRule("divacancy", ("vacancy",), ids="_two"), KindRule("vacancy", ("vacancy",))]
        >>> kind_of(rules, "vacancy", "w_two_7"), kind_of(rules, "vacancy", "w_7"), kind_of(rules, "gb_tilt", "w_8")
        ('divacancy', 'vacancy', 'grain-boundary')
    """
    found = next((rule.kind for rule in rules if rule.fits(group_name, config_id)), None)
    return found or kind_by_name(group_name)


@functools.lru_cache(maxsize=4096)
def kind_by_name(group_name: str) -> str:
    """The kind that the name of a group tells; `other` where it tells none.

    Example:
        >>> kind_by_name("surface_110"), kind_by_name("liquid_surface_110"), kind_by_name("set-2")
        ('surface', 'liquid', 'other')
    """
    for kind in reversed(load_kinds().values()):
        if any(re.search(name, group_name, re.IGNORECASE) for name in kind.names):
            return kind.kind_id
    return OTHER


def label(kind_id: str) -> str:
    """The label of a kind; the id of one that a later vocabulary lacks."""
    kinds = load_kinds()
    return kinds[kind_id].label if kind_id in kinds else kind_id


def _check_expression(text: str, where: str) -> None:
    """Refuse what is no regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise RegistryError(f"{where}: {text!r} is no regular expression ({error}).") from error
