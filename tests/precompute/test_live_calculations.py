"""Relaxations, equations of state and perfect crystals for visitors: against ASE in this process, within limits."""

import time

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.optimize import FIRE

from engine.errors import EngineError
from engine.records import Configuration
from engine.relaxations import RelaxationOptions
from engine.volume_scans import VolumeScan, volume
from precompute.live import calculations
from precompute.live import predictor as live
from precompute.live.calculations import EQUATION_OF_STATE, RELAX, Calculation
from precompute.live.estimates import Estimates
from precompute.live.predictor import LivePredictor
from precompute.live.tasks import CANCELLED, DONE, FAILED, Job, Task, TaskState

WAIT_SECONDS = 90.0


@pytest.fixture
def predictor(folder):
    made = LivePredictor(folder, device="cpu", n_slots=1)
    yield made
    made.close()


def configuration(atoms: Atoms, pbc: tuple[bool, bool, bool] = (True, True, True)) -> Configuration:
    return Configuration("c", "g", atoms.numbers, atoms.positions.copy(), np.array(atoms.cell), pbc)


def crystal() -> Atoms:
    return bulk("Cu", a=3.6, cubic=True) * (2, 2, 2)


def vacancy() -> Atoms:
    atoms = crystal()
    del atoms[5]
    return atoms


def finished(predictor: LivePredictor, job: str) -> list[TaskState]:
    deadline = time.monotonic() + WAIT_SECONDS
    while any(task.is_open for task in [*predictor.tasks(job), *predictor.crystal_tasks(job)]):
        assert time.monotonic() < deadline, predictor.tasks(job)
        time.sleep(0.02)
    return predictor.tasks(job)


def test_a_relaxed_vacancy_is_that_of_ase_and_its_energy_that_by_hand(predictor):
    options = RelaxationOptions(fmax=0.01, steps=200)
    job = predictor.submit(
        "me", configuration(vacancy()), ["emt"], Calculation(RELAX, options), configuration(crystal())
    )
    atoms, perfect = vacancy(), crystal()
    for one in (atoms, perfect):
        one.calc = EMT()
        optimizer = FIRE(one, logfile=None)
        optimizer.run(fmax=0.01, steps=200)

    (task,), (beside,) = finished(predictor, job), predictor.crystal_tasks(job)

    assert (task.state, task.relaxation.is_converged, beside.state) == (DONE, True, DONE)
    assert task.prediction.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
    assert beside.prediction.energy == pytest.approx(perfect.get_potential_energy(), abs=1e-6)
    np.testing.assert_allclose(task.relaxation.positions, atoms.positions, atol=1e-6)
    assert task.n_done == task.relaxation.n_steps > 0
    assert task.max_force < 0.01


def test_an_equation_of_state_is_that_of_ase(predictor):
    given, scan = configuration(bulk("Cu", a=3.6)), VolumeScan(7, 0.05)
    energies, volumes = [], []
    for one in scan.of(given):
        atoms = Atoms(one.numbers, one.positions, cell=one.cell, pbc=True, calculator=EMT())
        energies.append(atoms.get_potential_energy())
        volumes.append(volume(one))
    expected = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()

    (task,) = finished(predictor, predictor.submit("me", given, ["emt"], Calculation(EQUATION_OF_STATE, scan=scan)))
    (again,) = predictor.tasks(predictor.submit("me", given, ["emt"], Calculation(EQUATION_OF_STATE, scan=scan)))

    assert (task.state, task.n_done, task.n_most) == (DONE, 7, 7)
    np.testing.assert_allclose(task.scan.energies, energies, atol=1e-9)
    curve = task.scan.curve
    assert (curve.volume, curve.energy, curve.bulk_modulus) == pytest.approx(expected, rel=1e-5)
    assert again.is_cached
    assert again.scan.curve == curve


def test_a_fit_without_a_minimum_is_refused_and_energies_are_shown(predictor):
    given = configuration(bulk("Cu", a=3.9))
    (task,) = finished(predictor, predictor.submit("me", given, ["emt"], Calculation(EQUATION_OF_STATE)))
    assert task.state == DONE
    assert task.scan.curve is None
    assert "lowest at the smallest volume" in task.scan.reason
    assert len(task.scan.energies) == 9


