"""Measures of statements on a store made by hand, and the registries of statements on it."""

import json
import math

import duckdb
import pytest

from engine.errors import RegistryError
from engine.registry.claims import (
    DIFFERS,
    MEASURES,
    OWN_PATH,
    REPRODUCED,
    UNTESTED,
    VERDICTS,
    WITHIN,
    Claim,
    Measure,
    load_claims,
    load_inconsistencies,
    table_one,
)
from engine.store.builder import SCHEMA
from engine.store.claims import DO, measure_claims, row, verdict
from engine.store.findings import Finding, Number, Store

# Ten cells of one atom, each a cluster of its own: five of Fe and five of W, of the groups surface and bulk in turn.
# `good` is off by 1 meV and 10 meV/Å everywhere, `bad` by 2 and 20, and by 4 and 40 on Fe.
N = 10


def _error(model: str, k: int) -> float:
    return {"good": 1.0, "bad": 4.0 if k < 5 else 2.0}[model]


@pytest.fixture(scope="module")
def con():
    con = duckdb.connect()
    con.execute(SCHEMA.read_text(encoding="utf-8"))
    for model, row_ in (("good", 1), ("bad", 2)):
        con.execute(
            "insert into models (model_id, label, family, paper_row, n_parameters) values (?, ?, 'emt', ?, ?)",
            [model, model.title(), row_, 1000 * row_],
        )
        for k in range(N):
            e = _error(model, k) / 1000
            con.execute(
                "insert into errors by name select 'hand' as dataset_id, ? as model_id, ? as config_id,"
                " ? as group_name, true as in_dataset, 1 as n_atoms, ? as reference_energy_per_atom,"
                " ? as energy_error_per_atom, ? as force_rmse",
                [model, f"c{k}", "surface" if k % 2 else "bulk", float(k - 5), -e, 10 * e],
            )
        con.execute(
            "insert into dataset_metrics (dataset_id, model_id, group_name, alignment, n_failed, n_energy, n_force,"
            " energy_rmse_mev_per_atom, energy_rmse_mev_per_atom_lo, energy_rmse_mev_per_atom_hi,"
            " force_rmse_mev_per_ang, force_slope) values ('hand', ?, 'all', 'raw', 0, 10, 10, ?, ?, ?, ?, ?)",
            [model, 1.0 * row_, 0.5 * row_, 3.0 * row_, 10.0 * row_, 1.0 / row_],
        )
        con.execute(
            "insert into costs (model_id, device, hardware, n_threads, n_atoms, us_per_atom_step)"
            " values (?, 'cpu', 'here', 1, 125, ?)",
            [model, 1000.0 * row_],
        )
        for size in (8, 64, 512):  # 1, 2 and 4 atoms along each edge, eight times the atoms and the time
            con.execute(
                "insert into costs (model_id, device, hardware, n_threads, n_atoms, batch, ms_per_step)"
                " values (?, 'cpu', 'here', 1, ?, 1, ?)",
                [model, size, float(size) ** row_],
            )
    # on a card good takes a tenth of its time; that it was timed on a smaller cell there does not count
    con.execute(
        "insert into costs (model_id, device, hardware, n_threads, n_atoms, us_per_atom_step)"
        " values ('good', 'cuda', 'card', 1, 125, 100.0), ('good', 'cuda', 'card', 1, 8, 900.0)"
    )
    # 5 s per atom of 25, on another cell than the models
    con.execute(
        "insert into costs (model_id, device, hardware, n_threads, n_atoms, us_per_atom_step)"
        " values ('dft-gpaw', 'cpu', 'there', 1, 5, 1e6), ('dft-gpaw', 'cpu', 'there', 1, 25, 5e6)"
    )
    # bad: two atoms of Fe in c0 off by 3 and 4, three of W in c5 by 1
    for name, squares in (("c0", 25), ("c5", 3)):
        con.execute(
            "update errors set element_squares = [$squares] where model_id = 'bad' and config_id = $name",
            {"squares": squares, "name": name},
        )
    con.execute("insert into datasets (dataset_id, energy_noise_per_atom) values ('hand', 0.0005)")
    for k in range(N):
        con.execute(
            "insert into configurations (dataset_id, config_id, elements, cluster_name, element_counts)"
            " values ('hand', ?, ?, ?, ?)",
            [f"c{k}", ["Fe"] if k < 5 else ["W"], f"cluster {k}", [2 if k < 5 else 3]],
        )
    con.execute("insert into ensembles values ('pair', 'Pair', ['good', 'bad'], '', '')")
    con.execute("insert into ensemble_metrics values ('pair', 'hand', 'energy', 10, 0, 0.4, null, null)")
    con.execute(
        "insert into uncertainties (ensemble_id, dataset_id, config_id, energy_deviation, energy_error,"
        " force_deviation, force_error, is_zero_by_symmetry) values"
        " ('pair', 'hand', 'c0', 2, 1, [1, 1], [2, 9], [false, true]),"
        " ('pair', 'hand', 'c1', 1, 3, [5], [2], [false])"
    )
    con.execute("insert into leakage values ('good', 'hand', 'all', 'certain', 'Fitted to it.')")
    return con


