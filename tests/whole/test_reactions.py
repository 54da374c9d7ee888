"""Interaction energies: numbers by hand, the matching table, queries, the page and the command that computes parts."""

import csv
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.data import atomic_numbers
from streamlit.testing.v1 import AppTest

from app.figures import base, interaction_plots
from engine.cells.defects import solute_structures
from engine.cells.lattices import structures
from engine.data_folder import DataFolder
from engine.errors import MetricError, RegistryError
from engine.numerics.interactions import agreement, check_balance, composition, interaction_energy, interaction_errors
from engine.queries import interactions, training
from engine.records import Configuration, Prediction, read_configurations, write_configurations
from engine.registry.datasets import get_dataset, load_datasets
from engine.registry.interactions import SETS, Interaction, Part, load_interactions, needed_configurations
from engine.registry.models import FAMILIES, load_models
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results, Run
from precompute import __main__ as command_line
from precompute import commands
from precompute.acquire.datasets import fetch_dataset
from precompute.dft.settings import load_settings

APP = Path(__file__).resolve().parents[2] / "app"
MIRROR = os.environ.get("DEFECT_ATLAS_MIRROR")

# Two atoms of Al beside a vacancy of Cu, in cells of eight sites; energies in eV.
PAIR = Interaction(
    "pair", "open-defects", "Cu-Al", "vacancy", "", "Al + Al",
    tuple(Part("d", name, c) for name, c in [("both", 1), ("vacancy", -1), ("solute", -2), ("bulk", 2)]),
)  # fmt: skip
ATOMS = {("d", "both"): {"Cu": 5, "Al": 2}, ("d", "vacancy"): {"Cu": 7}, ("d", "solute"): {"Cu": 7, "Al": 1},
         ("d", "bulk"): {"Cu": 8}}  # fmt: skip
REFERENCE = {("d", "both"): -24.5, ("d", "vacancy"): -27.0, ("d", "solute"): -31.0, ("d", "bulk"): -32.0}
PREDICTED = {("d", "both"): -24.1, ("d", "vacancy"): -27.2, ("d", "solute"): -31.1, ("d", "bulk"): -32.0}


def test_an_interaction_energy_by_hand():
    # -24.5 + 27 + 2 x 31 - 2 x 32 = 0.5
    assert interaction_energy(PAIR, REFERENCE) == pytest.approx(0.5, abs=1e-12)


def test_errors_of_a_model_by_hand():
    (found,) = interaction_errors([PAIR], ATOMS, REFERENCE, PREDICTED)
    # -24.1 + 27.2 + 2 x 31.1 - 2 x 32 = 1.3
    assert (found.reference, found.predicted) == pytest.approx((0.5, 1.3))
    assert found.error == pytest.approx(0.8)
    assert sum(found.part_errors) == pytest.approx(0.8)
    assert found.root_sum_square == pytest.approx(np.sqrt(np.sum(np.square(found.part_errors))))
    assert found.sum_absolute == pytest.approx(np.sum(np.abs(found.part_errors)))
    assert found.cancellation == pytest.approx(0.8 / found.root_sum_square)


def test_errors_of_the_parts_by_hand():
    # Cells of one element: the offset is the mean error per atom of the four, (0.4 + 0 - 0.4 + 0) / 8 = 0.
    parts = tuple(Part("d", name, sign) for name, sign in [("a", 1), ("b", -1), ("c", -1), ("e", 1)])
    one = Interaction("one", "open-defects", "X", "vacancy", "", "", parts)
    atoms = {part.key: {"Cu": 8} for part in parts}
    errors = {"a": 0.4, "b": 0.0, "c": -0.4, "e": 0.0}
    (found,) = interaction_errors(
        [one], atoms, {part.key: 0.0 for part in parts}, {("d", name): error for name, error in errors.items()}
    )
    assert found.part_errors == pytest.approx((0.4, 0.0, 0.4, 0.0))
    assert found.sum_absolute == pytest.approx(0.8)
    assert found.root_sum_square == pytest.approx(0.4 * np.sqrt(2))
    assert found.cancellation == pytest.approx(np.sqrt(2))  # both errors add up


