"""Statements that are measured: of the paper (claims.toml), our own, and where the paper contradicts itself.

A statement has measures. A measure names its kind, its parameters and the values that would support the statement. The
build evaluates it (engine/store/claims.py). Measures of one `part` are alternatives, of which the first with data
counts. All parts together make the verdict. The wording is ours; the numbers are the paper's as printed.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.errors import RegistryError
from engine.registry.datasets import get_dataset
from engine.registry.ensembles import load_ensembles
from engine.registry.models import get_model, load_models
from engine.registry.tables import Registry, build, check_choice, read_tables

CLAIMS_PATH = Path(__file__).with_name("claims.toml")
OWN_PATH = Path(__file__).with_name("claims_own.toml")
INCONSISTENCIES_PATH = Path(__file__).with_name("claims_inconsistencies.toml")

REPRODUCED, WITHIN, DIFFERS, UNTESTED = "reproduced", "within bounds", "differs", "cannot be tested"
VERDICTS = (DIFFERS, WITHIN, REPRODUCED, UNTESTED)
"""What disagrees first."""

INCONSISTENT = "contradicts itself"

PAPER, OWN, INCONSISTENCY = "paper", "own", "inconsistency"  # lists of the table `claims`

UNTESTABLE = "untestable"
KINDS_OF_TEST = ("query", "ranking", "registry", "cost", UNTESTABLE)
TAKES = ("all", "any", "lowest", "highest", "mean")
QUANTITIES = ("energy", "force", "slope")
AGGREGATES = ("count", "distinct", "sum", "min", "max")
REST = "@rest"
"""In an order: all rows of Table 1 that the order does not name."""

# Kind of measure -> keys that it needs.
MEASURES = {
    "metric": ("models", "dataset", "quantity"),
    "ratio": ("models", "against", "dataset", "quantity"),
    "order": ("order", "dataset", "quantity"),
    "rank-correlation": ("order", "dataset", "quantity"),
    "subset-ratio": ("models", "dataset", "quantity"),
    "atoms-ratio": ("models", "dataset", "elements"),
    "noise-ratio": ("models", "dataset", "quantity"),
    "bias": ("models", "dataset"),
    "reaction": ("models", "dataset", "reaction"),
    "correlation": ("ensemble", "dataset", "quantity"),
    "exceedance": ("ensemble", "dataset", "quantity"),
    "fact": ("table", "column", "aggregate"),
    "stated": ("says", "elsewhere", "place"),
    "cost-ratio": ("models", "against"),
    "cost-order": ("order",),
    "cost-trend": ("dataset", "quantity"),
    "cost-exponent": ("models",),
    "dft-ratio": ("models",),
    "front": ("models", "dataset", "quantity"),
}


@dataclass(frozen=True)
class Measure:
    """One measurement for a statement, and the values that would support it.

    Attributes:
        kind: Key of `MEASURES`.
        part: Part of the statement; measures of one part are alternatives in order of preference.
        stand_in: How the data or models differ from the paper's; empty where they are the paper's own.
        models: Ids, with sets written out.
        against: Ids that the ratio's denominator is of.
        order: Tiers of ids, the best first.
        dataset: Id of the dataset.
        group: Group of its structures.
        against_group: Group in the denominator of a subset ratio.
        elements: Pure metals to take one by one, or elements of atoms; none for all configurations together.
        against_elements: Pure metals in the denominator of a subset ratio.
        quantity: energy, force or slope.
        alignment: Of energies.
        take: Which of several values is judged: `all` must be right, `any` may be, or one of them.
        against_take: The same for a denominator.
        reference_above: Only configurations with a higher reference energy, eV/atom.
        ensemble: Id of an ensemble.
        reaction: Kind of defect energies.
        table: Table of the store that holds facts.
        column: Its column.
        aggregate: What is made of the column.
        where: Conditions on its columns: a value, a list of values, or `*` for any value at all.
        says: What the paper says in the place of the statement.
        elsewhere: What it, or the source that it cites, says elsewhere.
        place: Where that is.
        device: Of a cost.
        against_device: Of the cost in the denominator; that of `device` where empty.
        is_on: Whether the models are said to be on the front.
        at_most: Largest value that supports the statement.
        at_least: Smallest one.
        equals: The paper's value.
        tolerance: How far a value may be from it.
    """

    kind: str
    part: str = ""
    stand_in: str = ""
    models: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    order: tuple[tuple[str, ...], ...] = ()
    dataset: str = ""
    group: str = "all"
    against_group: str = "all"
    elements: tuple[str, ...] = ()
    against_elements: tuple[str, ...] = ()
    quantity: str = ""
    alignment: str = "raw"
    take: str = "all"
    against_take: str = "mean"
    reference_above: float | None = None
    ensemble: str = ""
    reaction: str = ""
    table: str = ""
    column: str = ""
    aggregate: str = ""
    where: dict[str, object] = field(default_factory=dict)
    says: str = ""
    elsewhere: str = ""
    place: str = ""
    device: str = "cpu"
    against_device: str = ""
    is_on: bool = True
    at_most: float | None = None
    at_least: float | None = None
    equals: float | None = None
    tolerance: float = 0.0

    @property
    def allowed(self) -> tuple[float, float]:
        """Smallest and largest value that supports the statement."""
        if self.equals is not None:
            return self.equals - self.tolerance, self.equals + self.tolerance
        low, high = self.at_least, self.at_most
        return float("-inf") if low is None else low, float("inf") if high is None else high

    @property
    def named(self) -> tuple[str, ...]:
        """All models that it names."""
        tiers = (model for tier in self.order for model in tier)
        return tuple(dict.fromkeys([*self.models, *self.against, *tiers]))


@dataclass(frozen=True)
class Claim:
    """One statement.

    Attributes:
        claim_id: Letter of the section and a number; `own-...` for ours.
        section: Of the paper, such as `3.2`.
        wording: The statement in our words.
        kind: One of `KINDS_OF_TEST`.
        data: What is needed to test it as the paper did.
        figure: Figure or table of the paper that it belongs to; empty where none.
        value: The paper's value as printed, with its unit; empty where it gives none.
        why: Why this tolerance, or why this test stands for the statement.
        untestable: Why it cannot be tested at all; empty where it has measures.
        measures: How it is tested.
    """

    claim_id: str
    section: str
    wording: str
    kind: str
    data: str
    figure: str = ""
    value: str = ""
    why: str = ""
    untestable: str = ""
    measures: tuple[Measure, ...] = ()

    def parts(self) -> list[list[Measure]]:
        """Alternatives of each part."""
        found: dict[str, list[Measure]] = {}
        for measure in self.measures:
            found.setdefault(measure.part, []).append(measure)
        return list(found.values())


@dataclass(frozen=True)
class Inconsistency:
    """A place where the paper contradicts itself or what it cites.

    Attributes:
        inconsistency_id: `X` and a number.
        section: Of the paper.
        wording: What disagrees with what.
        claims: Statements that it touches.
    """

    inconsistency_id: str
    section: str
    wording: str
    claims: tuple[str, ...] = ()


@functools.cache
def load_claims(path: Path = CLAIMS_PATH) -> Registry[Claim]:
    """Read and check a file of statements, in file order.

    Args:
        path: One table per statement, and a table `sets` of names for lists of models, which entries use as `@name`.

    Raises:
        RegistryError: An entry is wrong; the message names it.
    """
    tables = read_tables(path)
    sets = {f"@{name}": tuple(ids) for name, ids in tables.pop("sets", {}).items()}
    claims = {}
    for claim_id, table in tables.items():
        where = f"{path.name}, '{claim_id}'"
        claim = build(Claim, table, where, claim_id=claim_id)
        _check(claim, where)
        measures = tuple(_written_out(measure, sets, where) for measure in claim.measures)
        for measure in measures:
            _check_measure(measure, where)
        claims[claim_id] = replace(claim, measures=measures)
    return Registry(claims, "Claim", path.name)


@functools.cache
def load_inconsistencies(path: Path = INCONSISTENCIES_PATH) -> Mapping[str, Inconsistency]:
    """Read and check where the paper contradicts itself.

    Raises:
        RegistryError: An entry is wrong, or names a statement that there is not.
    """
    found = {}
    for key, table in read_tables(path).items():
        where = f"{path.name}, '{key}'"
        found[key] = entry = build(Inconsistency, table, where, inconsistency_id=key)
        for claim_id in entry.claims:
            load_claims()[claim_id]
    return found


def table_one() -> tuple[str, ...]:
    """Models of the paper's Table 1, by row."""
    rows = [(model.paper_row, model.model_id) for model in load_models().values() if model.paper_row is not None]
    return tuple(model_id for _, model_id in sorted(rows))


