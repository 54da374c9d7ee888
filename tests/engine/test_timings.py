"""Wall time and memory on the store of `conftest.build_evidence_store`, by hand."""

import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.scaling import nearest_size, scaled_memory, scaled_time, time_exponent
from engine.queries.timings import estimates, growth, machines


def test_time_grows_with_the_atoms_from_the_nearest_measured_size():
    sizes, times = np.array([100, 200]), np.array([50.0, 120.0])
    assert scaled_time(sizes, times, 120) == pytest.approx(60.0)  # 0.5 ms an atom
    assert scaled_time(sizes, times, 1000) == pytest.approx(600.0)  # 0.6 ms an atom
    assert scaled_time(sizes, times, 10) == pytest.approx(5.0)


def test_the_nearest_size_is_so_by_ratio():
    assert nearest_size(np.array([64, 343]), 150) == 1  # 343 is 2.29 times 150, which is 2.34 times 64
    assert nearest_size(np.array([50, 200]), 100) == 1  # of two as near the larger
    with pytest.raises(MetricError):
        nearest_size(np.array([], dtype=np.int64), 100)


def test_memory_lies_on_a_line_and_is_unknown_from_one_size():
    assert scaled_memory(np.array([100, 200, 300]), np.array([300.0, 500.0, np.nan]), 400) == pytest.approx(900.0)
    assert scaled_memory(np.array([100, 200]), np.array([300.0, 200.0]), 1000) == 300.0  # never below what was seen
    assert np.isnan(scaled_memory(np.array([100]), np.array([300.0]), 400))
    assert scaled_memory(np.array([100]), np.array([300.0]), 100) == 300.0


def test_a_simulation_takes_steps_times_the_scaled_step(evidence_store):
    (machine,) = machines()
    assert machine == "CPU, 1 thread, test machine"
    found = estimates(machine, 1000, 5000).set_index("model_id")
    assert found.loc["first", "wall_seconds"] == pytest.approx(5000 * 0.6)
    assert found.loc["first", "peak_memory_mb"] == pytest.approx(2100.0)
    assert (found.loc["first", "sizes"], found.loc["first", "nearest"]) == ("100, 200", 200)
    assert found.loc["second", "wall_seconds"] == pytest.approx(5000 * 0.01)
    assert np.isnan(found.loc["second", "peak_memory_mb"])
    assert estimates("no machine", 10, 10).empty


def test_an_exponent_is_the_slope_of_logarithms():
    assert time_exponent(np.array([10, 100, 1000]), np.array([2.0, 40.0, 800.0])) == pytest.approx(1.30103)
    with pytest.raises(MetricError):
        time_exponent(np.array([10, 10]), np.array([1.0, 2.0]))


def test_the_largest_cell_checks_the_scaling(evidence_store):
    (machine,) = machines()
    grown = growth(machine)
    assert set(grown["model_id"]) == {"first"}  # the second was timed on one cell
    largest = grown[grown["n_atoms"] == 200].iloc[0]
    assert (largest["ms_per_step"], largest["scaled_ms"]) == (pytest.approx(120.0), pytest.approx(100.0))
    assert np.isnan(grown.loc[grown["n_atoms"] == 100, "scaled_ms"]).all()
    assert growth("no machine").empty
