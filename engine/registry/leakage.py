"""Whether a model was trained on configurations of a dataset, computed from what both say of training sets."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.registry.datasets import CERTAINTIES, Dataset, SeenBy
from engine.registry.models import Model
from engine.registry.tables import ALL
from engine.registry.training_sets import all_inside, load_training_sets

# Certainties with which a model counts as trained on the data; a suspicion that nobody could check is only noted.
COUNTED = ("certain", "likely")


@dataclass(frozen=True)
class Leakage:
    """What is known of a model having been trained on a part of a dataset.

    Attributes:
        certainty: `certain`, `likely` or `not known`: a suspicion that nobody could check.
        groups: Groups that are concerned; none named where it is the whole dataset.
        reason: Sentences, the surest first.
    """

    certainty: str
    groups: tuple[str, ...]
    reason: str


def leakage(model: Model, dataset: Dataset, group: str = ALL) -> Leakage | None:
    """Whether a model was trained on configurations of a dataset, or of one of its groups.

    Args:
        model: Its training sets count with all that they contain.
        dataset: Its `seen_by` says which training sets hold its configurations.
        group: One group, or `all`; what concerns only groups outside the dataset does not count for `all`.

    Returns:
        None where there is no reason to think so.
    """
    if dataset.dataset_id in model.fitted_to:
        return Leakage("certain", (), "The potential was fitted to these configurations on this machine.")
    trained_on = all_inside(model.training_sets)
    found = [seen for seen in dataset.seen_by if seen.training_set in trained_on and _concerns(seen, dataset, group)]
    if not found:
        return None
    found.sort(key=lambda seen: CERTAINTIES.index(seen.certainty))
    surest = [seen for seen in found if seen.certainty == found[0].certainty]
    is_whole = any(not seen.groups for seen in surest)
    groups = () if is_whole else tuple(sorted({name for seen in surest for name in seen.groups}))
    return Leakage(found[0].certainty, groups, " ".join(_sentence(seen) for seen in found))


def leakages(models: Iterable[Model], dataset: Dataset, groups: Iterable[str]) -> Iterator[tuple[Model, str, Leakage]]:
    """All leakages of a dataset: model, group or `all`, and what is known, in the order of the models.

    Args:
        models: Models.
        dataset: The dataset.
        groups: Names of its groups, as its configurations have them.
    """
    names = (ALL, *sorted(groups))
    for model in models:
        for name in names if dataset.seen_by or model.fitted_to else ():
            if found := leakage(model, dataset, name):
                yield model, name, found


def counted_pairs(models: Iterable[Model], dataset: Dataset, groups: Iterable[str]) -> set[tuple[str, str]]:
    """Pairs (model_id, group or `all`) where the model counts as trained on a dataset's configurations."""
    found = leakages(models, dataset, groups)
    return {(model.model_id, group) for model, group, leak in found if leak.certainty in COUNTED}


def _concerns(seen: SeenBy, dataset: Dataset, group: str) -> bool:
    if not seen.groups:
        return True
    wanted = set(seen.groups) - set(dataset.groups_outside) if group == ALL else {group}
    return bool(wanted & set(seen.groups))


def _sentence(seen: SeenBy) -> str:
    """Which training set, which groups, and why."""
    label = load_training_sets()[seen.training_set].label
    where = f" (groups {', '.join(seen.groups)})" if seen.groups else ""
    return f"{label}{where}, {seen.certainty}: {seen.why}"
