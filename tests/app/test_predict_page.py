"""The Predict page with real EMT workers: defaults, results by task, the job that survives, and what is refused."""

import dataclasses
import io
import time
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import read, write
from ase.optimize import FIRE
from streamlit.testing.v1 import AppTest

from app.live import predictor
from app.sections import calculation_choice, expected_errors, flagged_atoms, live_progress
from app.structures import files
from engine.data_folder import DataFolder
from engine.numerics.novelty import Flag
from engine.queries.intervals import ELSEWHERE, NO_EVIDENCE, SAME_KIND, Expected
from engine.records import Configuration
from engine.registry.models import get_model
from engine.relaxations import RelaxationOptions
from engine.volume_scans import VolumeScan
from precompute.live.calculations import EQUATION_OF_STATE, RELAX, SINGLE_POINT, Calculation
from precompute.live.tasks import DONE, QUEUED, RUNNING, TaskState
from precompute.workers import worker_envs
from precompute.workers.evaluation import Evaluator
from precompute.workers.relaxation import relax
from tests.app.opening import table_with

ROOT = Path(__file__).resolve().parents[2]
BUILT = DataFolder.default().root / "worker_envs"
WAIT_SECONDS = 90.0


@pytest.fixture
def store(store_folder, tmp_path, monkeypatch):
    """The small store beside the worker environments of this machine."""
    if not worker_envs.is_built("emt", BUILT.parent):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    (tmp_path / "results.duckdb").symlink_to((store_folder / "results.duckdb").resolve())
    (tmp_path / "worker_envs").symlink_to(BUILT.resolve())
    monkeypatch.setenv("DEFECT_ATLAS_DATA", str(tmp_path))
    for kept in (predictor, st.cache_data):  # pages remember for a minute which models run, whatever the data folder
        kept.clear()
    yield tmp_path
    for kept in (predictor, st.cache_data):
        kept.clear()


