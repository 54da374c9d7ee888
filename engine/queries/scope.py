"""`Scope`: the configurations that a number is about. Every query takes one, captions print it and links carry it.

>>> scope = Scope.of("w-g", kinds=("dislocation",), elements=("W",))
>>> print(scope.predicate("e"))
e.dataset_id = $scope_dataset_0 and e.in_dataset
    and (e.dataset_id, e.config_id) in (select k.dataset_id, k.config_id from configurations k
    where k.dataset_id = $scope_dataset_0 and list_contains($scope_kinds, k.kind)
    and list_has_any(k.elements, $scope_elements))
>>> scope.bindings()
{'scope_dataset_0': 'w-g', 'scope_kinds': ['dislocation'], 'scope_elements': ['W']}
>>> scope.describe()
'w-g, dislocation, with W'
>>> Scope.from_address(scope.to_address()) == scope
True
"""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from engine.errors import ScopeError
from engine.registry.kinds import label

ALL = "all"  # every group that counts as the dataset

Window = tuple[float | None, float | None]  # lowest and highest value, both included; None leaves an end open

OPEN: Window = (None, None)

WINDOWS = ("n_atoms", "energy_above", "force_rms")
"""Columns of `configurations` that a scope may have a window of."""

_ADDRESS = {
    "dataset_ids": "dataset",
    "group": "group",
    "kinds": "kinds",
    "elements": "elements",
    "n_atoms": "atoms",
    "energy_above": "energy",
    "force_rms": "forces",
    "shared_with": "with",
}


