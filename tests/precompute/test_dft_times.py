"""Times of our own DFT as costs."""

import pytest

from engine.store.rows import DFT
from precompute.jobs.dft_times import dft_costs


def test_every_cell_of_pure_tungsten_has_its_processor_time_per_atom():
    costs = dft_costs()
    assert {cost.model_id for cost in costs} == {DFT}
    assert {cost.batch for cost in costs} == {cost.n_threads for cost in costs} == {1}
    (interstitial,) = [cost for cost in costs if cost.n_atoms == 17]
    assert interstitial.ms_per_step == pytest.approx(665.79e3)  # its cpu_seconds in open-defects.extxyz
    assert interstitial.us_per_atom_step == pytest.approx(665.79e6 / 17)
    assert min(cost.n_atoms for cost in costs) == 1