def opened(**address: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app" / "main.py"), default_timeout=90).run()
    for key, value in address.items():
        at.query_params[key] = value
    return at.switch_page("views/predict.py").run()


def given(at: AppTest, atoms, key: str = "upload", name: str = "cu-vacancy.xyz") -> AppTest:
    content = io.StringIO()
    write(content, atoms, format="extxyz")
    return at.file_uploader(key=key).set_value((name, content.getvalue().encode(), "text/plain")).run()


def predicted(at: AppTest) -> AppTest:
    """The page after Predict was pressed and the job has ended."""
    at.multiselect[0].set_value(["emt"]).run()
    at.button(key="predict").click().run()
    job = job_of(at)
    deadline = time.monotonic() + WAIT_SECONDS
    while predictor().job(job).is_open:
        assert time.monotonic() < deadline, predictor().tasks(job)
        time.sleep(0.05)
    at.run()
    assert not at.exception, at.exception
    return at


def job_of(at: AppTest) -> str:
    """The job of the address; AppTest gives a text or a list of them."""
    found = at.query_params["job"]
    return found if isinstance(found, str) else found[0]


def text(at: AppTest) -> str:
    return " ".join(element.value for element in [*at.markdown, *at.caption, *at.error, *at.warning]).replace("\\", "")


def table(at: AppTest, column: str):
    return table_with(at, column)


def vacancy():
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    del atoms[3]
    return atoms


def test_the_page_begins_with_a_model_that_knows_the_elements_and_says_its_error(store):
    at = given(opened(), vacancy())
    # Two models that learnt PBE go before one with an error here that did not; without such models it is the first.
    first = at.multiselect[0].value
    assert first[0] == "emt" or all(get_model(one).level.functional == "PBE" for one in first[:2])
    at.multiselect[0].set_value(["emt"]).run()
    assert next(box.value for box in at.selectbox if box.label == "Kind of structure") == "vacancy"
    assert "EMT (ASE): " in text(at).replace("**", "")
    assert "meV/Å on 4 configurations (vacancy, of Cu alone; Al-Cu)" in text(at)


def test_elements_that_no_model_here_knows_cannot_be_predicted(store):
    at = given(opened(), bulk("Xe", "fcc", a=6.1), name="xe.xyz")
    assert at.multiselect[0].options == [] or "EMT (ASE)" not in at.multiselect[0].options
    assert "does not know Xe" in " ".join(table(at, "Reason")["Reason"])


def test_a_single_point_says_what_error_to_expect_and_shows_near_environments(store):
    at = predicted(given(opened(), vacancy()))
    assert "expect" in text(at)
    assert "meV/Å here, 90 % of atoms" in text(at)
    assert len(table(at, "distance")) == 5


def test_the_last_job_is_there_when_the_visitor_comes_back(store):
    at = predicted(given(opened(), vacancy()))
    job = job_of(at)
    at.switch_page("views/about.py").run()
    at.query_params.clear()
    at.switch_page("views/predict.py").run()
    assert job_of(at) == job
    assert "meV/Å here, 90 % of atoms" in text(at)
    other = opened()
    assert "job" not in other.query_params


def test_a_link_to_a_job_shows_what_it_is_of_beside_the_choices_that_made_it(store):
    atoms = vacancy()
    cell = Configuration("from-afar", "g", atoms.numbers, atoms.positions.copy(), np.array(atoms.cell), (True,) * 3)
    asked = Calculation(RELAX, RelaxationOptions(fmax=0.04, steps=7, optimizer="bfgs"))
    job = predictor().submit("somebody", cell, ["emt"], asked)
    deadline = time.monotonic() + WAIT_SECONDS
    while predictor().job(job).is_open:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    at = opened(job=job)
    assert not at.exception, at.exception
    assert "Relaxation of **from-afar** (Cu31) by EMT (ASE)" in text(at)
    assert "Result" in [one.value for one in at.subheader]
    assert at.multiselect[0].value == ["emt"]
    values = {box.label: box.value for box in at.number_input}
    assert (values["Largest force (eV/Å)"], values["Steps at most"]) == (0.04, 7)
    # What the address says itself counts, so that a link can ask for something else of the same structure.
    other = opened(job=job, task="single_point")
    assert not [box.label for box in other.number_input]


def test_a_predicted_structure_goes_into_the_report_with_the_error_to_expect(store):
    at = predicted(given(opened(), vacancy()))
    at.button(key="report-predict").click().run()
    [item] = at.session_state["basket"]
    assert "Error to expect: EMT (ASE): expect" in item.caption
    assert "Structure: cu-vacancy.xyz." in item.caption  # it is no reference
    assert item.models == ("emt",)
    header = next(line for line in item.csv.splitlines() if not line.startswith("#"))
    assert header == "atom,element,x_ang,y_ang,z_ang,mean_force_ev_per_ang"
    forces = read(io.StringIO(item.structure), format="extxyz").arrays["forces_emt"]
    assert len(forces) == 31
    assert f"job={job_of(at)}" in item.address


def test_a_relaxed_vacancy_has_its_energy_above_the_crystal(store):
    perfect, atoms = bulk("Cu", cubic=True), vacancy()
    at = given(opened(task="relax", fmax="0.02"), atoms)
    at = predicted(given(at, perfect, "crystal", "cu.xyz"))
    for one in (atoms, perfect):
        one.calc = EMT()
    FIRE(atoms, logfile=None).run(fmax=0.02, steps=200)
    expected = atoms.get_potential_energy() - 31 / 4 * perfect.get_potential_energy()
    found = next(e.value for e in at.dataframe if list(e.value.columns) == ["model", "energy", "reason"])
    assert found["energy"].iloc[0] == pytest.approx(expected, abs=1e-5)
    assert table(at, "moved")["end"].tolist() == ["converged"]
    assert "step" in text(at)


def test_a_crystal_of_other_elements_gives_a_sentence(store):
    at = given(opened(), vacancy())
    at = predicted(given(at, bulk("Al", cubic=True), "crystal", "al.xyz"))
    assert "not the same ratio of elements" in text(at)


def test_an_equation_of_state_shows_bulk_modulus_and_residual(store):
    at = predicted(given(opened(task="equation_of_state"), bulk("Cu", cubic=True), name="cu.xyz"))
    row = table(at, "bulk_modulus").iloc[0]
    assert 120 < row["bulk_modulus"] < 145  # EMT in ASE: 134 GPa; experiment: 137
    assert 0 <= row["residual"] < 0.05
    assert "9 of 9 volumes" in text(at)


def test_a_cluster_has_no_equation_of_state_and_the_page_says_why(store):
    at = given(opened(task="equation_of_state"), _cluster(), name="cu4.xyz")
    at.button(key="predict").click().run()
    assert "all three directions" in text(at)
    assert "job" not in at.query_params


def _cluster():
    atoms = bulk("Cu", cubic=True)
    atoms.pbc = False
    atoms.cell = None
    return atoms


@pytest.mark.parametrize("address", [{"task": "dance"}, {"kind": "dance"}, {"models": "emtt"}, {"optimizer": "newton"}])
def test_an_address_that_asks_for_what_there_is_not_is_answered_in_a_sentence(store, address):
    at = opened(**({"task": "relax"} | address))
    assert not at.exception
    assert f"{next(iter(address))}={next(iter(address.values()))}" in text(at)


def test_lines_of_progress_say_place_step_and_time(store):
    def state(name: str, **more):
        return TaskState("emt", name, "", None, {}, 0.0, False, **more)

    queued = state(QUEUED, place=3, estimate=12.4, n_most=1)
    assert live_progress.line("EMT", queued, SINGLE_POINT).endswith("queued, place 3, about 12 s left")
    steps = state(RUNNING, n_done=7, n_most=201, max_force=0.25, estimate=40.0)
    words = live_progress.line("EMT", steps, RELAX)
    assert words.endswith("computing, step 7 of at most 200, largest force 0.250 eV/Å, at most 40 s left")
    assert "3 of 9 volumes" in live_progress.line("EMT", state(DONE, n_done=3, n_most=9), EQUATION_OF_STATE)
    waiting = state(QUEUED, place=1)
    assert "no estimate before" in live_progress.line("EMT", waiting, SINGLE_POINT)
    # 10 µs per atom and evaluation in the small store: 201,000 atoms take 2 s.
    [guessed] = live_progress.lines([waiting], [], {"emt": "EMT"}, RELAX, 201_000)
    assert "at most 2 s once it is loaded" in guessed


def test_an_interval_comes_with_nominal_and_measured_coverage(store):
    expected = Expected(0.06, 0.11, 0.9, 0.88, SAME_KIND, "cluster", 40, 12, ("al-cu",))
    words = expected_errors.sentence("EMT", expected, "vacancy", (0.7, 0.36, 20))
    assert "expect 60.0 to 110 meV/Å here, 90 % of atoms, measured 88 % on what was left out" in words
    assert "held 70 % on average and 36 % at worst (20 pairs)" in words
    nan = float("nan")
    none = Expected(nan, nan, 0.9, nan, NO_EVIDENCE, "", 0, 0, ())
    assert "no interval" in expected_errors.sentence("EMT", none, "vacancy", None)
    far = Expected(0.06, float("inf"), 0.9, nan, ELSEWHERE, "cluster", 40, 12, ("al-cu",))
    assert "**other elements only**" in expected_errors.sentence("EMT", far, "vacancy", None)


def test_a_flag_is_shown_with_what_it_is_worth(store):
    flag = Flag((0.1, 3.0), 5.0, 0.1, 1557, 36, 0.27, 0.61, 0.81, 0.88, 0.56, 0.89)
    words = flagged_atoms.sentence(flag, 3, 15, "EMT", 2, ("al-cu",))
    assert "**3 of 15 atoms** are flagged: an error of EMT above 100 meV/Å" in words
    assert "61 % of flagged atoms had such an error (precision), and 81 % of the atoms" in words
    assert "the distance adds nothing" in flagged_atoms.worth(flag)
    better = dataclasses.replace(flag, auroc=0.95)
    assert "adds nothing" not in flagged_atoms.worth(better)


def test_a_trajectory_is_saved_frame_by_frame(tmp_path):
    atoms = vacancy()
    pbc = (True, True, True)
    cell = Configuration("v", "g", atoms.numbers, atoms.positions.copy(), np.array(atoms.cell), pbc)
    found = relax(Evaluator(EMT(), 6.0), cell, RelaxationOptions(fmax=0.02))
    path = tmp_path / "way.extxyz"
    path.write_text(files.path_to_extxyz(cell, found, "emt"))
    frames = read(path, ":")
    assert [frame.info["step"] for frame in frames] == found.trajectory.steps.tolist()
    assert frames[-1].get_potential_energy() == pytest.approx(found.energy)
    np.testing.assert_allclose(frames[-1].get_forces(), found.forces, atol=1e-7)
    np.testing.assert_allclose(frames[0].positions, atoms.positions, atol=1e-7)


def test_commands_name_the_options():
    relaxation = Calculation(RELAX, RelaxationOptions(fmax=0.02, cell="free"))
    expected = "python -m precompute relax FILE --model emt --fmax 0.02 --steps 200 --cell free --optimizer fire"
    assert calculation_choice.command(relaxation, ["emt"]) == expected
    scan = Calculation(EQUATION_OF_STATE, scan=VolumeScan(7, 0.05))
    assert calculation_choice.command(scan, ["emt"]).endswith(
        "equation-of-state FILE --model emt --strain 0.05 --volumes 7"
    )