def _written_out(measure: Measure, sets: Mapping[str, Sequence[str]], where: str) -> Measure:
    """A measure whose sets of models are written out, `@rest` last."""

    def spread(names: Iterable[str]) -> tuple[str, ...]:
        for name in names:
            if name.startswith("@") and name not in (*sets, "@table-1", REST):
                raise RegistryError(f"{where}: there is no set {name!r}; sets are {', '.join(sorted(sets))}.")
        known = dict(sets) | {"@table-1": table_one()}
        return tuple(dict.fromkeys(model for name in names for model in known.get(name, (name,))))

    tiers = [spread(tier) for tier in measure.order]
    named = {model for tier in tiers for model in tier}
    rest = [model for model in table_one() if model not in named]
    tiers = [tuple(m for name in tier for m in (rest if name == REST else [name])) for tier in tiers]
    return replace(measure, models=spread(measure.models), against=spread(measure.against), order=tuple(tiers))


def _check(claim: Claim, where: str) -> None:
    """Checks of one statement."""
    check_choice(claim.kind, KINDS_OF_TEST, f"{where}: kind")
    if (claim.kind == UNTESTABLE) == bool(claim.measures):
        raise RegistryError(f"{where}: has measures if and only if its kind is not {UNTESTABLE!r}.")
    if bool(claim.untestable) == bool(claim.measures):
        raise RegistryError(f"{where}: needs either measures, or `untestable` to say why there are none.")


def _check_measure(measure: Measure, where: str) -> None:
    """Checks of one measure that a type cannot express."""
    check_choice(measure.kind, MEASURES, f"{where}: kind of measure")
    if missing := [name for name in MEASURES[measure.kind] if not getattr(measure, name)]:
        raise RegistryError(f"{where}: a measure of kind {measure.kind!r} needs {missing[0]!r}.")
    check_choice(measure.take, TAKES, f"{where}: take")
    check_choice(measure.against_take, TAKES, f"{where}: against_take")
    if measure.quantity:
        check_choice(measure.quantity, QUANTITIES, f"{where}: quantity")
    if measure.aggregate:
        check_choice(measure.aggregate, AGGREGATES, f"{where}: aggregate")
    if measure.kind != "stated" and all(v is None for v in (measure.at_most, measure.at_least, measure.equals)):
        raise RegistryError(f"{where}: a measure needs at_most, at_least or equals.")
    if measure.dataset:
        get_dataset(measure.dataset)
    if measure.ensemble:
        check_choice(measure.ensemble, load_ensembles(), f"{where}: ensemble")
    for model_id in measure.named:
        get_model(model_id)
