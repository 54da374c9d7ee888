"""Vacancies that models relaxed themselves, beside published energies."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from engine.numerics.comparison import MAX_FAILED_SHARE, UNRANKED
from engine.numerics.metrics import mae_bounds
from engine.numerics.ranks import rank_intervals
from engine.relaxed_vacancies import FORMATION
from engine.store import connection
from engine.store.connection import cached

LEAST = 20  # energies that ranked models share: ten metals in both lattices
LEVEL = "PBE"  # of the published values: models of another functional are listed and not ranked

_AGREEMENT = [
    "model_id", "label", "functional", "n", "n_elements", "n_failed", "mae", "mae_lo", "mae_hi", "mean_error",
    "largest_error", "volume_error", "n_shared", "mae_shared", "rank_lo", "rank_hi", "reason",
]  # fmt: skip


@cached
def relaxed_vacancies(*, is_migration: bool = False) -> pd.DataFrame:
    """Energies of the smaller supercells, one row per model, metal and quantity, failures included.

    Args:
        is_migration: Migration energies instead of formation energies.

    Returns:
        model_id, label, functional, element, structure, quantity, n_sites, energy, published and error (eV, missing
        where a relaxation failed or nothing is published), unrelaxed_energy, volume_error (relative, of the crystal),
        largest_displacement (Å), n_steps, status and reason.
    """
    return connection.frame(
        f"""
        select v.model_id, m.label, m.functional, v.element, v.structure, v.quantity, v.n_sites, v.energy, v.published,
            v.energy - v.published as error, v.unrelaxed_energy,
            case v.structure when 'fcc' then v.a ** 3 / 4 else sqrt(3) / 4 * v.a ** 2 * v.c end / v.published_volume - 1
                as volume_error,
            v.largest_displacement, v.n_steps, v.status, coalesce(v.reason, '') as reason
        from relaxed_vacancies v join models m using (model_id)
        where v.quantity {"<>" if is_migration else "="} $formation and v.published is not null
        qualify v.n_sites = min(v.n_sites) over (partition by v.structure)
        order by m.label, v.element, v.structure, v.quantity
        """,
        {"formation": FORMATION},
    )


@cached
def agreement_of_models(*, is_migration: bool = False) -> pd.DataFrame:
    """How well each model's relaxed vacancies agree with published ones.

    Errors of one element count as one draw for the bounds and ranks, since a model that is wrong in its fcc crystal is
    wrong in its hcp crystal too.

    Args:
        is_migration: Migration energies instead of formation energies.

    Returns:
        By mean absolute error: model_id, label, functional, n (energies), n_elements, n_failed, mae with its 95 %
        bounds mae_lo and mae_hi, mean_error, largest_error (all eV), volume_error (mean, relative), n_shared,
        mae_shared (over the energies that all ranked models have), rank_lo, rank_hi and reason, why a model has no
        rank.
    """
    table = relaxed_vacancies(is_migration=is_migration)
    good = table.dropna(subset=["error"]).assign(size=lambda t: t["error"].abs())
    n_failed = table[table["status"] != "ok"].groupby("model_id").size().to_dict()
    keys = good["element"] + " " + good["structure"] + " " + good["quantity"]
    good = good.assign(place=np.unique(keys, return_inverse=True)[1] if len(good) else 0)
    fit = good[good["functional"] == LEVEL]
    places = {str(m): part["place"].to_numpy(dtype=np.int64) for m, part in fit.groupby("model_id")}
    chosen, shared = _sharing({m: set(p.tolist()) for m, p in places.items()}, n_failed)
    common = good[good["model_id"].isin(chosen) & good["place"].isin(shared)]
    ranks = _ranks(common)
    rows = []
    for model_id, part in table.groupby("model_id"):
        known = good[good["model_id"] == model_id]
        row = {
            "model_id": model_id, "label": part["label"].iloc[0], "functional": part["functional"].iloc[0],
            "n": len(known), "n_elements": known["element"].nunique(), "n_failed": n_failed.get(model_id, 0),
            "volume_error": part["volume_error"].mean(), "n_shared": len(shared),
            "reason": "" if model_id in chosen else UNRANKED["share" if model_id in places else "level"],
        }  # fmt: skip
        if len(known):
            low, high = mae_bounds(known["size"].to_numpy(dtype=float), known["element"].to_numpy(dtype=str))
            row |= {"mae": known["size"].mean(), "mae_lo": low, "mae_hi": high, "mean_error": known["error"].mean()}
            row |= {"largest_error": known["size"].max()} | ranks.get(str(model_id), {})
            row |= {"mae_shared": common.loc[common["model_id"] == model_id, "size"].mean()}
        rows.append(row)
    found = pd.DataFrame(rows).reindex(columns=_AGREEMENT)
    return found.sort_values(["mae", "model_id"], ignore_index=True)


def _sharing(places: Mapping[str, set[int]], n_failed: Mapping[str, int]) -> tuple[list[str], set[int]]:
    """Models that can be ranked and the energies that all of them have.

    The model with most energies comes first; each next one is let in if all still share `LEAST`. Models differ in the
    elements that they know, so a share of the largest would leave out all that know few.
    """
    chosen: list[str] = []
    shared: set[int] = set()
    for model_id, own in sorted(places.items(), key=lambda item: (-len(item[1]), item[0])):
        failed = n_failed.get(model_id, 0)
        left = own if not chosen else shared & own
        if len(left) >= LEAST and failed <= MAX_FAILED_SHARE * (failed + len(own)):
            chosen.append(model_id)
            shared = left
    return chosen, shared


def _ranks(common: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Interval of each model's rank by mean absolute error, over energies that all have."""
    if common.empty:
        return {}
    wide = common.pivot(index="place", columns="model_id", values="size")
    elements = common.drop_duplicates("place").set_index("place").loc[wide.index, "element"]
    found = rank_intervals(wide.to_numpy(dtype=float).T, np.ones(len(wide)), elements.to_numpy(dtype=str))
    numbers = zip(wide.columns, found.rank.tolist(), found.high.tolist(), strict=True)
    return {str(model_id): {"rank_lo": low, "rank_hi": high} for model_id, low, high in numbers}


@cached
def effect_of_size() -> pd.DataFrame:
    """How much a larger supercell changes formation energies, the largest change first.

    Returns:
        label, element, structure, small and large (sites) and change (energy in the larger less that in the smaller,
        eV) of each model and metal that has both.
    """
    return connection.frame(
        """
        select m.label, s.element, s.structure, s.n_sites as small, l.n_sites as large, l.energy - s.energy as change
        from relaxed_vacancies s
        join relaxed_vacancies l using (model_id, element, structure, quantity)
        join models m using (model_id)
        where s.quantity = $formation and s.n_sites < l.n_sites and s.energy is not null and l.energy is not null
        order by abs(l.energy - s.energy) desc, m.label, s.element, s.structure
        """,
        {"formation": FORMATION},
    )
