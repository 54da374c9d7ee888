"""Small results stores, shared by the tests of queries, charts and pages.

In one, reference and predictions come from ASE's effective medium theory under two parametrizations and from a Morse
potential, on cells of Al, Cu and Fe. EMT has no iron, so its failures are real too. In the other, made by hand, models
have results for different parts of a dataset.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential

from engine.data_folder import DataFolder
from engine.records import Configuration, Prediction
from engine.registry.datasets import Dataset, SeenBy, load_datasets
from engine.registry.ensembles import Ensemble
from engine.registry.levels_of_theory import LevelOfTheory
from engine.registry.models import Model, load_models
from engine.shards import sample
from engine.store.builder import StoreBuilder, publish
from engine.store.ranking import Comparable
from engine.store.rows import Cost, Results, Run
from engine.store.summary import read_summary, summary_of, write_summary
from precompute.jobs.describe import PER_GROUP, describe


def _cells() -> Iterator[tuple[str, str, Atoms]]:
    """Name, group, atoms: rattled crystals, vacancies, a dimer outside the dataset, two cells of iron."""
    for symbol in ("Al", "Cu"):
        for k in range(12):
            atoms = bulk(symbol, cubic=True).repeat(2)
            atoms.rattle(0.02 + 0.01 * k, seed=k)
            if k % 3 == 0:
                del atoms[k]
            yield f"{symbol.lower()}-{k:02d}", "vacancy" if k % 3 == 0 else "rattled", atoms
    dimer = Atoms("Cu2", [(0, 0, 0), (0, 0, 2.0)], cell=[12, 12, 12], pbc=True)
    yield "cu-dimer", "dimer", dimer
    for k in range(2):
        atoms = bulk("Fe", cubic=True).repeat(2)
        atoms.rattle(0.05, seed=k)
        yield f"fe-{k:02d}", "rattled", atoms


def _labels(atoms: Atoms, calculator: Calculator) -> tuple[float, np.ndarray]:
    atoms = atoms.copy()
    atoms.calc = calculator
    return float(atoms.get_potential_energy()), atoms.get_forces()


def _morse() -> Calculator:
    return MorsePotential(epsilon=0.34, r0=2.87, rho0=4.0, rcut1=3.5, rcut2=4.5)


def _configuration(name: str, group: str, atoms: Atoms) -> Configuration:
    calculator = _morse() if "Fe" in atoms.get_chemical_symbols() else EMT(asap_cutoff=True)
    energy, forces = _labels(atoms, calculator)
    pbc = (True, True, True)
    return Configuration(name, group, atoms.numbers, atoms.positions, np.array(atoms.cell), pbc, energy, forces)


def _prediction(configuration: Configuration, calculator: Calculator) -> Prediction:
    atoms = Atoms(configuration.numbers, configuration.positions, cell=configuration.cell, pbc=configuration.pbc)
    key = (configuration.config_id, configuration.geometry_hash)
    try:
        energy, forces = _labels(atoms, calculator)
    except NotImplementedError as error:
        return Prediction(*key, "failed", reason=str(error))
    return Prediction(*key, "ok", energy=energy, forces=forces, wall_seconds=0.01)


LEVEL = LevelOfTheory("emt", "none", "own", code="ASE", potentials="none")


def _model(model_id: str, label: str, training_sets: tuple[str, ...] = ()) -> Model:
    return Model(
        model_id,
        label,
        "emt",
        (),
        training_sets,
        "LGPL-2.1",
        "https://ase-lib.org",
        LEVEL,
        True,
    )


def _dataset(dataset_id: str, label: str, elements: tuple[str, ...]) -> Dataset:
    return Dataset(
        dataset_id, label, "Small cells", elements, LEVEL, False, "", "MIT",
        "Jacobsen et al., Surf. Sci. 366, 394 (1996)", "https://ase-lib.org", groups_outside=("dimer",),
    )  # fmt: skip


def _run(model_id: str, dataset_id: str, origin: str) -> Run:
    source = "a colleague" if origin == "imported" else ""
    return Run(
        f"run-{model_id}-{dataset_id}", model_id, dataset_id, origin, "cpu", "test machine", "ase", "", None,
        source, 1.0, 1, "float64", "no", '{"asap": true}' if origin == "computed" else "",
    )  # fmt: skip


def build_store(folder: Path, name: str = "results-test.duckdb") -> Path:
    """Write a store with two datasets and two models into a folder and publish it there."""
    models = [_model("emt", "EMT"), _model("morse", "Morse", ("mptrj",))]
    calculators = {"emt": EMT, "morse": _morse}
    cells = [_configuration(*cell) for cell in _cells()]
    datasets = {
        "al-cu": [c for c in cells if not c.config_id.startswith("fe")],
        "fe": [c for c in cells if c.config_id.startswith("fe")],
    }
    builder = StoreBuilder(folder / name, "0123456789abcdef")
    builder.add_models([*models, *(m for m in load_models().values() if m.model_id != "emt")])
    ensemble = Ensemble("emt-morse", "EMT and Morse", ("emt", "morse"), "raw", "for tests")
    for dataset_id, configurations in datasets.items():
        dataset = _dataset(dataset_id, dataset_id.title(), ("Al", "Cu") if dataset_id == "al-cu" else ("Fe",))
        if dataset_id == "al-cu":
            dataset = dataclasses.replace(dataset, energy_noise=0.004, force_noise=0.02, noise_note="Made up.")
        builder.add_dataset(dataset, configurations)
        results = []
        for model in models:
            origin = "imported" if model.model_id == "morse" else "computed"
            run = _run(model.model_id, dataset_id, origin)
            builder.add_runs([run])
            rows = [(_prediction(c, calculators[model.model_id]()), run.run_id) for c in configurations]
            results.append(Results(model.model_id, rows))
        builder.add_results(dataset, configurations, results, [ensemble] if dataset_id == "al-cu" else [])
        found = describe(dataset_id, configurations, DataFolder(folder))
        builder.add_environments(dataset, configurations, found, "SOAP for tests", PER_GROUP)
    builder.add_novelty()
    for dataset in load_datasets().values():
        builder.add_dataset(dataset, [], dataset.not_available or "not fetched")
    builder.add_costs(
        Cost(model, "cpu", "test machine", 1, 32, 1, us * 32e-3, us, 100.0, "computed", "2026-01-01 00:00:00")
        for model, us in (("emt", 10.0), ("morse", 40.0))
    )
    builder.finish()
    publish(folder / name, folder / "results.duckdb")
    return folder


def build_sampled_store(folder: Path) -> Path:
    """Write a store whose numbers can be worked out by head: 120 cells of one atom and five models.

    `full` did all cells, 100 of them with an error of 0.1 eV and 0.1 eV/Å per component and the other 20 with 0.5;
    `sample` did those 100 with 0.2; `few` did ten of them with 0.01; `fragile` failed on 30 of 120;
    `trained` did 95 of the 100 with 0.05, and was trained on them.
    """
    cells = [
        Configuration(
            f"c-{k:03d}", "bulk", np.array([74 if k % 2 else 42]), np.zeros((1, 3)), 3.0 * np.eye(3), (True,) * 3,
            energy=0.0, forces=np.ones((1, 3)),
        )
        for k in range(120)
    ]  # fmt: skip
    drawn = sample(cells, 100)
    inside = {c.config_id for c in drawn}
    errors = {
        "full": {c.config_id: 0.1 if c.config_id in inside else 0.5 for c in cells},
        "sample": dict.fromkeys(inside, 0.2),
        "few": {c.config_id: 0.01 for c in sample(cells, 10)},
        "fragile": {c.config_id: None if k < 30 else 0.0 for k, c in enumerate(cells)},
        "trained": {c.config_id: 0.05 for c in sample(cells, 95)},
    }
    labels = {"full": "Full", "sample": "Sample", "few": "Few", "fragile": "Fragile"}
    builder = StoreBuilder(folder / "results-sampled.duckdb")
    absent = dataclasses.replace(_model("absent", "Absent"), not_runnable="No weights: ask their owner.", paper_row=7)
    trained = _model("trained", "Trained", ("snap-mo",))
    builder.add_models([*(_model(*pair, ("mptrj",)) for pair in labels.items()), trained, absent])
    dataset = dataclasses.replace(
        _dataset("hand", "By hand", ("Mo", "W")),
        seen_by=(SeenBy("snap-mo", "certain", "Fitted to it."),),
        leakage_note="Full was trained on it.",
    )
    builder.add_dataset(dataset, cells)
    builder.add_dataset(_dataset("none", "Not here", ("W",)), [], "not fetched")
    results = []
    for model_id, found in errors.items():
        run = _run(model_id, "hand", "computed")
        builder.add_runs([run])
        rows = [(_shifted(c, found[c.config_id]), run.run_id) for c in cells if c.config_id in found]
        results.append(Results(model_id, rows))
    ensembles = [
        Ensemble("trained-full", "Trained and Full", ("trained", "full"), "raw", "for tests"),
        Ensemble("sample-full", "Sample and Full", ("sample", "full"), "raw", "for tests"),
    ]
    builder.add_results(dataset, cells, results, ensembles)
    builder.add_costs(
        Cost(model, "cpu", "test machine", 1, 32, 1, us * 32e-3, us, 100.0, "computed", "2026-01-01 00:00:00")
        for model, us in (("full", 10.0), ("sample", 40.0), ("few", 20.0), ("trained", 5.0))
    )
    builder.finish()
    publish(folder / "results-sampled.duckdb", folder / "results.duckdb")
    return folder


def _shifted(configuration: Configuration, error: float | None) -> Prediction:
    """A prediction that is off by that many eV and eV/Å; failed without a number."""
    key = (configuration.config_id, configuration.geometry_hash)
    if error is None:
        return Prediction(*key, "failed", reason="no edge")
    return Prediction(*key, "ok", energy=error, forces=configuration.forces + error, wall_seconds=0.01)


@pytest.fixture(scope="session")
def sampled_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose models have results for different parts of a dataset, to read only."""
    return build_sampled_store(tmp_path_factory.mktemp("sampled"))


