"""Words, marks and notes that pages share."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from app.figures import base, tile_maps
from engine.numerics.comparison import UNRANKED
from engine.quantities import METRICS, QUANTITIES, interval, significant
from engine.queries import catalog, comparability, spread, training
from engine.queries.scope import Scope
from engine.queries.training import SEEN_MARK
from engine.store.connection import cached

NOTHING = "–"

GREY = f"{base.OWN_MARK} and grey: raw energies that cannot be compared with the reference; use Aligned."

SEEN = f"{SEEN_MARK} trained on this"

LEVEL = f"{base.LEVEL_MARK} labels of another functional or dispersion than the dataset's, so not ranked"

SEEN_SWITCH = "Rank models trained on the data"

ZEROS = {"mp": "that of the Materials Project", "matpes": "that of MatPES", "own": "its own"}

WHERE_WHY = "Why: Datasets, Compatibility."

_LISTED = 8  # names in a sentence
_WITH_COUNTS = 4  # names that have numbers beside them

# Of `engine.registry.compatibility`, each with its sign.
STATES = {
    name: f"{tile_maps.STATE_MARKS[name]} {text}"
    for name, text in {"yes": "comparable", "care": "with care", "no": "only aligned"}.items()
}


def judged(metrics: pd.DataFrame, *, is_raw: bool) -> pd.DataFrame:
    """Add to each pair of model and dataset whether its raw numbers may be compared with the dataset's.

    Args:
        metrics: model_id, dataset_id and more.
        is_raw: Whether the numbers are raw energies; all aligned energies and forces may.

    Returns:
        The rows with `comparable` and `why_not`, the reason; empty where they may.
    """
    if not is_raw:
        return metrics.assign(comparable=True, why_not="")
    barred = _barred()
    pairs = list(zip(metrics["model_id"], metrics["dataset_id"], strict=True))
    comparable = np.array([pair not in barred for pair in pairs], dtype=bool)
    reasons = [barred.get(pair, "") for pair in pairs]
    return metrics.reset_index(drop=True).assign(comparable=comparable, why_not=reasons)


@cached
def _barred() -> dict[tuple[str, str], str]:
    """Pairs of model and dataset whose raw energies cannot be compared, each with the reason."""
    found = comparability.compatibility()
    found = found[found["state"].eq("no")]
    pairs = zip(found["model_id"], found["dataset_id"], strict=True)
    return dict(zip(pairs, found["state_reason"], strict=True))


def why_not(judged_pairs: pd.DataFrame) -> str:
    """Which pairs hold raw energies that cannot be compared, with the reasons; empty where all can.

    Args:
        judged_pairs: label and dataset_label, with what `judged` adds.
    """
    others = judged_pairs[~judged_pairs["comparable"]]
    if others.empty:
        return ""
    reasons = [
        f"{', '.join(part['label'].unique())} on {', '.join(part['dataset_label'].unique())}: {reason}"
        for reason, part in others.groupby("why_not", sort=False)
    ]
    return f":material/warning: {GREY} {' '.join(reasons)}"


def summary_note(dataset_id: str) -> str:
    """Says that a dataset is here without its atoms, and how they come; empty where they are here."""
    reason = catalog.summaries().get(dataset_id)
    return f"{dataset_label(dataset_id)}: {reason}" if reason else ""


@cached
def noise_of(dataset_id: str, quantity: str) -> float | None:
    """Noise of a dataset's own energies or forces in display units; None where nobody measured it."""
    column = METRICS[quantity].noise
    value = catalog.datasets().set_index("dataset_id").loc[dataset_id, column]
    return None if pd.isna(value) else float(value) * QUANTITIES[column].factor


@cached
def noise_note(dataset_id: str) -> str:
    """The noise of a dataset's own DFT labels; empty where not known."""
    known = [(noise_of(dataset_id, quantity), QUANTITIES[metric.noise].unit) for quantity, metric in METRICS.items()]
    values = [f"{significant(value, 2)} {unit}" for value, unit in known if value is not None]
    if not values:
        return ""
    return (
        f"The DFT labels of {dataset_label(dataset_id)} are good to about {' and '.join(values)}. Smaller errors do "
        "not tell models apart."
    )


def noise_measured(dataset_id: str) -> str:
    """The same, with how it was measured; empty where not known."""
    note = noise_note(dataset_id)
    return f"{note} {catalog.datasets().set_index('dataset_id').loc[dataset_id, 'noise_note']}" if note else ""