@pytest.fixture
def store(con):
    return Store(con)


BOTH = ("good", "bad")
PAIR = {"models": BOTH, "dataset": "hand", "quantity": "energy", "at_most": 1.5}
EXPECTED = {
    "metric, all": (Measure("metric", **PAIR), 2.0),
    "metric, any": (Measure("metric", **PAIR, take="any"), 1.0),
    "metric, mean": (Measure("metric", **PAIR, take="mean"), 1.5),
    "metric, slope": (Measure("metric", **PAIR | {"quantity": "slope"}, take="lowest"), 0.5),
    "metric, elements": (Measure("metric", **PAIR, elements=("Fe", "W"), take="highest"), 4.0),
    # bad: five of 4 and five of 2, so a mean square of 10
    "ratio": (
        Measure("ratio", models=("bad",), against=("good",), dataset="hand", quantity="force", at_most=9),
        math.sqrt(10.0),
    ),
    "order": (Measure("order", order=(("good",), ("bad",)), dataset="hand", quantity="force", at_least=1), 1.0),
    "order, wrong": (Measure("order", order=(("bad",), ("good",)), dataset="hand", quantity="energy", at_least=1), 0.0),
    "subset-ratio, elements": (
        Measure(
            "subset-ratio",
            models=("bad",),
            elements=("Fe",),
            against_elements=("W",),
            dataset="hand",
            quantity="force",
            at_least=1,
        ),
        2.0,
    ),
    # surface: Fe, Fe, W, W, W gives 4, 4, 2, 2, 2; bulk 4, 4, 4, 2, 2
    "subset-ratio, groups": (
        Measure(
            "subset-ratio",
            models=("bad",),
            group="surface",
            against_group="bulk",
            dataset="hand",
            quantity="energy",
            at_least=1,
        ),
        math.sqrt(44 / 56),
    ),
    "noise-ratio": (Measure("noise-ratio", **PAIR, take="any"), 2.0),
    # k from 6 to 9 has a positive reference energy; these are W
    "bias": (Measure("bias", models=("bad",), dataset="hand", reference_above=0.0, at_most=0), -2.0),
    "correlation": (Measure("correlation", ensemble="pair", dataset="hand", quantity="energy", equals=0.4), 0.4),
    "exceedance, energy": (Measure("exceedance", ensemble="pair", dataset="hand", quantity="energy", at_most=1), 0.5),
    # of three atoms one is zero by symmetry, one error is above its deviation
    "exceedance, force": (Measure("exceedance", ensemble="pair", dataset="hand", quantity="force", at_most=1), 0.5),
    "fact": (
        Measure("fact", table="models", column="n_parameters", aggregate="sum", where={"paper_row": "*"}, equals=3000),
        3000.0,
    ),
    "fact, list": (
        Measure("fact", table="models", column="family", aggregate="distinct", where={"paper_row": [1, 2]}, equals=1),
        1.0,
    ),
    "stated": (Measure("stated", says="11", elsewhere="12", place="The caption"), 0.0),
    "cost-ratio": (Measure("cost-ratio", models=("bad",), against=("good",), at_most=9), 2.0),
    "cost-ratio, devices": (
        Measure("cost-ratio", models=BOTH, against=BOTH, device="cpu", against_device="cuda", at_most=99),
        10.0,
    ),
    # mean squares: (9 + 16) / 2 of Fe over 1 of W
    "atoms-ratio": (
        Measure("atoms-ratio", models=("bad",), dataset="hand", elements=("Fe",), quantity="force", at_least=1),
        math.sqrt(12.5),
    ),
    # good grows with the atoms, bad with their square
    "cost-exponent": (Measure("cost-exponent", models=("good", "bad"), equals=1, tolerance=0.1), 2.0),
    # 5 s over 1 and over 2 ms; the slower model decides
    "dft-ratio": (Measure("dft-ratio", models=("good", "bad"), at_least=3000), 2500.0),
    "cost-order": (Measure("cost-order", order=(("good",), ("bad",)), at_least=1), 1.0),
}  # fmt: skip


