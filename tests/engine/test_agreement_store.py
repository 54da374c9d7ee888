"""Agreement and calibrations as the build writes them, against the forces in the store."""

import numpy as np
import pytest
import scipy.stats

from engine.numerics import conformal
from engine.numerics.uncertainty import force_deviation
from engine.queries import agreement, intervals
from engine.registry.ensembles import Ensemble, load_ensembles
from engine.store import connection
from engine.store.agreement import LEVELS

ENSEMBLE, DATASET = "emt-morse", "al-cu"


def test_ranks_of_the_store_are_those_of_the_atoms(store):
    atoms = connection.frame(
        """select unnest(force_standard_deviation) as deviation, unnest(force_error) as error,
        unnest(is_zero_by_symmetry) as is_zero from uncertainties"""
    )
    atoms = atoms[~atoms["is_zero"]]
    table = agreement.measures(DATASET, "force", 0.1)
    row = table[(table["kind"] == "all") & (table["measure"] == "standard")].iloc[0]
    assert row["n_samples"] == len(atoms)
    assert row["spearman"] == pytest.approx(scipy.stats.spearmanr(atoms["deviation"], atoms["error"]).statistic)
    assert row["coverage"] == pytest.approx((atoms["error"] <= atoms["deviation"]).mean())
    assert row["share_above"] == pytest.approx((atoms["error"] > 0.1).mean())


def test_models_chosen_on_the_page_give_what_the_build_gave(store):
    built = agreement.measures(DATASET, "force", 0.1).query("kind == 'all'").set_index("measure")
    chosen = agreement.chosen_measures(("emt", "morse"), DATASET, "force", 0.1).set_index("measure")
    for name in ("n_samples", "spearman", "coverage", "sharpness", "rms_error"):
        for measure in agreement.MEASURES:
            assert chosen.loc[measure, name] == pytest.approx(built.loc[measure, name]), (name, measure)
    worst = agreement.chosen_measures(("emt", "morse"), DATASET, "force_worst", 0.1).set_index("measure")
    stored = agreement.measures(DATASET, "force_worst", 0.1).query("kind == 'all'").set_index("measure")
    assert worst["spearman"].to_dict() == pytest.approx(stored["spearman"].to_dict())


def test_curves_end_where_the_numbers_do(store):
    found = agreement.curves(ENSEMBLE, DATASET, "force", "standard")
    table = agreement.measures(DATASET, "force", 0.1)
    row = table[(table["kind"] == "all") & (table["measure"] == "standard")].iloc[0]
    assert (found["rejection"][0], found["best_rejection"][0]) == pytest.approx([row["rms_error"]] * 2)


def test_a_calibration_holds_the_scores_of_the_model(store):
    rows = connection.frame(
        """select c.config_id, c.cluster_name, p.forces as predicted, m.forces as other, c.forces as labels
        from configurations c join predictions p using (dataset_id, config_id) join predictions m
            using (dataset_id, config_id)
        where c.dataset_id = 'al-cu' and c.in_dataset and p.model_id = 'emt' and m.model_id = 'morse'
            and p.forces is not null and m.forces is not null order by c.config_id"""
    )
    values, zero = [], []
    for row in rows.itertuples():
        forces = np.stack([row.predicted, row.other]).reshape(2, -1, 3)
        labels = np.asarray(row.labels).reshape(-1, 3)
        deviation = np.sqrt(np.sum((forces - forces.mean(axis=0)) ** 2, axis=2).mean(axis=0))
        values.append(np.linalg.norm(forces[0] - labels, axis=1) / (deviation + conformal.FLOORS["force"]))
        zero.append((np.linalg.norm(forces, axis=2).max(axis=0) < 1e-4) & (np.linalg.norm(labels, axis=1) < 0.02))
        assert len(force_deviation(forces)[0]) == len(deviation)
    scores = np.concatenate(values)[~np.concatenate(zero)]
    table = intervals.calibrations()
    row = table[
        (table["model_id"] == "emt") & (table["ensemble_id"] == ENSEMBLE) & (table["quantity"] == "force")
        & (table["kind"] == "all")
    ].iloc[0]  # fmt: skip
    assert row["n_samples"] == len(scores)
    assert row["quantiles"][-1] == pytest.approx(scores.max(), rel=0.05)
    assert row["quantiles"][0] == pytest.approx(scores.min(), abs=0.05)
    assert list(row["levels"]) == list(LEVELS)
    assert np.all(np.diff(row["held_out"]) >= 0)


def test_the_eleven_of_liu_are_weighed_by_their_published_errors():
    ensemble = load_ensembles()["liu-11"]
    assert len(ensemble.models) == len(ensemble.force_rmse) == 11
    assert ensemble.force_rmse == tuple(sorted(ensemble.force_rmse))  # the notebook lists them by rising error
    assert "OMat24" in ensemble.force_rmse_source


def test_an_ensemble_may_lack_members_only_where_it_says_so():
    assert Ensemble("e", "E", ("a", "b", "c"), "raw", "s").n_needed == 3
    assert Ensemble("e", "E", ("a", "b", "c"), "raw", "s", at_least=2).n_needed == 2