def energy_note(here: pd.DataFrame) -> str:
    """Why aligned errors are missing, for all or for some configurations; empty where none is.

    Args:
        here: Rows of one dataset as `error_metrics` gives them, with aligned energies.
    """
    noted = here[here["energy_note"].fillna("").ne("")]
    is_all = len(noted) == len(here)
    sentences = [
        note if is_all and len(noted["energy_note"].unique()) == 1 else f"{listed(part['label'])}: {note}"
        for note, part in noted.groupby("energy_note", sort=False)
    ]
    return f":material/warning: Aligned energies: {' '.join(sentences)}" if sentences else ""


def has_crystal(dataset_id: str) -> bool:
    """Whether energies relative to perfect crystals are defined on a dataset."""
    return bool(_flag(dataset_id, "has_crystal"))


def one_composition_note(dataset_id: str, alignment: str) -> str:
    """What aligned energies of an alloy in one composition cannot say; empty for others.

    Args:
        dataset_id: Dataset whose errors are shown.
        alignment: Of the energies that are shown.
    """
    if alignment != "per_element" or not _flag(dataset_id, "is_one_composition"):
        return ""
    return (
        f":material/warning: {dataset_label(dataset_id)} is one alloy in one composition. The aligned error is the "
        "scatter of the raw error about its mean and says nothing about formation energies of the alloy."
    )


def energy_meaning(alignment: str) -> str:
    """What an energy error is relative to, in a sentence."""
    return {
        "raw": "Raw: total energies as model and reference count them.",
        "per_element": "Aligned: errors about the model's offset per element on all other configurations.",
        "crystal": "Against the crystal: model and reference count from their own perfect crystals of the elements.",
    }[alignment]


def within_note(ensemble: str, label: str, rho: float, n: int) -> str:
    """How well a deviation ranks the atoms of one configuration; shown wherever it colours atoms.

    Args:
        ensemble: Label of the ensemble.
        label: Of the dataset.
        rho: Mean rank correlation of deviation with force error within a configuration.
        n: Configurations that it is the mean of; 0 where it was not measured.
    """
    if not n:
        return (
            ":material/warning: How well this deviation ranks the atoms of one configuration was not measured. It is "
            "known to tell bad structures from good ones rather than bad atoms."
        )
    return (
        f":material/warning: Within one configuration of {label} the deviation of {ensemble} ranks atoms by their "
        f"error with a Spearman ρ of {significant(rho, 2)} (mean over n = {n:,} configurations, atoms at rest by "
        "symmetry left out): a bright atom need not be a wrong one."
    )


def within_here() -> str:
    """How well deviations of ensembles rank the atoms of one configuration on the datasets here."""
    found = []
    for row in catalog.ensembles().itertuples():
        for dataset_id in row.dataset_ids:
            rho, n = spread.spearman_within(row.ensemble_id, Scope.of(dataset_id))
            place = f"{row.label} on {dataset_label(dataset_id)}"
            found += [f"{place} ρ = {significant(rho, 2)} (n = {n:,})"] if n else []
    if not found:
        return within_note("", "", float("nan"), 0)
    return (
        ":material/warning: Within one configuration the disagreement ranks atoms by their error with a mean Spearman "
        f"ρ of: {'; '.join(found)}. A bright atom need not be a wrong one."
    )


@cached
def _flag(dataset_id: str, column: str) -> bool:
    """A yes or no of a dataset; no where the store does not say."""
    datasets = catalog.datasets()
    found = datasets.loc[datasets["dataset_id"] == dataset_id, column]
    return len(found) > 0 and found.iloc[0] is not None and bool(found.eq(True).iloc[0])


def no_energy(alignment: str) -> str:
    """The general reason why a pair, element or configuration has no energy error."""
    return {
        "raw": "the reference has no energy, or the model gave none",
        "per_element": "the other configurations do not fix the offset, so there is no error",
        "crystal": "there is no perfect crystal to count from, or it is the crystal itself",
    }[alignment]


def counts(row: pd.Series | Mapping[str, Any]) -> str:
    """How many configurations a model's numbers rest on, such as `200 of 4,513` or `20 of 47, 27 failed`."""
    n, n_expected = int(row["n_configs"]), int(row["n_expected"])
    text = f"{n:,}" if n == n_expected else f"{n:,} of {n_expected:,}"
    return f"{text}, {missing}" if (missing := base.lacking(row)) else text


@cached
def model_labels() -> dict[str, str]:
    """Label of every registered model."""
    models = catalog.models()
    return dict(zip(models["model_id"], models["label"].fillna(models["model_id"]), strict=True))