@pytest.mark.parametrize(("measure", "expected"), EXPECTED.values(), ids=EXPECTED)
def test_a_measure_finds_what_was_worked_out_by_hand(store, measure, expected):
    finding = DO[measure.kind](store, measure)
    assert isinstance(finding, Finding), finding
    assert finding.number.value == pytest.approx(expected)


@pytest.mark.parametrize(("measure", "_expected"), EXPECTED.values(), ids=EXPECTED)
def test_the_statement_of_a_finding_can_be_repeated(con, store, measure, _expected):
    sql = DO[measure.kind](store, measure).sql
    assert bool(sql) == (measure.kind != "stated")
    assert not sql or con.execute(sql).fetchall()


def test_a_ratio_to_dft_on_a_smaller_cell_reaches_to_the_cube_on_the_cell_of_the_paper(store):
    measure, _ = EXPECTED["dft-ratio"]
    finding = DO["dft-ratio"](store, measure)
    assert finding.number.low == finding.number.value
    assert finding.number.high == pytest.approx(2500 * (125 / 25) ** 2)  # the cube of the cell is a square per atom
    assert verdict(measure, finding) == WITHIN  # 2500 is below 3000, 62500 is not


def test_a_network_with_random_weights_is_timed_for_a_model_that_was_not_and_said_so(con, store):
    con.execute(
        "insert into costs (model_id, device, hardware, n_threads, n_atoms, us_per_atom_step, origin) values"
        " ('good', 'cpu', 'here', 1, 125, 1.0, 'random weights'),"
        " ('size', 'cpu', 'here', 1, 125, 8000.0, 'random weights')"
    )
    found = DO["cost-ratio"](store, Measure("cost-ratio", models=("size",), against=BOTH, at_most=9))
    assert found.number.value == pytest.approx(8.0 / 1.5)  # good took 1 ms with its own weights, and bad 2 ms
    assert found.words.endswith("; 1 of 3 models timed as networks of their size with random weights")
    own = DO["cost-ratio"](store, Measure("cost-ratio", models=("bad",), against=("good",), at_most=9))
    assert "random" not in own.words


def test_every_kind_of_measure_is_carried_out():
    assert set(DO) == set(MEASURES)


def test_an_order_that_is_wrong_beyond_doubt_differs(store):
    measure, _ = EXPECTED["order, wrong"]
    assert verdict(measure, DO["order"](store, measure)) == DIFFERS


def test_an_order_over_too_few_clusters_to_tell_is_within_bounds(store):
    measure = Measure(
        "order", order=(("bad",), ("good",)), dataset="hand", group="bulk", quantity="force", at_least=1
    )  # five clusters
    assert verdict(measure, DO["order"](store, measure)) == WITHIN