@pytest.fixture
def sampled_store(sampled_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store of samples, as the data folder that queries and app use."""
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(sampled_folder))
    return sampled_folder


def build_crystal_store(folder: Path) -> Path:
    """Write a store with a perfect crystal of W, eight vacancy cells and a dataset without crystals.

    On the crystal `near`, `nearly` and `far` are off by 0.1 eV, on the vacancies by 0.1 ± 0.01, 0.1 ∓ 0.01 and 0.4;
    their forces by 0.1, 0.1 and 0.4 eV/Å. The dataset without crystals is one configuration of Mo and one of W.
    """
    pure = np.array([74])
    crystal = Configuration("c", "bulk", pure, np.zeros((1, 3)), 3.0 * np.eye(3), (True,) * 3, -13.0, np.ones((1, 3)))
    vacancies = [
        dataclasses.replace(crystal, config_id=f"v-{k}", group_name="vacancy", cell=(4.0 + k) * np.eye(3), energy=-12.0)
        for k in range(8)
    ]
    sets = {"formation": [crystal, *vacancies], "plain": [crystal, dataclasses.replace(crystal, config_id="m",
            numbers=np.array([42]))]}  # fmt: skip
    shifts = {"near": (0.1, 0.01), "nearly": (0.1, -0.01), "far": (0.4, 0.0)}
    builder = StoreBuilder(folder / "results-crystal.duckdb")
    builder.add_models(_model(model_id, model_id.title()) for model_id in shifts)
    for dataset_id, cells in sets.items():
        dataset = dataclasses.replace(_dataset(dataset_id, dataset_id.title(), ("Mo", "W")), crystal_groups=("bulk",))
        if dataset_id == "plain":
            dataset = dataclasses.replace(dataset, crystal_groups=())
        builder.add_dataset(dataset, cells)
        results = []
        for model_id, (shift, swing) in shifts.items():
            run = _run(model_id, dataset_id, "computed")
            builder.add_runs([run])
            errors = [0.1 if c.group_name == "bulk" else shift + swing * (-1) ** k for k, c in enumerate(cells)]
            rows = [(_off(c, e, shift), run.run_id) for c, e in zip(cells, errors, strict=True)]
            results.append(Results(model_id, rows))
        builder.add_results(dataset, cells, results)
    builder.add_costs(
        Cost(model, "cpu", "test machine", 1, 32, 1, 1.0, us, 100.0, "computed", "2026-01-01 00:00:00")
        for model, us in (("near", 10.0), ("nearly", 20.0), ("far", 5.0))
    )
    builder.finish()
    publish(folder / "results-crystal.duckdb", folder / "results.duckdb")
    return folder


def _off(configuration: Configuration, energy: float, force: float) -> Prediction:
    """A prediction that is off by that many eV and eV/Å."""
    assert configuration.energy is not None and configuration.forces is not None
    key = (configuration.config_id, configuration.geometry_hash)
    return Prediction(*key, "ok", energy=configuration.energy + energy, forces=configuration.forces + force)


@pytest.fixture(scope="session")
def crystal_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a dataset that has a perfect crystal, to read only."""
    return build_crystal_store(tmp_path_factory.mktemp("crystal"))


@pytest.fixture
def crystal_store(crystal_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store with a crystal, as the data folder that queries and app use."""
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(crystal_folder))
    return crystal_folder


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a small published store, to read only."""
    return build_store(tmp_path_factory.mktemp("data"))


@pytest.fixture
def store(store_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small store, as the data folder that queries and app use."""
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(store_folder))
    return store_folder


def build_summary_store(folder: Path, whole: Path) -> Path:
    """Write a store that has the dataset of the small one from its summary, and publish it in a folder."""
    write_summary(folder / "al-cu", summary_of(whole / "results.duckdb", "al-cu"))
    builder = StoreBuilder(folder / "results-summary.duckdb")
    builder.add_models([_model("emt", "EMT"), _model("morse", "Morse", ("mptrj",))])
    builder.add_summary(_dataset("al-cu", "Al-Cu", ("Al", "Cu")), read_summary(folder / "al-cu"), "Fetch its atoms.")
    builder.finish()
    publish(folder / "results-summary.duckdb", folder / "results.duckdb")
    return folder


@pytest.fixture
def summary_store(store_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small store's dataset without its atoms, as the data folder that queries and app use."""
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    return build_summary_store(tmp_path, store_folder)


def build_evidence_store(folder: Path) -> Path:
    """Write a store whose intervals can be worked out by head: grain boundaries of W and Mo, each a cluster of its own.

    On the twenty of W, `first` is off by 0.01, 0.02, ... 0.20 eV/Å per component, `second` by twice and `third` by
    three times as much; on the twelve of Mo all three by 0.1 on ten, and by 0.5 on two. The 24 screw dislocations of W
    lie in two cells: there `third` is off by 0.1, all others by 0.2. Energies are off by nothing.
    `direct` is as good as `second` but has no energy behind its forces; `trained` was trained on those of W, `r2scan`
    has labels of another functional, and `molybdenum` knows Mo alone.
    """
    pure, box = np.array([74]), (True,) * 3
    grain = Configuration("w-00", "gb", pure, np.zeros((1, 3)), 3.0 * np.eye(3), box, -1.0, np.ones((1, 3)))
    tungsten = [dataclasses.replace(grain, config_id=f"w-{k:02d}", cell=(3.0 + k) * np.eye(3)) for k in range(20)]
    other = [dataclasses.replace(c, config_id=f"mo-{k:02d}", numbers=np.array([42]))
             for k, c in enumerate(tungsten[:12])]  # fmt: skip
    screw = dataclasses.replace(grain, group_name="screw")
    tungsten += [dataclasses.replace(screw, config_id=f"x-{k:02d}", cell=(50.0 + 9 * (k % 2)) * np.eye(3))
                 for k in range(24)]  # fmt: skip
    models = {
        "first": 1, "second": 2, "third": 3, "direct": 2, "trained": 1, "r2scan": 1, "molybdenum": 1,
    }  # fmt: skip
    changes = {
        "direct": {"conservative": False, "license": "ASL"}, "trained": {"training_sets": ("snap-mo",)},
        "molybdenum": {"elements": ("Mo",)},
    }  # fmt: skip
    builder = StoreBuilder(folder / "results-evidence.duckdb")
    builder.add_models(dataclasses.replace(_model(m, m.title()), **changes.get(m, {})) for m in models)
    for dataset_id, cells in {"w-gb": tungsten, "mo-gb": other}.items():
        dataset = _dataset(dataset_id, dataset_id.title(), ("Mo", "W"))
        if dataset_id == "w-gb":
            dataset = dataclasses.replace(dataset, seen_by=(SeenBy("snap-mo", "certain", "Fitted to it."),))
        builder.add_dataset(dataset, cells)
        results = []
        for model_id, factor in models.items():
            if model_id == "molybdenum" and dataset_id == "w-gb":
                continue
            run = _run(model_id, dataset_id, "computed")
            builder.add_runs([run])
            errors = [0.1] * 10 + [0.5] * 2
            if dataset_id == "w-gb":
                screws = [0.1 if model_id == "third" else 0.2] * 24
                errors = [factor * 0.01 * (k + 1) for k in range(20)] + screws
            rows = [(_off(c, 0.0, e), run.run_id) for c, e in zip(cells, errors, strict=True)]
            results.append(Results(model_id, rows))
        same = Comparable(physics={(m, dataset_id) for m in models if m != "r2scan"})
        builder.add_results(dataset, cells, results, comparable=same)
    builder.add_costs(
        Cost(model, "cpu", "test machine", 1, n, 1, ms, 1e3 * ms / n, memory, "computed", "2026-01-01 00:00:00")
        for model, n, ms, memory in (
            ("first", 100, 50.0, 300.0), ("first", 200, 120.0, 500.0), ("second", 100, 1.0, 90.0)
        )
    )  # fmt: skip
    builder.finish()
    publish(folder / "results-evidence.duckdb", folder / "results.duckdb")
    return folder


@pytest.fixture(scope="session")
def evidence_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with evidence on W and Mo, to read only."""
    return build_evidence_store(tmp_path_factory.mktemp("evidence"))


@pytest.fixture
def evidence_store(evidence_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store with evidence on W and Mo, as the data folder that queries and app use."""
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(evidence_folder))
    return evidence_folder