@pytest.mark.parametrize("offsets", [{"Cu": -1284.7, "Al": 3.1}, {"Cu": 0.0, "Al": 1e4}])
def test_an_offset_per_element_changes_nothing(offsets):
    shifted = {key: energy + sum(offsets[z] * n for z, n in ATOMS[key].items()) for key, energy in PREDICTED.items()}
    (before,) = interaction_errors([PAIR], ATOMS, REFERENCE, PREDICTED)
    (after,) = interaction_errors([PAIR], ATOMS, REFERENCE, shifted)
    assert after.predicted == pytest.approx(before.predicted, abs=1e-9)
    assert after.part_errors == pytest.approx(before.part_errors, abs=1e-9)


def test_atoms_that_do_not_balance_are_refused():
    with pytest.raises(MetricError, match=r"'pair' does not balance: its parts leave \+1 Al"):
        check_balance(PAIR, ATOMS | {("d", "both"): {"Cu": 5, "Al": 3}})


def test_an_interaction_without_all_parts_is_left_out():
    missing = {key: energy for key, energy in PREDICTED.items() if key != ("d", "solute")}
    assert interaction_errors([PAIR], ATOMS, REFERENCE, missing) == []


def test_agreement_by_hand():
    # Errors 0.2, -0.2, -0.6: one of three signs differs; ranks 1 2 3 against 1 3 2 give 1 - 6 x 2 / (3 x 8) = 0.5.
    found = agreement(np.array([-1.0, 0.1, 0.3]), np.array([-0.8, -0.1, -0.3]))
    assert found["rmse"] == pytest.approx(np.sqrt((0.04 + 0.04 + 0.36) / 3))
    assert found["mae"] == pytest.approx(1 / 3)
    assert found["mean_error"] == pytest.approx(-0.2)
    assert found["sign_agreement"] == pytest.approx(1 / 3)
    assert found["spearman"] == pytest.approx(0.5)


@pytest.mark.parametrize("predicted", [[0.5, 0.5, 0.5], [1.0, 2.0]], ids=["constant", "two"])
def test_without_an_order_there_is_no_rank_correlation(predicted):
    assert np.isnan(agreement(np.arange(1.0, len(predicted) + 1), np.array(predicted))["spearman"])


# The table


def test_the_table_has_the_152_energies_of_zr_and_those_of_our_own_set():
    counts = {set_id: sum(one.set_id == set_id for one in load_interactions()) for set_id in SETS}
    assert counts["zr-i-cs"] == 152
    assert counts["open-defects"] >= 10
    assert set(needed_configurations(load_interactions())) <= set(load_datasets())


def test_the_table_has_every_solute_of_our_own_set():
    settings = load_settings()
    expected = [f"{host}-{solute}" for host, metal in settings.elements.items() for solute in metal.solutes]
    assert [one.system for one in load_interactions() if one.set_id == "open-defects"] == expected


def test_interactions_of_our_own_set_balance_in_the_generated_cells():
    settings = load_settings()
    cells = {}
    for host, metal in settings.elements.items():
        lattice = settings.lattice(host)
        made = [*structures(lattice), *solute_structures(lattice, tuple(metal.solutes))]
        cells |= {("open-defects", one.config_id): one.atoms.symbols.formula.count() for one in made}
    for one in load_interactions():
        if one.set_id == "open-defects":
            check_balance(one, cells)
            host, _, solute = one.system.partition("-")
            assert cells[one.keys[0]] == {host: 6, solute: 1}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("x,zr-i-cs,Zr-I,gb,s7,I,+1*d/a -1*d/b -1*d/c", "at least four parts"),
        ("x,zr-i-cs,Zr-I,gb,s7,I,+1*d/a -1*d/b -1*d/c +1*d/c", "each configuration once"),
        ("x,zr-i-cs,Zr-I,gb,s7,I,+1*d/a -1*d/b -1*d/c 1*d/e", "not of the form"),
        ("x,zr-i-cs,Zr-I,gb,s7,I,+1*d/a -1*d/b -1*d/c +0*d/e", "not of the form"),
        ("x,other,Zr-I,gb,s7,I,+1*d/a -1*d/b -1*d/c +1*d/e", "set_id 'other'"),
        ("x,zr-i-cs,Zr-I,,s7,I,+1*d/a -1*d/b -1*d/c +1*d/e", "'environment' is empty"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, row, sentence):
    path = tmp_path / "table.csv"
    path.write_text(f"# comment\ninteraction_id,set_id,system,environment,place,added,parts\n{row}\n")
    with pytest.raises(RegistryError, match=sentence):
        load_interactions(path)