def test_ranks_need_three_models_and_costs_too(store):
    tiers = {"order": (("good",), ("bad",)), "dataset": "hand", "quantity": "energy", "at_least": 1.0}
    assert "needs three" in DO["rank-correlation"](store, Measure("rank-correlation", **tiers))
    # `good` was trained on the data, so one model is left
    trend = Measure("cost-trend", dataset="hand", quantity="energy", at_most=0)
    assert "takes three" in DO["cost-trend"](store, trend)
    front = Measure("front", models=("good",), dataset="hand", quantity="energy", at_least=1)
    assert "no cost" in DO["front"](store, front)


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [(5.0, None, None, REPRODUCED), (6.0, 3.95, 9.1, WITHIN), (6.0, 5.5, 6.4, DIFFERS), (6.0, None, None, DIFFERS)],
)
def test_six_is_not_at_most_five_unless_its_bounds_say_so(value, low, high, expected):
    finding = Finding(Number("m", value, low, high), "meV/atom", "configurations", "", "")
    assert verdict(Measure("metric", at_most=5.0), finding) == expected


def test_the_worst_part_of_a_statement_decides_and_names_what_it_rests_on(store):
    parts = (EXPECTED["order"][0], EXPECTED["metric, all"][0])
    parts = tuple(Measure(**vars(part) | {"part": name}) for part, name in zip(parts, ("force", "energy"), strict=True))
    found = row(store, Claim("T1", "1", "A test.", "query", "hand", measures=parts), "paper")
    assert found["verdict"] == WITHIN  # 2.0, with bounds from 1.0
    assert (found["measured_value"], found["allowed"]) == (2.0, "at most 1.5 meV/atom")
    assert found["found"].startswith("force: 1 of 1 pairs as stated; energy: ")
    assert "Trained on these data: Good." in found["reason"]
    assert json.loads(found["address"])["dataset"] == ["hand"]


def test_what_has_no_numbers_cannot_be_tested_and_says_why(store):
    measure = Measure("metric", models=("good",), dataset="absent", quantity="energy", at_most=1)
    found = row(store, Claim("T1", "1", "A test.", "query", "absent", measures=(measure,)), "paper")
    assert (found["verdict"], found["reason"]) == (UNTESTED, "The store has no energies of Good for absent.")


def test_defect_energies_count_where_their_labels_are_not_known_to_be_unconverged(con, store):
    con.execute("begin")
    for reaction_id, error, is_converged in [("a", 0.03, None), ("b", -0.04, True), ("c", 9.0, False)]:
        con.execute(
            "insert into reaction_errors (reaction_id, kind, dataset_id, model_id, unit, error, is_converged)"
            " values (?, 'solute-vacancy', 'open-defects', 'good', 'eV', ?, ?)",
            [reaction_id, error, is_converged],
        )
    measure = Measure("reaction", models=("good",), dataset="open-defects", reaction="solute-vacancy", at_most=1)
    finding = DO["reaction"](store, measure)
    con.execute("rollback")
    assert finding.number.value == pytest.approx((30**2 / 2 + 40**2 / 2) ** 0.5)


def test_every_statement_is_measured_on_the_store_made_by_hand(con):
    rows = measure_claims(con)
    assert len(rows) == 116 + len(load_claims(OWN_PATH)) + 20
    assert len({found["claim_id"] for found in rows}) == len(rows)
    assert all(found["verdict"] in VERDICTS for found in rows if found["list_name"] == "paper")
    assert all(found["reason"] for found in rows if found["verdict"] == UNTESTED)


def test_the_registry_has_every_statement_and_contradiction_of_the_paper():
    assert len(load_claims()) == 116
    assert len(load_inconsistencies()) == 20
    assert len(table_one()) == 26


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('kind = "guess"', "'guess' is not one of"),
        ('kind = "query"', "if and only if"),
        ('kind = "untestable"', "needs either measures"),
        ('kind = "query"\nmeasures = [{ kind = "metric", models = ["@none"], at_most = 1 }]', "no set '@none'"),
        ('kind = "query"\nmeasures = [{ kind = "metric", models = ["chgnet-0.3.0"], at_most = 1 }]', "needs 'dataset'"),
        ('kind = "query"\nmeasures = [{ kind = "cost-order", order = [["chgnet-0.3.0"]] }]', "needs at_most"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path, line, message):
    path = tmp_path / "claims.toml"
    path.write_text(f'[T1]\nsection = "1"\nwording = "w"\ndata = "d"\n{line}\n')
    with pytest.raises(RegistryError, match=message):
        load_claims(path)
