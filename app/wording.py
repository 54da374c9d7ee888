"""Words, marks and notes that pages share."""

import re

import pandas as pd

from app.figures import base, tile_maps
from engine.quantities import METRICS, QUANTITIES, significant
from engine.queries import catalog, comparability, reference_data
from engine.queries.scope import Scope

NOTHING = "–"

GREY = f"{base.OWN_MARK} and grey: raw energies that cannot be compared with the reference; use Aligned."

WHERE_WHY = "Why: Datasets, Compatibility."

ENOUGH_PER_ELEMENT = 5  # configurations for each fitted offset; with fewer, alignment hides errors

# Of `engine.registry.compatibility`, each with its sign.
STATES = {
    name: f"{tile_maps.STATE_MARKS[name]} {text}"
    for name, text in {"yes": "comparable", "care": "with care", "no": "only aligned"}.items()
}


def judged(metrics: pd.DataFrame, *, is_raw: bool) -> pd.DataFrame:
    """Say of each pair of model and dataset whether its numbers may be compared with the dataset's as they are.

    Args:
        metrics: model_id, dataset_id and more.
        is_raw: Whether the numbers are raw energies; of aligned energies and forces all may.

    Returns:
        The rows with `comparable` and `why_not`, the reason; empty where they may.
    """
    if not is_raw:
        return metrics.assign(comparable=True, why_not="")
    joined = metrics.merge(comparability.compatibility(), on=["model_id", "dataset_id"], how="left")
    comparable = joined["state"].ne("no")
    why_not = joined["state_reason"].where(~comparable, "")
    return joined.drop(columns=["state", "state_reason"]).assign(comparable=comparable, why_not=why_not)


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


def noise_of(dataset_id: str, quantity: str) -> float | None:
    """Noise of a dataset's own energies or forces in display units; None where nobody measured it."""
    column = METRICS[quantity].noise
    value = catalog.datasets().set_index("dataset_id").loc[dataset_id, column]
    return None if pd.isna(value) else float(value) * QUANTITIES[column].factor


def noise_note(dataset_id: str) -> str:
    """How good the DFT labels of a dataset are themselves, and how that was measured; empty where not known."""
    known = [(noise_of(dataset_id, quantity), QUANTITIES[metric.noise].unit) for quantity, metric in METRICS.items()]
    values = [f"{significant(value, 2)} {unit}" for value, unit in known if value is not None]
    if not values:
        return ""
    how = catalog.datasets().set_index("dataset_id").loc[dataset_id, "noise_note"]
    return (
        f"The DFT labels of {dataset_label(dataset_id)} are good to about {' and '.join(values)}; models that come "
        f"closer to them than that are not told apart. {how}"
    )


def few_for_offsets(here: pd.DataFrame, scope: Scope) -> str:
    """A warning where alignment fits nearly as many offsets as there are data; empty where it does not.

    Args:
        here: Rows of one dataset as `error_metrics.shared_metrics` gives them, with aligned energies.
        scope: The configurations that the rows were made of.
    """
    ranked = here[here["is_ranked"]]
    if ranked.empty:
        return ""
    n_configs = int(ranked["n_configs"].min())
    n_elements = len(reference_data.elements(scope.shared_by(ranked["model_id"])))
    if n_configs >= ENOUGH_PER_ELEMENT * n_elements:
        return ""
    offsets = "1 offset is" if n_elements == 1 else f"{n_elements} offsets are"
    return (
        f":material/warning: {offsets} fitted to {n_configs:,} configurations: aligned errors are smaller than they "
        "would be on more data, and single offsets mean little."
    )


def counts(row: pd.Series) -> str:
    """How many configurations a model's numbers rest on, such as `200 of 4,513` or `20 of 47, 27 failed`."""
    n, n_expected, n_failed = int(row["n_configs"]), int(row["n_expected"]), int(row["n_failed"])
    text = f"{n:,}" if n == n_expected else f"{n:,} of {n_expected:,}"
    return f"{text}, {n_failed:,} failed" if n_failed else text


def model_labels() -> dict[str, str]:
    """Label of every registered model."""
    models = catalog.models()
    return dict(zip(models["model_id"], models["label"].fillna(models["model_id"]), strict=True))


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


def citation(dataset_id: str) -> str:
    """Whom to cite for a dataset; empty where the registry does not say."""
    datasets = catalog.datasets()
    found = datasets.loc[datasets["dataset_id"] == dataset_id, "citation"]
    return str(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else ""


def comparison_note(here: pd.DataFrame) -> str:
    """On which configurations the models of one dataset are compared, and which are left out.

    Args:
        here: Rows of one dataset as `error_metrics.shared_metrics` gives them.
    """
    ranked, others = here[here["is_ranked"]], here[~here["is_ranked"]]
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
        listed = "; ".join(f"{row['label']} ({counts(row)})" for _, row in others.iterrows())
        parts.append(f"Not ranked, since they share too few or failed on too many: {listed}.")
    return " ".join(parts)


def bounds(row: pd.Series, column: str) -> str:
    """The 95 % bounds of a metric, such as `5.56 – 6.40`; one dash where there are none."""
    if pd.isna(row[f"{column}_lo"]) and pd.isna(row[f"{column}_hi"]):
        return NOTHING
    return f"{significant(row[f'{column}_lo'])} – {significant(row[f'{column}_hi'])}"


def marked(label: str, origin: object) -> str:
    """The label with a dagger where the numbers were imported."""
    return f"{label} {base.IMPORTED_MARK}" if "imported" in str(origin) else label