@pytest.mark.skipif(MIRROR is None, reason="needs the directory of DEFECT_ATLAS_MIRROR")
def test_the_152_listed_energies_of_segregation_are_met(tmp_path):
    folder = DataFolder(tmp_path)
    compositions, energies = {}, {}
    for dataset_id in ("zr-gb-castep", "zr-i-cs-gb-castep"):
        fetch_dataset(get_dataset(dataset_id), folder, Path(MIRROR))
        for one in read_configurations(folder.configurations(dataset_id)):
            energies[dataset_id, one.config_id] = one.energy
            compositions[dataset_id, one.config_id] = composition(one.numbers)
    with (Path(MIRROR) / "datasets" / "solute_defect_Zr_I_Cs.csv").open() as lines:
        listed = {row["code"]: float(row["E_segregation_eV"]) for row in csv.DictReader(lines)}
    found = {}
    for one in load_interactions():
        if one.set_id == "zr-i-cs":
            check_balance(one, compositions)
            found[one.interaction_id] = interaction_energy(one, energies)
    assert found == pytest.approx(listed, abs=5.1e-5)  # four decimals are listed
    assert len(found) == 152


# Queries and page

ENERGIES = {"vacancy-01": -27.0, "bulk-03": -32.0}  # of every host; eV
ALONE = -31.0
INTERACTION = {"Al-Mg": -0.4, "Al-Li": 0.1, "Cu-Al": -0.2, "Mo-W": 0.3, "Mo-Nb": -0.05}


def _own_cells(values: Mapping[str, float]) -> list[Configuration]:
    """Cells of our own set with energies that give these interaction energies; only compositions are real."""
    cells: dict[str, Configuration] = {}
    for one in load_interactions():
        if one.system not in values:
            continue
        host, solute = (atomic_numbers[symbol] for symbol in one.system.split("-"))
        beside, vacancy, alone, bulk = one.parts
        for part, numbers, energy in (
            (beside, [host] * 6 + [solute], values[one.system] + ENERGIES["vacancy-01"] + ALONE - ENERGIES["bulk-03"]),
            (vacancy, [host] * 7, ENERGIES["vacancy-01"]),
            (alone, [host] * 7 + [solute], ALONE),
            (bulk, [host] * 8, ENERGIES["bulk-03"]),
        ):
            positions = np.arange(3.0 * len(numbers)).reshape(-1, 3)
            cells[part.config_id] = Configuration(
                part.config_id, "solute", np.array(numbers), positions, 9.0 * np.eye(3), (True,) * 3, energy
            )
    return list(cells.values())