def test_options_decide_what_is_the_same_result(predictor):
    given = configuration(vacancy())
    finished(predictor, predictor.submit("me", given, ["emt"]))
    (other,) = finished(
        predictor, predictor.submit("me", given, ["emt"], Calculation(RELAX, RelaxationOptions(steps=2)))
    )
    assert not other.is_cached
    assert (other.relaxation.n_steps, other.relaxation.is_converged) == (2, False)


@pytest.mark.parametrize(
    ("calculation", "pbc", "said"),
    [
        (Calculation(RELAX, RelaxationOptions(steps=501)), True, "steps is 501"),
        (Calculation(RELAX, RelaxationOptions(fmax=1e-5)), True, "fmax is 1e-05"),
        (Calculation(RELAX, RelaxationOptions(cell="free")), False, "free cell needs"),
        (Calculation(EQUATION_OF_STATE), False, "all three directions"),
        (Calculation("dance"), True, "task is 'dance'"),
    ],
)
def test_what_is_beyond_a_limit_is_refused_in_a_sentence(predictor, calculation, pbc, said):
    with pytest.raises(EngineError, match=said):
        predictor.submit("me", configuration(vacancy(), (pbc, True, True)), ["emt"], calculation)


def test_a_relaxation_ends_where_its_time_is_over(predictor, monkeypatch):
    monkeypatch.setattr(calculations, "CALCULATION_SECONDS", 1e-6)
    (task,) = finished(predictor, predictor.submit("me", configuration(vacancy()), ["emt"], Calculation(RELAX)))
    assert (task.state, task.relaxation.n_steps, task.relaxation.is_converged) == (DONE, 0, False)


def test_a_scan_that_takes_too_long_says_so(predictor, monkeypatch):
    monkeypatch.setattr(live, "CALCULATION_SECONDS", 0.0)
    given = configuration(bulk("Cu"))
    (task,) = finished(predictor, predictor.submit("me", given, ["emt"], Calculation(EQUATION_OF_STATE)))
    assert task.state == FAILED
    assert "which is the limit; choose fewer volumes" in task.message


def test_cancelling_ends_a_relaxation_and_its_crystal(predictor):
    given = configuration(crystal() * (2, 2, 2))
    given.positions[0] += 0.3
    job = predictor.submit("me", given, ["emt"], Calculation(RELAX, RelaxationOptions(fmax=0.001, steps=500)), given)
    predictor.cancel(job, "me")
    assert [task.state for task in [*finished(predictor, job), *predictor.crystal_tasks(job)]] == [CANCELLED] * 2


def test_ids_of_jobs_cannot_be_guessed(predictor):
    ids = {predictor.submit(f"visitor-{k}", configuration(bulk("W")), ["emt"]) for k in range(20)}
    assert len(ids) == 20
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids)
    assert predictor.job("0" * 32) is None


def test_estimates_come_from_what_was_measured():
    model = live.get_model("emt")
    small, large = configuration(bulk("Cu", cubic=True)), configuration(bulk("Cu", cubic=True) * (2, 1, 1))
    estimates, task = Estimates(), Task(model, small, Calculation())
    assert estimates.left(task, set()) is None

    estimates.loaded("emt", 3.0)
    estimates.computed(task, 1, 2.0)  # 0.5 s per atom

    assert estimates.left(Task(model, large, Calculation()), {"emt"}) == pytest.approx(4.0)
    assert estimates.left(Task(model, large, Calculation()), set()) == pytest.approx(7.0)
    steps = Task(model, large, Calculation(RELAX, RelaxationOptions(steps=9)), n_done=4)
    assert estimates.left(steps, {"emt"}) == pytest.approx(40.0 - 16.0)
    assert estimates.until(task, [task, steps], {"emt"}, 2) == pytest.approx(2.0 + (2.0 + 24.0) / 2)


def test_long_trajectories_push_old_jobs_out(predictor, monkeypatch):
    first = predictor.submit("a", configuration(vacancy()), ["emt"], Calculation(RELAX, RelaxationOptions(steps=5)))
    finished(predictor, first)
    assert isinstance(predictor.job(first), Job)
    monkeypatch.setattr(live, "_MAX_JOB_BYTES", 1000)
    second = predictor.submit("b", configuration(vacancy()), ["emt"])
    assert predictor.job(first) is None
    assert predictor.job(second) is not None
