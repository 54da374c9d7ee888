"""Reads of the results store that concern the reference data: what datasets hold, and what a comparison can mean.

Energies and forces come back in the store's units (eV, Å) unless a column's name says otherwise. Where no group is
named, groups that do not count as the dataset, such as dimers, are left out.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase.data import chemical_symbols
from numpy.typing import NDArray

from engine import compatibility as rules
from engine import queries, results
from engine.results import cached

FloatArray = NDArray[np.float64]

N_BINS = 60
TAIL = 0.001  # share of the samples left out of a histogram at each end, so that one outlier does not squeeze it


@dataclass(frozen=True)
class Histogram:
    """Counts of samples in bins of equal width.

    Attributes:
        edges: Shape (n_bins + 1,).
        counts: Shape (n_bins,).
        n_total: Number of samples.
        n_outside: Samples beyond the edges.
    """

    edges: FloatArray
    counts: NDArray[np.int64]
    n_total: int
    n_outside: int


_WITHIN = """($dataset is null or dataset_id = $dataset)
    and (($group = 'all' and in_dataset) or group_name = $group)"""


@cached
def element_counts(dataset_id: str | None = None) -> pd.DataFrame:
    """What the configurations of a dataset, or of all of them, are made of.

    Returns:
        By element: element, n_configs (that contain it), n_atoms (of the element), n_datasets; most configurations
        first.
    """
    table = results.frame(
        f"""
        select number, count(*) as n_configs, sum(n)::bigint as n_atoms, count(distinct dataset_id) as n_datasets
        from (
            select dataset_id, config_id, number, count(*) as n
            from (select dataset_id, config_id, unnest(numbers) as number from configurations where {_WITHIN})
            group by dataset_id, config_id, number
        )
        group by number order by n_configs desc, number
        """,
        {"dataset": dataset_id, "group": "all"},
    )
    table.insert(0, "element", [chemical_symbols[number] for number in table.pop("number")])
    return table


@cached
def groups(dataset_id: str) -> pd.DataFrame:
    """Groups of structures of a dataset, the largest first, those outside it last.

    Returns:
        group_name, in_dataset, n_configs, n_atoms (of all of them), n_atoms_min, n_atoms_max (of a configuration),
        composition (shares of atoms), energy_min, energy_max (eV/atom), and force_rms (eV/Å; root mean square of the
        length of the force on an atom).
    """
    table = results.frame(
        """
        select group_name, bool_or(in_dataset) as in_dataset, count(*) as n_configs, sum(n_atoms)::bigint as n_atoms,
            min(n_atoms) as n_atoms_min, max(n_atoms) as n_atoms_max,
            min(energy / n_atoms) as energy_min, max(energy / n_atoms) as energy_max,
            sqrt(sum(list_inner_product(forces, forces))
                / sum(n_atoms) filter (forces is not null)) as force_rms
        from configurations where dataset_id = $dataset
        group by group_name order by in_dataset desc, n_configs desc, group_name
        """,
        {"dataset": dataset_id},
    )
    table.insert(4, "composition", table["group_name"].map(_compositions(dataset_id)))
    return table


def _compositions(dataset_id: str) -> dict[str, str]:
    """By group, the share of each element among the atoms, such as `W 87 %, Be 13 %`."""
    table = results.frame(
        """
        select group_name, number, count(*) as n
        from (select group_name, unnest(numbers) as number from configurations where dataset_id = $dataset)
        group by group_name, number order by group_name, n desc, number
        """,
        {"dataset": dataset_id},
    )
    shares = 100 * table["n"] / table.groupby("group_name")["n"].transform("sum")
    texts = [
        f"{chemical_symbols[number]} {share:.0f} %" if share >= 1 else f"{chemical_symbols[number]} < 1 %"
        for number, share in zip(table["number"], shares, strict=True)
    ]
    joined = table.assign(text=texts).groupby("group_name")["text"].agg(", ".join)
    return {str(name): str(text) for name, text in joined.items()}


_SAMPLES = {
    "energy": f"select energy / n_atoms as value from configurations where {_WITHIN}",
    "energy_above": f"""select value from (
        select dataset_id, group_name, in_dataset,
            energy / n_atoms - min(energy / n_atoms) filter (in_dataset) over (partition by dataset_id) as value
        from configurations
    ) where {_WITHIN}""",
    "force_component": f"select unnest(forces) as value from configurations where {_WITHIN}",
    "force_length": f"""select unnest(list_transform(range(n_atoms), lambda i: sqrt(
        forces[3 * i + 1] ** 2 + forces[3 * i + 2] ** 2 + forces[3 * i + 3] ** 2))) as value
        from configurations where forces is not null and {_WITHIN}""",
    "n_atoms": f"select n_atoms::double as value from configurations where {_WITHIN}",
}


@cached
def histogram(dataset_id: str | None, kind: str, group: str = "all") -> Histogram | None:
    """Distribution of one property of the reference data.

    Args:
        dataset_id: One dataset; None for all of them.
        kind: `energy`, `energy_above` (the lowest of its dataset; both eV/atom), `force_component`, `force_length`
            (eV/Å), or `n_atoms` (of a configuration).
        group: A group of structures, or `all` for the datasets themselves.

    Returns:
        At most `N_BINS` bins, of whole width for numbers of atoms. None where there are no samples.
    """
    named = {"dataset": dataset_id, "group": group}
    finite = f"({_SAMPLES[kind]}) where isfinite(value)"
    row = results.row(
        f"""
        select count(*), quantile_disc(value, $tail), quantile_disc(value, 1 - $tail) from {finite}
        """,
        named | {"tail": TAIL},
    )
    if row is None or not row[0]:
        return None
    n_total, low, high = int(row[0]), float(row[1]), float(row[2])
    edges = _whole_edges(low, high) if kind == "n_atoms" else _edges(low, high)
    width = float(edges[1] - edges[0])
    bins = results.frame(
        f"""
        select least({len(edges) - 2}, floor((value - $low) / $width)::integer) as bin, count(*) as n
        from {finite} and value >= $low and value <= $high group by bin order by bin
        """,
        named | {"low": float(edges[0]), "high": float(edges[-1]), "width": width},
    )
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    counts[bins["bin"].to_numpy()] = bins["n"].to_numpy()
    return Histogram(edges, counts, n_total, n_total - int(counts.sum()))


def _edges(low: float, high: float) -> FloatArray:
    """Bins from low to high, of finite width where the two are equal."""
    margin = 0.0 if high > low else 1e-3
    return np.linspace(low - margin, high + margin, N_BINS + 1)


def _whole_edges(low: float, high: float) -> FloatArray:
    """Bins whose centres are the middle of equally many whole numbers."""
    width = int(np.ceil((high - low + 1) / N_BINS))
    n_bins = int(np.ceil((high - low + 1) / width))
    return low - 0.5 + width * np.arange(n_bins + 1, dtype=float)


@cached
def representatives(dataset_id: str) -> pd.DataFrame:
    """One configuration for each group: of those with the median number of atoms, the one with the median force.

    Returns:
        group_name, config_id, formula, n_atoms, force_rms (eV/Å; of the lengths of the forces, missing without forces).
    """
    return results.frame(
        """
        with sized as (
            select group_name, in_dataset, config_id, formula, n_atoms,
                sqrt(list_inner_product(forces, forces) / n_atoms) as force_rms,
                quantile_disc(n_atoms, 0.5) over (partition by group_name) as middle
            from configurations where dataset_id = $dataset
        ), placed as (
            select *, count(*) over (partition by group_name) as n,
                row_number() over (partition by group_name order by force_rms nulls last, config_id) as place
            from sized where n_atoms = middle
        )
        select group_name, config_id, formula, n_atoms, force_rms
        from placed where place = (n + 1) // 2
        order by in_dataset desc, group_name
        """,
        {"dataset": dataset_id},
    )


# What a comparison can mean


@cached
def compatibility() -> pd.DataFrame:
    """Whether raw energies of every model may be compared with those of every dataset.

    Returns:
        model_id, dataset_id, `state` (`yes`, `care` or `no`) and `state_reason`; see `engine.compatibility`.
    """
    models = {
        row.model_id: rules.ModelLabels(row.functional, row.energy_reference, bool(row.d3))
        for row in queries.models().itertuples()
    }
    datasets = {
        row.dataset_id: rules.DatasetLabels(
            row.functional,
            row.code,
            row.energy_reference,
            bool(row.comparable),
            row.comparable_note or "",
            frozenset(row.elements),
            row.spin,
            None if pd.isna(row.hubbard_u) else bool(row.hubbard_u),
        )
        for row in queries.datasets().itertuples()
    }
    rows = []
    for dataset_id, dataset in datasets.items():
        for model_id, model in models.items():
            found = rules.judge(model, dataset)
            rows.append((model_id, dataset_id, found.state, found.reason))
    return pd.DataFrame(rows, columns=["model_id", "dataset_id", "state", "state_reason"])


@cached
def alignment_change(dataset_id: str) -> pd.DataFrame:
    """Rank of models by energy RMSE with raw and with aligned energies, on the configurations that they share.

    Returns:
        model_id, label, origin, n_configs, energy_rmse_mev_per_atom, energy_rmse_mev_per_atom_aligned, rank_raw,
        rank_aligned, rank_change (positive: the model gains places), state and state_reason of `compatibility`; the
        best aligned first. Models that cannot be ranked are left out.
    """
    name = "energy_rmse_mev_per_atom"
    raw = queries.shared_metrics("raw", dataset_id=dataset_id)
    raw = raw.loc[raw["is_ranked"] & raw[name].notna(), ["model_id", "label", "origin", "n_configs", name]]
    aligned = queries.shared_metrics("per_element", dataset_id=dataset_id)[["model_id", name]]
    table = raw.merge(aligned.rename(columns={name: f"{name}_aligned"}), on="model_id")
    table = table.assign(rank_raw=_ranks(table[name]), rank_aligned=_ranks(table[f"{name}_aligned"]))
    table["rank_change"] = table["rank_raw"] - table["rank_aligned"]
    judged = compatibility()
    judged = judged.loc[judged["dataset_id"] == dataset_id, ["model_id", "state", "state_reason"]]
    table = table.merge(judged, on="model_id", how="left")
    return table.sort_values(["rank_aligned", "rank_raw", "model_id"], ignore_index=True)


def _ranks(errors: pd.Series) -> pd.Series:
    """1 for the smallest; errors (meV/atom) that differ by rounding share their rank."""
    return errors.round(6).rank(method="min").astype(int)


@cached
def element_offsets(dataset_id: str) -> pd.DataFrame:
    """Offset of each element (eV/atom) by model, fitted to all configurations that the model has a result for.

    Returns:
        One row per model: model_id, label, n_configs, and a column for each element; missing where the model has no
        result for a configuration with it.
    """
    table = results.frame(
        """
        select o.model_id, m.label, x.n_configs, o.element, o.offset_energy
        from element_offsets o
        join models m using (model_id)
        join dataset_metrics x on x.model_id = o.model_id and x.dataset_id = o.dataset_id
            and x.group_name = 'all' and x.alignment = 'per_element'
        join element_metrics e on e.model_id = o.model_id and e.dataset_id = o.dataset_id and e.element = o.element
        where e.n_configs > 0 and o.dataset_id = $dataset
        order by o.model_id, o.element
        """,
        {"dataset": dataset_id},
    )
    wide = table.pivot(index=["model_id", "label", "n_configs"], columns="element", values="offset_energy")
    return wide.rename_axis(columns=None).reset_index()