@dataclass(frozen=True)
class Scope:
    """Which configurations.

    Attributes:
        dataset_ids: Datasets; none means all of them.
        group: A group of structures, or `all` for the datasets themselves, without the groups outside them.
        kinds: Ids of kinds of structures (engine/registry/kinds.py); none means all.
        elements: Configurations with at least one of these elements; none means no condition.
        n_atoms: Window of the number of atoms.
        energy_above: Window of the reference energy above the lowest of the dataset, eV/atom.
        force_rms: Window of the root mean square length of the reference force on an atom, eV/Å.
        shared_with: Models that all have a result; none means no condition.
    """

    dataset_ids: tuple[str, ...] = ()
    group: str = ALL
    kinds: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    n_atoms: Window = OPEN
    energy_above: Window = OPEN
    force_rms: Window = OPEN
    shared_with: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Bring values to one form, so that equal scopes are equal: each name once, all but the datasets in order."""
        object.__setattr__(self, "dataset_ids", tuple(dict.fromkeys(self.dataset_ids)))
        for name in ("kinds", "elements", "shared_with"):
            object.__setattr__(self, name, tuple(sorted(set(getattr(self, name)))))

    @classmethod
    def of(cls, *dataset_ids: str, **conditions: Any) -> Self:
        """The configurations of some datasets, under the conditions that are named like the attributes."""
        return cls(tuple(dataset_ids), **conditions)

    def narrowed(self, **conditions: Any) -> Self:
        """The same scope with other conditions in place of its own."""
        return dataclasses.replace(self, **conditions)

    def on(self, *dataset_ids: str) -> Self:
        """The same conditions on other datasets; on all of them where none is named."""
        return dataclasses.replace(self, dataset_ids=tuple(dataset_ids))

    def shared_by(self, model_ids: Collection[str]) -> Self:
        """Only configurations that these models have a result for as well."""
        return dataclasses.replace(self, shared_with=(*self.shared_with, *model_ids))

    @property
    def dataset_id(self) -> str:
        """The one dataset of the scope.

        Raises:
            ScopeError: The scope has none or several.
        """
        if len(self.dataset_ids) != 1:
            raise ScopeError(f"Expected a scope of one dataset, got: {self.describe()}. Choose one dataset.")
        return self.dataset_ids[0]

    @property
    def is_summarised(self) -> bool:
        """Whether the scope is whole datasets or one group, of which the store holds metrics."""
        return self == Scope(self.dataset_ids, self.group)

    @property
    def is_whole(self) -> bool:
        """Whether the scope is whole datasets, whichever."""
        return self == Scope(self.dataset_ids)

    # For queries

    def predicate(self, alias: str) -> str:
        """Condition on rows of a table with dataset_id, config_id and in_dataset; its values are in `bindings`.

        Dataset and `in_dataset` are columns of the facts, so that DuckDB skips blocks of other datasets. Every other
        condition is one on `configurations`.

        Args:
            alias: Name of the table in the statement.
        """
        terms = self._datasets(alias)
        if self.group == ALL:
            terms.append(f"{alias}.in_dataset")
        if self._conditions():
            within = " and ".join([*self._datasets("k"), *self._conditions()])
            terms.append(
                f"({alias}.dataset_id, {alias}.config_id) in "
                f"(select k.dataset_id, k.config_id from configurations k where {within})"
            )
        if self.shared_with:
            terms.append(f"({alias}.dataset_id, {alias}.config_id) in ({self._shared()})")
        return " and ".join(terms)

    def bindings(self) -> dict[str, Any]:
        """Values of the parameters in `predicate`, and no others: DuckDB refuses what a statement does not use."""
        named: dict[str, Any] = {f"scope_dataset_{i}": name for i, name in enumerate(self.dataset_ids)}
        if self.group != ALL:
            named["scope_group"] = self.group
        if self.kinds:
            named["scope_kinds"] = list(self.kinds)
        if self.elements:
            named["scope_elements"] = list(self.elements)
        for name in WINDOWS:
            for end, value in zip(("low", "high"), getattr(self, name), strict=True):
                if value is not None:
                    named[f"scope_{name}_{end}"] = value
        if self.shared_with:
            named["scope_models"] = list(self.shared_with)
        return named

    def _datasets(self, alias: str) -> list[str]:
        names = [f"$scope_dataset_{i}" for i in range(len(self.dataset_ids))]
        if len(names) == 1:
            return [f"{alias}.dataset_id = {names[0]}"]
        return [f"{alias}.dataset_id in ({', '.join(names)})"] if names else []

    def _conditions(self) -> list[str]:
        """Conditions on a row `k` of `configurations`."""
        terms = [] if self.group == ALL else ["k.group_name = $scope_group"]
        if self.kinds:
            terms.append("list_contains($scope_kinds, k.kind)")
        if self.elements:
            terms.append("list_has_any(k.elements, $scope_elements)")
        for name in WINDOWS:
            low, high = getattr(self, name)
            terms += [f"k.{name} >= $scope_{name}_low"] if low is not None else []
            terms += [f"k.{name} <= $scope_{name}_high"] if high is not None else []
        return terms

    def _shared(self) -> str:
        """Statement that gives the configurations for which each of the models has a result."""
        within = " and ".join([*self._datasets("s"), "list_contains($scope_models, s.model_id)"])
        return (
            f"select s.dataset_id, s.config_id from errors s where {within} "
            "group by s.dataset_id, s.config_id having count(*) = len($scope_models)"
        )

    # For readers

    def restrictions(self) -> list[str]:
        """The conditions beside the datasets, in words; none where the datasets are meant as they are."""
        words = [] if self.group == ALL else [f"group {self.group}"]
        if self.kinds:
            words.append(" or ".join(label(name).lower() for name in self.kinds))
        if self.elements:
            words.append(f"with {' or '.join(self.elements)}")
        words += _in_words(self.n_atoms, "{} atoms")
        words += _in_words(self.energy_above, "{} eV/atom above the lowest energy of the dataset")
        words += _in_words(self.force_rms, "RMS force of {} eV/Å")
        if self.shared_with:
            words.append(f"with a result of each of {', '.join(self.shared_with)}")
        return words

    def describe(self, labels: Mapping[str, str] | None = None) -> str:
        """The scope in words, for titles and captions.

        Args:
            labels: Labels of datasets; ids stand for those without.
        """
        names = [(labels or {}).get(name, name) for name in self.dataset_ids]
        return ", ".join([" + ".join(names) or "all datasets", *self.restrictions()])

    # For addresses

    def to_address(self) -> dict[str, list[str]]:
        """Parameters of an address that `from_address` reads; conditions that are not made have none."""
        found = {
            "dataset": list(self.dataset_ids),
            "group": [] if self.group == ALL else [self.group],
            "kinds": list(self.kinds),
            "elements": list(self.elements),
            "with": list(self.shared_with),
        }
        for name in WINDOWS:
            low, high = getattr(self, name)
            if (low, high) != OPEN:
                found[_ADDRESS[name]] = [":".join("" if end is None else f"{end:.12g}" for end in (low, high))]
        return {name: values for name, values in found.items() if values}

    @classmethod
    def from_address(
        cls, parameters: Mapping[str, Sequence[str]], known: Mapping[str, Collection[str]] | None = None
    ) -> Self:
        """The scope that an address asks for; parameters of other things are left alone.

        Args:
            parameters: Values by parameter.
            known: By parameter (`dataset`, `group`, `kinds`, `elements`, `with`) the values that there are; any
                value is taken where a parameter is not among them.

        Raises:
            ScopeError: A value is unknown or is no window; the message names it.
        """
        if unknown := unknown_values(parameters, known or {}):
            raise ScopeError(" ".join(unknown))
        windows = {
            name: _window(_ADDRESS[name], parameters[_ADDRESS[name]])
            for name in WINDOWS
            if _ADDRESS[name] in parameters
        }
        groups = list(dict.fromkeys(parameters.get("group", ()))) or [ALL]
        if len(groups) > 1:
            raise ScopeError(f"group={', '.join(groups)}: expected one group. Take the others out of the address.")
        return cls(
            dataset_ids=tuple(parameters.get("dataset", ())),
            group=groups[0],
            kinds=tuple(parameters.get("kinds", ())),
            elements=tuple(parameters.get("elements", ())),
            shared_with=tuple(parameters.get("with", ())),
            **windows,
        )


EVERYTHING = Scope()

ADDRESS_NAMES = tuple(_ADDRESS.values())

_WHOLE = ("group", ALL)

_LISTED = 12  # known values in a message


def _in_words(window: Window, phrase: str) -> list[str]:
    """A window as part of a sentence; nothing where both ends are open."""
    low, high = window
    if low is not None and high is not None:
        return [phrase.format(f"{low:g} to {high:g}")]
    if low is not None:
        return [phrase.format(f"at least {low:g}")]
    return [] if high is None else [phrase.format(f"at most {high:g}")]


def unknown_values(parameters: Mapping[str, Sequence[str]], known: Mapping[str, Collection[str]]) -> list[str]:
    """A sentence for each parameter of an address with unknown values; it names them.

    Args:
        parameters: Values by parameter.
        known: The values that there are, by parameter.

    Example:
        >>> unknown_values({"group": ["gb", "all"]}, {"group": ["bulk"]})
        ['group=gb: there is none of that name, only bulk. Change or remove it in the address.']
    """
    sentences = []
    for name, values in known.items():
        unknown = [value for value in parameters.get(name, ()) if value not in values and (name, value) != _WHOLE]
        if unknown:
            listed = sorted(values)
            some = ", ".join(listed[:_LISTED]) + (" and others" if len(listed) > _LISTED else "")
            sentences.append(
                f"{name}={', '.join(unknown)}: there is none of that name, only {some or 'nothing'}. "
                "Change or remove it in the address."
            )
    return sentences


def _window(name: str, values: Sequence[str]) -> Window:
    """A window as an address has it, such as `8:64`, `:64` or `8:`."""
    number = r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?"
    found = re.fullmatch(f"({number})?:({number})?", values[-1].strip(), re.IGNORECASE) if len(values) == 1 else None
    if found is None or not any(found.groups()):
        raise ScopeError(f"{name}={', '.join(values)}: expected lowest:highest, such as 8:64, :64 or 8:.")
    low, high = (None if text is None else float(text) for text in found.groups())
    if low is not None and high is not None and low > high:
        raise ScopeError(f"{name}={values[0]}: the lowest value is above the highest. Exchange them.")
    return low, high