@pytest.fixture(scope="module")
def solute_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five interactions: `emt` has all, 0.1 eV too high; `chgnet-0.3.0` has those of Al and fails on W."""
    folder = tmp_path_factory.mktemp("solutes")
    builder = StoreBuilder(folder / "results-solutes.duckdb")
    builder.add_models(load_models().values())
    dataset = get_dataset("open-defects")
    cells = _own_cells(INTERACTION)
    builder.add_dataset(dataset, cells)
    for other in load_datasets().values():
        if other.dataset_id != dataset.dataset_id:
            builder.add_dataset(other, [], "not fetched")
    shifted = {c.config_id: c.energy for c in _own_cells({name: value + 0.1 for name, value in INTERACTION.items()})}
    predictions = {
        "emt": [_predicted(c, shifted[c.config_id] + 5.0 * c.n_atoms) for c in cells],
        "chgnet-0.3.0": [
            _predicted(c, None if 74 in c.numbers else c.energy) for c in cells if not c.config_id.startswith("cu")
        ],
    }
    for model_id in predictions:
        run = Run(f"run-{model_id}", model_id, dataset.dataset_id, "computed", "cpu", "", "", "", None, "", None, None)
        builder.add_runs([run])
    builder.add_results(
        dataset,
        cells,
        [Results(model_id, [(row, f"run-{model_id}") for row in rows]) for model_id, rows in predictions.items()],
    )
    builder.finish()
    publish(folder / "results-solutes.duckdb", folder / "results.duckdb")
    return folder


def _predicted(configuration: Configuration, energy: float | None) -> Prediction:
    key = (configuration.config_id, configuration.geometry_hash)
    return Prediction(*key, "failed", reason="no W") if energy is None else Prediction(*key, "ok", energy=energy)


@pytest.fixture
def solutes(solute_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(solute_folder))


@pytest.mark.usefixtures("solutes")
def test_reference_values_come_from_the_store():
    known = interactions.interactions("open-defects").set_index("system")
    here = known["reference_interaction"].dropna()
    assert here.to_dict() == pytest.approx(INTERACTION)
    assert known.loc["Na-K", "n_parts"] == 4
    assert interactions.interactions("zr-i-cs")["reference_interaction"].isna().all()


@pytest.mark.usefixtures("solutes")
def test_energies_of_models_on_complete_interactions():
    found = interactions.interaction_energies("open-defects")
    assert found.groupby("model_id").size().to_dict() == {"chgnet-0.3.0": 3, "emt": 5}
    emt = found[found["model_id"] == "emt"].set_index("system")
    assert emt["predicted_interaction"].to_dict() == pytest.approx({k: v + 0.1 for k, v in INTERACTION.items()})
    assert emt["interaction_error"].to_numpy() == pytest.approx(0.1)
    only = interactions.interaction_energies("open-defects", ("chgnet-0.3.0",), system="Mo-Nb")
    assert only["interaction_error"].to_numpy() == pytest.approx([0.0], abs=1e-12)


@pytest.mark.usefixtures("solutes")
def test_agreement_counts_interactions_and_failures():
    table = interactions.interaction_agreement("open-defects").set_index("model_id")
    emt = table.loc["emt"]
    assert emt[["n_interactions", "n_failed", "n_expected"]].tolist() == [
        5,
        0,
        len(interactions.interactions("open-defects")),
    ]
    assert emt["interaction_rmse"] == pytest.approx(0.1)
    assert emt["sign_agreement"] == pytest.approx(0.8)  # that of Mo-Nb differs
    assert emt["interaction_spearman"] == pytest.approx(1.0)
    assert table.loc["chgnet-0.3.0", ["n_own", "n_failed", "is_ranked"]].tolist() == [3, 1, False]


@pytest.mark.usefixtures("solutes")
def test_a_breakdown_has_a_row_per_system():
    table = interactions.interaction_breakdown("open-defects", ("emt",), environment="vacancy")
    assert table["system"].tolist() == sorted(INTERACTION)
    assert table["n_interactions"].eq(1).all()


def test_a_set_that_does_not_exist_is_refused(solutes):
    with pytest.raises(RegistryError, match="open-defects"):
        interactions.interactions("none")


def _page(**parameters: str) -> AppTest:
    at = AppTest.from_file(str(APP / "main.py"), default_timeout=60).run()
    at.selectbox(key="model").set_value(parameters.get("model", "emt")).run()
    at.switch_page("views/solutes.py").run()
    at.selectbox(key="set").set_value(parameters.get("set", "open-defects")).run()
    assert not at.exception, at.exception
    return at


def _text(at: AppTest) -> str:
    return " ".join(element.value for element in [*at.title, *at.markdown, *at.caption, *at.subheader])


@pytest.mark.usefixtures("solutes")
def test_the_page_shows_numbers_charts_and_tables():
    at = _page()
    numbers = {metric.label: metric.value for metric in at.metric}
    assert numbers["Interaction RMSE (meV)"] == "100"
    assert numbers["Interactions"] == "5"
    tables = [frame.value for frame in at.dataframe]
    models = next(table for table in tables if "n_of" in table.columns).set_index("label")
    assert models.loc["EMT (ASE)", "interaction_rmse"] == pytest.approx(100.0)
    assert models.loc["EMT (ASE)", "sign_agreement"] == pytest.approx(80.0)
    assert any("config_id" in table.columns for table in tables)


@pytest.mark.usefixtures("solutes")
def test_a_kind_of_interaction_can_be_chosen():
    at = _page()
    at.selectbox(key="system-open-defects").set_value("Cu-Al").run()
    assert not at.exception, at.exception
    assert {metric.label: metric.value for metric in at.metric}["Interactions"] == "1"
    at.selectbox(key="model").set_value("chgnet-0.3.0").run()
    assert "No interaction energies of CHGNet 0.3.0 here" in _text(at)
    assert "run --interactions --model chgnet-0.3.0 --dataset open-defects" in _text(at)


@pytest.mark.usefixtures("solutes")
def test_a_failed_part_is_said_and_not_asked_for_again():
    at = _page(model="chgnet-0.3.0")
    at.selectbox(key="system-open-defects").set_value("Mo-W").run()
    assert "failed on a part of 1 of them" in _text(at)


@pytest.mark.usefixtures("solutes")
def test_a_set_without_data_names_the_commands():
    at = _page(set="zr-i-cs")
    assert "fetch --dataset zr-gb-castep --dataset zr-i-cs-gb-castep" in _text(at)
    assert not at.metric


@pytest.mark.usefixtures("solutes")
@pytest.mark.parametrize("ink", [base.LIGHT, base.DARK], ids=lambda ink: ink.name)
@pytest.mark.parametrize("model_ids", [["emt"], ["emt", "chgnet-0.3.0"]], ids=len)
def test_figures_hold_every_point_and_the_colours_of_the_theme(ink, model_ids):
    table = interactions.interaction_energies("open-defects", tuple(model_ids))
    systems = sorted(INTERACTION)
    parity = interaction_plots.parity(table, model_ids, systems, ink, "Title", "Source")
    cancellation = interaction_plots.cancellation(table, model_ids, ink, "Title", "Source")
    for figure in (parity, cancellation):
        points = [trace for trace in figure.data if trace.mode == "markers"]
        assert sum(len(trace.x) for trace in points) == len(table)
        assert figure.layout.template.layout.paper_bgcolor == ink.background
        assert any(annotation.text == "Source" for annotation in figure.layout.annotations)
    names = [trace.name for trace in parity.data if trace.showlegend]
    assert sorted(names) == systems  # each once, however many panels
    y = np.concatenate([trace.y for trace in cancellation.data if trace.mode == "markers"])
    assert y.min() == interaction_plots.SMALLEST or y.min() == pytest.approx(100.0)


# The command that computes the parts


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    folder = DataFolder(tmp_path)
    cells = _own_cells({"Cu-Al": -0.2})
    other = Configuration("cu-other", "bulk", np.array([29]), np.zeros((1, 3)), 2.5 * np.eye(3), (True,) * 3, -1.0)
    write_configurations(folder.configurations("open-defects"), [*cells, other])
    return folder


def _planned(folder: DataFolder, monkeypatch: pytest.MonkeyPatch, *options: str) -> tuple[int, set[str]]:
    """Exit status of `run`, and ids of the configurations that it hands to workers; none is started."""
    planned: set[str] = set()

    def run(tasks, *arguments, **settings):
        planned.update(c.config_id for task in tasks for shard, _ in task.shards for c in shard.configurations)
        return commands.runner.Outcome(0, 0, 0, 0, 0.0, {})

    monkeypatch.setattr(commands.runner, "run", run)
    monkeypatch.setattr(commands, "why_not_runnable", lambda model, folder: "")
    monkeypatch.setattr(sys, "argv", ["precompute", "run", "--model", "emt", "--data", str(folder.root), *options])
    return command_line.main(), planned


@pytest.mark.skipif(not (FAMILIES / "emt.lock").is_file(), reason="needs the lock of the family emt")
def test_run_can_be_told_to_compute_only_the_parts(folder, monkeypatch):
    status, planned = _planned(folder, monkeypatch, "--interactions", "--dataset", "open-defects")
    assert status == 0
    assert planned == {f"cu-fcc-{name}" for name in ("solute-01", "solute-02", "vacancy-01", "bulk-03")}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--dataset", "open-defects", "--limit", "5"], "cannot go with --limit"),
        ([], "python -m precompute fetch --dataset zr-gb-castep"),
        (["--dataset", "w-g"], "hold no part of an interaction energy"),
    ],
    ids=["limit", "not fetched", "no parts"],
)
def test_what_cannot_be_computed_is_one_sentence(folder, monkeypatch, capsys, options, sentence):
    write_configurations(folder.configurations("w-g"), [])
    status, planned = _planned(folder, monkeypatch, "--interactions", *options)
    assert (status, planned) == (1, set())
    assert sentence in capsys.readouterr().err


@pytest.mark.usefixtures("solutes")
def test_models_trained_on_the_interactions_are_ranked_only_if_asked_for(monkeypatch):
    known = pd.DataFrame(
        {"model_id": ["emt"], "dataset_id": ["open-defects"], "is_seen": [True], "seen_reason": "Fit."}
    )
    monkeypatch.setattr(training, "seen", lambda scope: known)
    read = interactions.interaction_agreement.__wrapped__
    left_out = read("open-defects").set_index("model_id").loc["emt"]
    brought_in = read("open-defects", with_seen=True).set_index("model_id").loc["emt"]
    assert left_out[["is_seen", "seen_reason", "is_ranked", "n_interactions"]].tolist() == [True, "Fit.", False, 5]
    assert brought_in[["is_seen", "is_ranked"]].tolist() == [True, True]
