"""Defect energies in the store, its queries, the page and the command."""

import dataclasses
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from ase.data import atomic_numbers
from streamlit.testing.v1 import AppTest

from app.figures import base, reaction_plots
from engine.data_folder import DataFolder
from engine.queries import reactions
from engine.queries.scope import Scope
from engine.records import Configuration, Prediction, RunRecord, write_configurations
from engine.registry import label_convergence
from engine.registry.datasets import get_dataset, load_datasets
from engine.registry.models import FAMILIES, load_models
from engine.relaxed_vacancies import FORMATION, RelaxedVacancy
from engine.store.builder import StoreBuilder, publish
from engine.store.ranking import Comparable
from engine.store.rows import Results, Run
from precompute import __main__ as command_line
from precompute.jobs import runner
from precompute.jobs.reaction_tables import reaction_tables
from tests.app.opening import open_app, open_tables, table_with

APP = Path(__file__).resolve().parents[2] / "app"
MIRROR = os.environ.get("DEFECT_ATLAS_MIRROR")
OWN = Scope.of("open-defects")


ENERGIES = {"vacancy-01": -27.0, "bulk-03": -32.0}  # of every host; eV
ALONE = -31.0
BINDING = {"Al-Mg": -0.4, "Al-Li": 0.1, "Cu-Al": -0.2, "Mo-W": 0.3, "Mo-Nb": -0.05}
NAMES = {"Al-Mg": ("al-fcc", 2), "Al-Li": ("al-fcc", 4), "Cu-Al": ("cu-fcc", 2), "Mo-W": ("mo-bcc", 2),
         "Mo-Nb": ("mo-bcc", 4)}  # fmt: skip


def _own_cells(values: Mapping[str, float]) -> list[Configuration]:
    """Cells of our own set with energies that give these binding energies; only compositions are real."""
    cells: dict[str, Configuration] = {}
    for system, value in values.items():
        host, solute = (atomic_numbers[symbol] for symbol in system.split("-"))
        cell, number = NAMES[system]
        beside = value + ENERGIES["vacancy-01"] + ALONE - ENERGIES["bulk-03"]
        for name, numbers, energy in (
            (f"solute-{number:02d}", [host] * 6 + [solute], beside),
            ("vacancy-01", [host] * 7, ENERGIES["vacancy-01"]),
            (f"solute-{number - 1:02d}", [host] * 7 + [solute], ALONE),
            ("bulk-03", [host] * 8, ENERGIES["bulk-03"]),
        ):
            positions = np.arange(3.0 * len(numbers)).reshape(-1, 3)
            cells[f"{cell}-{name}"] = Configuration(
                f"{cell}-{name}", "solute", np.array(numbers), positions, 9.0 * np.eye(3), (True,) * 3, energy
            )
    return list(cells.values())


FAILED = ["label", "element", "structure", "quantity", "reason"]
RELAXED = [
    RelaxedVacancy("emt", "Al", "fcc", 32, FORMATION, "ok", energy=0.71, unrelaxed_energy=0.8, a=4.0),
    RelaxedVacancy("emt", "Cu", "fcc", 32, FORMATION, "ok", energy=1.17, unrelaxed_energy=1.3, a=3.6),
    RelaxedVacancy("emt", "Ni", "fcc", 32, FORMATION, "failed", "the vacancy did not converge in 100 steps"),
]


