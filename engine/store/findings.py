"""Results of the measures of a statement."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from engine.quantities import significant
from engine.registry.claims import Measure

UNITS = {"energy": "meV/atom", "force": "meV/Å", "slope": ""}
LISTED = 4  # models or pairs that a sentence names


@dataclass(frozen=True)
class Number:
    """One value with what it belongs to.

    Attributes:
        name: Model or element.
        value: In the unit of the finding.
        low: Lower 95 % bound; None where there is none.
        high: Upper 95 % bound.
        n: What it rests on.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0

    def words(self) -> str:
        """Name and value with bounds."""
        bounds = "" if self.low is None else f" ({significant(self.low)} to {significant(self.high)})"
        return f"{self.name} {significant(self.value)}{bounds}".strip()


@dataclass(frozen=True)
class Finding:
    """Result of one measure.

    Attributes:
        number: The value that is judged.
        unit: Its unit; empty for ratios and counts.
        n_what: What `number.n` counts.
        words: What was found, in a sentence without its full stop.
        sql: Statement that gives the numbers again.
        page: File name of the page that shows them, without its ending; empty where none does.
        address: Parameters of that page.
        models: Ids of the models that it rests on.
        missing: Ids of models that are asked for and have no numbers.
    """

    number: Number
    unit: str
    n_what: str
    words: str
    sql: str
    page: str = ""
    address: Mapping[str, Sequence[str]] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class Store:
    """The store under construction, as measures ask it.

    Args:
        connection: To the store.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.labels: dict[str, str] = dict(self.rows("select model_id, label from models", {}))

    def rows(self, sql: str, bindings: Mapping[str, Any]) -> list[Any]:
        """All rows of a statement with named parameters."""
        return self._connection.execute(sql, dict(bindings)).fetchall()

    def names(self, model_ids: Collection[str]) -> str:
        """Labels of some models, in their order; the first few where there are many."""
        labels = [self.labels.get(model_id, model_id) for model_id in model_ids]
        more = f" and {len(labels) - LISTED} more" if len(labels) > LISTED else ""
        return ", ".join(labels[:LISTED]) + more


def miss(measure: Measure, value: float) -> float:
    """Distance of a value from the range that supports a statement; negative inside the range."""
    low, high = measure.allowed
    return max(low - value, value - high)


def judged(measure: Measure, numbers: Sequence[Number]) -> Number:
    """The one of several values that decides on a statement.

    `all` takes the value that fits it least, and `any` the one that fits it best. Otherwise it is the lowest, the
    highest, or the mean, which has no bounds.
    """
    if measure.take == "mean":
        mean = sum(number.value for number in numbers) / len(numbers)
        return Number("mean", mean, n=min(number.n for number in numbers))
    if measure.take in ("lowest", "highest"):
        return (min if measure.take == "lowest" else max)(numbers, key=lambda number: number.value)
    return (max if measure.take == "all" else min)(numbers, key=lambda number: miss(measure, number.value))


def spoken(measure: Measure, numbers: Sequence[Number], unit: str) -> str:
    """The deciding value and the range of all values, in words."""
    chosen = judged(measure, numbers)
    after = f" {unit}" if unit else ""
    if len(numbers) == 1:
        return f"{chosen.words()}{after}"
    values = [number.value for number in numbers]
    span = f"{len(numbers)} values from {significant(min(values))} to {significant(max(values))}{after}"
    which = {"all": "the one that fits least", "any": "the one that fits best", "mean": ""}.get(
        measure.take, measure.take
    )
    return f"{span}; {f'{which}: ' if which else ''}{chosen.words()}"


def view(measure: Measure, page: str, models: Collection[str] = ()) -> tuple[str, dict[str, list[str]]]:
    """Page and address that show what a measure is about; of one model its parity."""
    address = {"dataset": [measure.dataset]}
    if measure.quantity in ("energy", "force"):
        address["quantity"] = [measure.quantity]
    if measure.quantity == "slope":
        address["quantity"] = ["force"]
    if measure.group != "all":
        address["group"] = [measure.group]
    if measure.quantity == "energy" and page != "uncertainty":
        address["align"] = [measure.alignment]
    if len(models) == 1:
        return "parity", address | {"model": list(models)}
    return page, address


def ranking(measure: Measure) -> tuple[str, dict[str, list[str]]]:
    """Page and address of the ranking on a whole dataset; of a group, which has no ranking of its own, the overview."""
    if measure.group != "all" or measure.quantity not in ("energy", "force"):
        return view(measure, "overview")
    address = {"union": [measure.dataset], "quantity": [measure.quantity]}
    return "ranking", address | ({"zero": [measure.alignment]} if measure.quantity == "energy" else {})