@cached
def dataset_label(dataset_id: str) -> str:
    """Label of a dataset, the id where it has none."""
    datasets = catalog.datasets()
    found = datasets.loc[datasets["dataset_id"] == dataset_id, "label"]
    return str(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else dataset_id


def place(scope: Scope) -> str:
    """A scope in words, with the labels of its datasets."""
    return scope.describe({dataset_id: dataset_label(dataset_id) for dataset_id in scope.dataset_ids})


def source_name(source: object, *, link: bool = True) -> str:
    """A source in few characters: repository or host of an address, as a Markdown link to it."""
    text = str(source) if isinstance(source, str) else ""
    found = re.match(r"https?://(?:www\.)?(?:github\.com/([^/]+/[^/]+)|([^/]+))", text)
    if found is None:
        return text
    name = found[1] or found[2]
    return f"[{name}]({text})" if link else name


@cached
def citation(dataset_id: str) -> str:
    """Whom to cite for a dataset; empty where the registry does not say."""
    datasets = catalog.datasets()
    found = datasets.loc[datasets["dataset_id"] == dataset_id, "citation"]
    return str(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else ""


def comparison_note(here: pd.DataFrame) -> str:
    """Which configurations the models of one dataset are compared on, and which models are left out.

    Args:
        here: Rows of one dataset as `error_metrics.shared_metrics` gives them.
    """
    ranked = here[here["is_ranked"]]
    causes = ("level", "seen", "share", "numbers")
    level, seen, others, without = (here[here["cause"] == cause] for cause in causes)
    parts = []
    if len(ranked):
        n, n_expected = int(ranked["n_configs"].min()), int(ranked["n_expected"].iloc[0])
        if n < n_expected and len(ranked) == 1:
            parts.append(f"Only {ranked['label'].iloc[0]} is ranked, on {n:,} of {n_expected:,} configurations.")
        elif n < n_expected:
            fewest = ranked.loc[ranked["n_own"].idxmin()]
            parts.append(
                f"Compared on the **{n:,} of {n_expected:,} configurations** for which all {len(ranked)} ranked models "
                f"have a result; {fewest['label']} has the fewest, {fewest['n_own']:,}."
            )
        else:
            parts.append(f"Compared on all {n:,} configurations.")
    if len(others):
        names = listed((f"{row['label']} ({counts(row)})" for row in others.to_dict("records")), _WITH_COUNTS)
        parts.append(f"Not ranked, since they share too few or failed on too many: {names}.")
    if len(level):
        parts.append(f"Not ranked, since their labels mean something else: {listed(level['label'])}.")
    if len(seen):
        parts.append(f"Not ranked, since they were trained on this ({SEEN_MARK}): {listed(seen['label'])}.")
    if len(without):
        parts.append(f"Not ranked, since they have no such numbers here: {listed(without['label'])}.")
    return " ".join(parts)


def intervals(low: pd.Series, high: pd.Series) -> list[str]:
    """Ranks with their 95 % bounds, such as `1–6`; a dash where there is none."""
    pairs = zip(low.astype(float), high.astype(float), strict=True)
    return [interval(*pair) for pair in pairs]


def with_ranks(table: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Models with the interval of their rank in `ranks`, and in `why_no_rank` the reason where there is none.

    Args:
        table: model_id, comparable, cause and more: where numbers cannot be compared as they are, they give no rank.
        found: As `ranks.ranks` gives it.
    """
    found = found[["model_id", "rank", "rank_hi", "reason"]].rename(columns={"reason": "why_no_rank"})
    joined = table.drop(columns=["rank", "rank_hi"], errors="ignore").merge(found, on="model_id", how="left")
    barred = ~joined["comparable"].astype(bool)
    joined.loc[barred, ["rank", "rank_hi"]] = pd.NA
    is_unexplained = joined["why_no_rank"].fillna("").eq("")
    joined.loc[barred & is_unexplained, "why_no_rank"] = UNRANKED["level"]
    rest = ~barred & is_unexplained & joined["rank"].isna()
    joined.loc[rest, "why_no_rank"] = joined.loc[rest, "cause"].replace("", "numbers").map(UNRANKED)
    joined.index = table.index
    return joined.assign(
        ranks=intervals(joined["rank"], joined["rank_hi"]), why_no_rank=joined["why_no_rank"].fillna("")
    )


def bounds(row: pd.Series | Mapping[str, Any], column: str) -> str:
    """The 95 % bounds of a metric, such as `5.56 – 6.40`; one dash where there are none."""
    if pd.isna(row[f"{column}_lo"]) and pd.isna(row[f"{column}_hi"]):
        return NOTHING
    return f"{significant(row[f'{column}_lo'])} – {significant(row[f'{column}_hi'])}"


def marked(label: str, origin: object, is_seen: object = False, cause: object = "") -> str:
    """The label with its marks: imported numbers, trained on the data, another level of theory (by `cause`)."""
    name = f"{label} {base.IMPORTED_MARK}" if "imported" in str(origin) else label
    return level_marked(seen_marked(name, is_seen), cause)


def level_marked(label: str, cause: object) -> str:
    """The label with a mark where another level of theory bars a rank.

    Args:
        label: Of the model.
        cause: Of not being ranked, as `error_metrics.dataset_metrics` gives it.
    """
    return f"{label} {base.LEVEL_MARK}" if cause == "level" else label


def level_note(pairs: pd.DataFrame) -> str:
    """Which models learnt labels of another level of theory than those that are shown; empty where none did.

    Args:
        pairs: label, dataset_label, comparable and cause. Raw energies that count from another zero have their own
            note, `why_not`.
    """
    others = pairs[pairs["cause"].eq("level") & pairs["comparable"].astype(bool)]
    if others.empty:
        return ""
    parts = [f"{listed(part['label'])} on {name}" for name, part in others.groupby("dataset_label", sort=False)]
    return f":material/warning: {LEVEL}: {'; '.join(parts)}. {WHERE_WHY}"


def tied(found: pd.DataFrame, model_id: str) -> str:
    """The interval of a model's rank, and how many others cannot be told apart from it.

    Args:
        found: As `ranks.ranks` gives it.
        model_id: The model.
    """
    row = found[found["model_id"].eq(model_id) & found["rank"].notna()]
    if row.empty:
        return "no rank"
    low, high = int(row["rank"].iloc[0]), int(row["rank_hi"].iloc[0])
    same = found[found["rank"].eq(low) & found["model_id"].ne(model_id)]
    labels = same["model_id"].map(model_labels())
    apart = f", not told apart from {listed(labels, 2)}" if len(same) else ""
    return f"rank {interval(low, high)} of {int(found['rank'].notna().sum())}{apart}"


def seen_marked(label: str, is_seen: object) -> str:
    """The label with a mark where the model was trained on the data."""
    return f"{label} {SEEN_MARK}" if is_seen else label


def listed(names: Iterable[str], most: int = _LISTED) -> str:
    """Names in a sentence; the first ones and a count where there are many."""
    known = list(dict.fromkeys(names))
    rest = len(known) - most
    return ", ".join(known[:most]) + (f" and {rest} {'other' if rest == 1 else 'others'}" if rest > 0 else "")


def seen_note(pairs: pd.DataFrame, *, with_seen: bool | None = None) -> str:
    """Which models were trained on the data that are shown, and why; empty where none is.

    Args:
        pairs: label, is_seen and seen_reason, one row a model or more.
        with_seen: Whether they are ranked all the same; None where nothing is ranked.
    """
    known = pairs[pairs["is_seen"].astype(bool)]
    if known.empty:
        return _suspected(pairs)
    ranked = {
        None: "",
        True: ", and ranked all the same as the switch at the left asks",
        False: f", so not ranked; the switch “{SEEN_SWITCH}” at the left brings them in",
    }[with_seen]
    reasons = [f"{listed(part['label'])}: {reason}" for reason, part in known.groupby("seen_reason", sort=False)]
    return f":material/school: {SEEN}{ranked}. {' '.join(reasons)} {_suspected(pairs)}".strip()


def seen_in_training(dataset: pd.Series) -> str:
    """Which models were trained on a dataset, and which may have been.

    Args:
        dataset: Its row of `catalog.datasets`.
    """
    labels = model_labels()
    names = listed(labels[model_id] for model_id in training.seen_by(dataset["dataset_id"]))
    note = str(dataset["leakage"] or "Not checked.")
    if not names:
        return note
    return f"By {names}." + ("" if note.startswith("None") else f" {note}")


def _suspected(pairs: pd.DataFrame) -> str:
    """Models of which it is not known whether they were trained on the data."""
    suspected = pairs[~pairs["is_seen"].astype(bool) & pairs["seen_reason"].ne("")]
    names = listed(suspected["label"])
    return f"Whether it was trained on this is not known of {names}." if names else ""


def occasions_note(timings: pd.DataFrame) -> str:
    """A warning where the timings that are drawn were not all taken on one occasion; empty where they were.

    Args:
        timings: Rows of `catalog.costs` that share an axis.
    """
    taken = timings["occasion"]
    if taken.nunique() < 2:
        return ""
    listed = ", ".join(f"{n} on {name}" for name, n in taken.value_counts(sort=False).items())
    lacking = int(timings["yardstick_ms"].isna().sum())
    scale = f" {lacking} of them have no yardstick timed with them, so there is no common scale." if lacking else ""
    return (
        f":material/warning: These timings are of {taken.nunique()} occasions ({listed}). A machine is faster on one "
        f"occasion than on another, so the front is drawn through those of one occasion alone.{scale} "
        "`python -m precompute bench --model all --again` times all of them on one."
    )