@pytest.fixture(scope="module")
def solute_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with five bindings: `emt` has all, 0.1 eV too high; `chgnet-0.3.0` has those of Al and fails on W.

    `nequix-omat-1` has what `emt` has and may not be ranked, since its labels are said to mean something else.
    """
    folder = tmp_path_factory.mktemp("solutes")
    builder = StoreBuilder(folder / "results-solutes.duckdb")
    builder.add_models(load_models().values())
    dataset = get_dataset("open-defects")
    cells = _own_cells(BINDING)
    builder.add_dataset(dataset, cells)
    for other in load_datasets().values():
        if other.dataset_id != dataset.dataset_id:
            builder.add_dataset(other, [], "not fetched")
    shifted = {c.config_id: c.energy for c in _own_cells({name: value + 0.1 for name, value in BINDING.items()})}
    predictions = {
        "emt": [_predicted(c, shifted[c.config_id] + 5.0 * c.n_atoms) for c in cells],
        "nequix-omat-1": [_predicted(c, shifted[c.config_id]) for c in cells],
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
    # As if Al's cells without foreign atoms alone had been computed on a denser mesh, whatever the labels are by now.
    labels = {
        name: label if name.startswith("al-") and "-solute-" not in name else dataclasses.replace(label, change=None)
        for name, label in label_convergence.load_labels().items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_convergence, "load_labels", lambda: labels)
        builder.add_reactions(Comparable(physics={("emt", "open-defects"), ("chgnet-0.3.0", "open-defects")}))
    builder.add_vacancies((row, RunRecord()) for row in RELAXED)
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
    found = reactions.reactions(OWN, "solute-vacancy").set_index("system")
    assert found["reference"].to_dict() == pytest.approx(BINDING)
    assert found["metals"].map(list).to_dict()["Mo-W"] == ["Mo"]
    assert list(found.loc["Cu-Al", "coefficients"]) == ["1", "-1", "-1", "1"]
    kinds = reactions.reaction_kinds().set_index("kind")
    assert kinds.loc["solute-vacancy", ["n_reactions", "n_metals", "n_models"]].tolist() == [5, 3, 3]
    assert kinds.loc["vacancy", "n_reactions"] == 3


@pytest.mark.usefixtures("solutes")
def test_energies_of_models_on_complete_reactions():
    found = reactions.reaction_errors(OWN, ("emt", "chgnet-0.3.0"), "solute-vacancy")
    assert found.groupby("model_id").size().to_dict() == {"chgnet-0.3.0": 3, "emt": 5}
    emt = found[found["model_id"] == "emt"].set_index("system")
    assert emt["prediction"].to_dict() == pytest.approx({k: v + 0.1 for k, v in BINDING.items()})
    assert emt["error"].to_numpy() == pytest.approx(0.1)
    assert emt["error_mev"].to_numpy() == pytest.approx(100.0)
    assert [sum(errors) for errors in emt["part_errors"]] == pytest.approx([100.0] * 5)


@pytest.mark.usefixtures("solutes")
def test_metrics_count_reactions_and_failures_and_say_who_has_no_rank():
    table = reactions.reaction_metrics(OWN, "solute-vacancy", "all").set_index("model_id")
    emt = table.loc["emt"]
    assert emt[["n_reactions", "n_failed", "n_expected", "rank"]].tolist() == [5, 0, 5, 1]
    assert emt["rmse"] == pytest.approx(0.1)
    assert emt["sign_agreement"] == pytest.approx(0.8)  # that of Mo-Nb differs
    assert table.loc["chgnet-0.3.0", ["n_own", "n_failed", "cause"]].tolist() == [3, 1, "share"]
    assert table.loc["nequix-omat-1", "cause"] == "level"


@pytest.mark.usefixtures("solutes")
def test_labels_not_shown_to_be_converged_are_out_of_ranks():
    # Of these cells the vacancy of Al alone is shown to be converged.
    shown = reactions.reaction_metrics(OWN, "vacancy").set_index("model_id")
    assert shown.loc["emt", ["n_reactions", "n_expected"]].tolist() == [1, 1]
    assert reactions.reaction_metrics(OWN, "vacancy", "all").set_index("model_id").loc["emt", "n_reactions"] == 3
    assert reactions.reaction_metrics(OWN, "solute-vacancy").empty


@pytest.mark.usefixtures("solutes")
def test_a_metal_has_the_mean_of_its_errors():
    table = reactions.metal_errors(OWN, "solute-vacancy", "chgnet-0.3.0").set_index("element")
    assert table.loc["Al", ["n_own", "n_reactions"]].tolist() == [2, 2]
    assert table.loc["Al", "reference"] == pytest.approx(-0.15)  # (-0.4 + 0.1) / 2
    assert table.loc["Mo", ["n_own", "n_reactions"]].tolist() == [1, 2]
    assert np.isnan(table.loc["Cu", "error"])


@pytest.mark.usefixtures("solutes")
def test_the_command_prints_what_the_page_shows():
    lines = list(reaction_tables("solute-vacancy", ["open-defects"], (), "all"))
    assert any(line.startswith("| EMT (ASE) | 1 | 5 of 5 | 0 | 0.1000 |") for line in lines)
    one = list(reaction_tables("solute-vacancy", ["open-defects"], ("emt",)))
    assert any("| Mo-W | nearest neighbour | emt | 0.3000 | 0.4000 | 0.1000 |" in line for line in one)
    metals = list(reaction_tables("solute-vacancy", [], ("emt",)))
    assert "| Al | 2 of 2 | 0 | -0.1500 | 0.1000 |" in metals


def _page(view: str = "defect_energies", drawer: str = "", **choices: str) -> AppTest:
    at = AppTest.from_file(str(APP / "main.py"), default_timeout=60).run()
    at.selectbox(key="model").set_value(choices.pop("model", "emt")).run()
    at.switch_page(f"views/{view}.py").run()
    for key, value in choices.items():
        at.selectbox(key=key).set_value(value).run()
    if drawer:
        at.session_state[drawer] = True
        at.run()
    assert not at.exception, at.exception
    return at


def _text(at: AppTest) -> str:
    return " ".join(element.value for element in [*at.title, *at.markdown, *at.caption, *at.subheader])


@pytest.mark.usefixtures("solutes")
def test_the_page_shows_numbers_charts_and_tables():
    at = _page(kind="solute-vacancy")
    numbers = {metric.label: metric.value for metric in at.metric}
    assert numbers["RMSE (eV)"] == "0.100"
    assert numbers["Defect energies"] == "5"
    assert "none of the 5 labels is shown to be converged, so no model is ranked" in _text(at)
    models = next(frame.value for frame in at.dataframe if "ranks" in frame.value.columns).set_index("head")
    assert models.loc["EMT (ASE)", "ranks"] == "–"
    at.toggle(key="unconverged").set_value(True).run()
    models = next(frame.value for frame in at.dataframe if "ranks" in frame.value.columns).set_index("head")
    assert models.loc["EMT (ASE)", "ranks"] == "1"


@pytest.mark.usefixtures("solutes")
def test_the_page_opens_on_vacancies_beside_published_ones():
    at = _page(drawer="published")
    assert "Beside our small unrelaxed cells" in _text(at)
    published = table_with(at, "our DFT, unrelaxed")
    here = published[(published["element"] == "Al") & (published["structure"] == "fcc")]
    assert here[["published", "migration"]].to_numpy().tolist() == [[0.61, 0.58]]
    assert here["our DFT, unrelaxed"].tolist() == [1.0]  # -27 + 7/8 x 32


@pytest.mark.usefixtures("solutes")
def test_relaxed_vacancies_stand_beside_published_ones_with_errors_and_failures():
    at = _page(drawer="published")
    models = next(frame.value for frame in at.dataframe if "mae_shared" in frame.value.columns).set_index("label")
    emt = models.loc["EMT (ASE)"]
    assert (emt["n"], emt["n_failed"], emt["mae"]) == (2, 1, 0.1)  # 0.61 and 1.07 are published
    failed = next(frame.value for frame in open_tables(at).dataframe if list(frame.value.columns) == FAILED)
    assert failed["reason"].tolist() == ["the vacancy did not converge in 100 steps"]
    at.segmented_control(key="vacancy").set_value("migration").run()
    assert "No migration energy relaxed by a model" in _text(at)


@pytest.mark.usefixtures("solutes")
@pytest.mark.parametrize("name", ["kind", "of", "unconverged", "vacancy"])
def test_a_wrong_value_of_a_choice_is_named(name):
    assert f"{name}=nonsense" in _text(open_app("views/defect_energies.py", **{name: "nonsense"}))


@pytest.mark.usefixtures("solutes")
def test_the_address_holds_the_reference():
    at = open_app("views/defect_energies.py", kind="solute-vacancy", of="open-defects")
    assert not at.exception, at.exception
    assert at.selectbox(key="of").value == "open-defects"


@pytest.mark.usefixtures("solutes")
def test_the_old_address_of_solutes_leads_to_a_kind_that_is_here():
    at = _page("solutes")
    assert at.title[0].value == "Defect energies"
    assert at.selectbox(key="kind").value == "solute-vacancy"


@pytest.mark.usefixtures("solutes")
@pytest.mark.parametrize("ink", [base.LIGHT, base.DARK], ids=lambda ink: ink.name)
@pytest.mark.parametrize("model_ids", [("emt",), ("emt", "chgnet-0.3.0")], ids=len)
def test_figures_hold_every_point_and_the_colours_of_the_theme(ink, model_ids):
    table = reactions.reaction_errors(OWN, model_ids, "solute-vacancy")
    parity = reaction_plots.parity(table, {"solute-vacancy": "Binding (eV)"}, ink, "Title", "Source")
    cancellation = reaction_plots.cancellation(table, ink, "Title", "Source")
    for figure in (parity, cancellation):
        points = [trace for trace in figure.data if trace.mode == "markers"]
        assert sum(len(trace.x) for trace in points) == len(table)
        assert figure.layout.template.layout.paper_bgcolor == ink.background
        assert any(annotation.text == "Source" for annotation in figure.layout.annotations)
        assert all(symbol.endswith("-open") for trace in points for symbol in trace.marker.symbol)
    metals = reaction_plots.metals(
        reactions.metal_errors(OWN, "solute-vacancy", "emt"), "eV", 0.5, ink, "Title", "Source", selected="Al"
    )
    assert "<b>Al</b><br>+0.10" in metals.data[0].text


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
        return runner.Outcome(0, 0, 0, 0, 0.0, {})

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(runner, "why_not_runnable", lambda model, folder: "")
    monkeypatch.setattr(sys, "argv", ["precompute", "run", "--model", "emt", "--data", str(folder.root), *options])
    return command_line.main(), planned


@pytest.mark.skipif(not (FAMILIES / "emt.lock").is_file(), reason="needs the lock of the family emt")
def test_run_can_be_told_to_compute_only_the_parts(folder, monkeypatch):
    status, planned = _planned(folder, monkeypatch, "--reactions", "--dataset", "open-defects")
    assert status == 0
    assert planned == {f"cu-fcc-{name}" for name in ("solute-01", "solute-02", "vacancy-01", "bulk-03")}


@pytest.mark.skipif(not (FAMILIES / "emt.lock").is_file(), reason="needs the lock of the family emt")
def test_run_can_be_told_to_compute_only_some_groups(folder, monkeypatch, capsys):
    chosen = ("--dataset", "open-defects", "--group")
    assert _planned(folder, monkeypatch, *chosen, "bulk") == (0, {"cu-other"})
    assert len(_planned(folder, monkeypatch, *chosen, "solute", "--limit", "1")[1]) == 1
    assert _planned(folder, monkeypatch, *chosen, "gb") == (1, set())
    assert "None of these datasets has a group named gb" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--dataset", "open-defects", "--limit", "5"], "cannot go with --limit"),
        (["--dataset", "w-g"], "hold no part of a defect energy"),
    ],
    ids=["limit", "no parts"],
)
def test_what_cannot_be_computed_is_one_sentence(folder, monkeypatch, capsys, options, sentence):
    write_configurations(folder.configurations("w-g"), [])
    status, planned = _planned(folder, monkeypatch, "--reactions", *options)
    assert (status, planned) == (1, set())
    assert sentence in capsys.readouterr().err
