"""Vacancies that models relaxed beside published ones: errors, failures, ranks and sizes by hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student

from engine.numerics.metrics import mae_bounds
from engine.queries import relaxed_vacancies as queries
from engine.records import RunRecord
from engine.registry.published_vacancies import counted_vacancies
from engine.relaxed_vacancies import FORMATION, RelaxedVacancy
from engine.store.builder import StoreBuilder, publish

METALS = ("Ag", "Al", "Au", "Cu", "Ir", "Pb", "Pd", "Pt", "Rh", "Sr")  # all are published in both lattices, and count
ERRORS = {
    "close": [0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1, 0.1, -0.1],
    "far": [0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.5],
}
SITES = {"fcc": 32, "hcp": 36}


def row(model_id: str, element: str, error: float | None, **more) -> RelaxedVacancy:
    """A relaxed vacancy that is off by an error, eV; a failed one without."""
    structure = more.pop("structure", "fcc")
    [one] = [p for p in counted_vacancies() if (p.element, p.structure) == (element, structure)]
    quantity = more.pop("quantity", FORMATION)
    n_sites = more.pop("n_sites", SITES[structure])
    if error is None:
        return RelaxedVacancy(model_id, element, structure, n_sites, quantity, "failed", "the vacancy did not converge")
    volume = 1.02 * one.volume  # every crystal is 2 % too large
    a = np.cbrt((4 if structure == "fcc" else np.sqrt(2)) * volume)
    more |= {"a": a, "c": None if structure == "fcc" else a * np.sqrt(8 / 3), "energy": one.value(quantity) + error}
    return RelaxedVacancy(model_id, element, structure, n_sites, quantity, "ok", n_steps=3, **more)


@pytest.fixture
def vacancies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results-v.duckdb"
    builder = StoreBuilder(path)
    for name, functional in (("close", "PBE"), ("far", "PBE"), ("few", "PBE"), ("other", "r2SCAN")):
        builder.connection.execute(
            "insert into models (model_id, label, functional) values ($m, $l, $f)",
            {"m": name, "l": name.title(), "f": functional},
        )
    rows = [
        row(m, element, error, structure=structure)
        for structure in SITES
        for m, errors in ERRORS.items()
        for element, error in zip(METALS, errors, strict=True)
    ]
    rows += [row("other", element, 0.01, structure=structure) for element in METALS for structure in SITES]
    rows += [row("few", element, 0.3) for element in METALS[:4]]
    rows += [
        row("close", "Ni", None),
        row("close", "Cu", -0.12, n_sites=108),
        row("far", "Cu", 0.2, quantity="nearest"),
    ]
    unpublished = RelaxedVacancy("close", "He", "fcc", 32, FORMATION, "ok", energy=9.9, a=4.0)
    builder.add_vacancies([(one, RunRecord(hardware="a processor")) for one in [*rows, unpublished]])
    builder.finish()
    publish(path, tmp_path / "results.duckdb")
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))


def test_errors_failures_and_ranks_by_hand(vacancies):
    table = queries.agreement_of_models().set_index("model_id")
    assert table.loc[["close", "far"], "mae"].tolist() == pytest.approx([0.1, 0.5])
    assert table.loc[["close", "far"], "mean_error"].tolist() == pytest.approx([0.0, 0.5], abs=1e-12)
    assert table.loc[["close", "far"], "n"].tolist() == [20, 20]  # no helium, and no larger supercell
    assert table["n_elements"].to_dict() == {"close": 10, "far": 10, "few": 4, "other": 10}
    assert table["n_failed"].to_dict() == {"close": 1, "far": 0, "few": 0, "other": 0}
    assert set(table["n_shared"]) == {20}
    assert table.loc[["close", "far"], "rank_lo"].tolist() == [1, 2]
    assert table.loc[["close", "far"], "rank_hi"].tolist() == [1, 2]
    assert np.isnan(table.loc["other", "rank_lo"])  # of another functional, though its errors are the smallest
    assert "functional" in table.loc["other", "reason"]
    assert "too few" in table.loc["few", "reason"]
    assert table["volume_error"].tolist() == pytest.approx([0.02] * 4)


def test_a_failed_relaxation_is_listed_with_its_reason(vacancies):
    table = queries.relaxed_vacancies()
    [failed] = table[table["status"] != "ok"].to_dict("records")
    assert (failed["element"], failed["reason"]) == ("Ni", "the vacancy did not converge")
    assert np.isnan(failed["error"])


def test_migration_energies_are_apart(vacancies):
    [found] = queries.relaxed_vacancies(is_migration=True).to_dict("records")
    assert (found["published"], found["error"]) == (0.72, pytest.approx(0.2))  # copper, table A1
    assert queries.agreement_of_models(is_migration=True)["mae"].tolist() == pytest.approx([0.2])


def test_the_effect_of_a_larger_supercell_is_that_of_metals_in_both(vacancies):
    [found] = queries.effect_of_size().to_dict("records")
    assert (found["label"], found["element"], found["small"], found["large"]) == ("Close", "Cu", 32, 108)
    assert found["change"] == pytest.approx(-0.02)  # from -0.10 to -0.12 eV


def test_bounds_of_a_mean_absolute_error_follow_from_its_standard_error():
    """Alike clusters: Student's t on the logarithm, with the standard error of the mean over the mean."""
    sizes = np.array([1.0, 3.0] * 4)
    low, high = mae_bounds(sizes)
    relative = sizes.std(ddof=1) / np.sqrt(8) / sizes.mean()
    step = student.ppf(0.975, 7) * relative
    assert (low, high) == (pytest.approx(2 * np.exp(-step)), pytest.approx(2 * np.exp(step)))
    assert np.isnan(mae_bounds(sizes[:5])).all()


def test_a_store_without_relaxed_vacancies_gives_empty_tables(store):
    assert queries.relaxed_vacancies().empty
    assert queries.agreement_of_models()["n"].sum() == 0
    assert queries.effect_of_size().empty
