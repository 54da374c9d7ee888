"""Distributions of many datasets on one axis."""

import numpy as np
import pytest

from engine.queries import distributions
from engine.queries.scope import EVERYTHING, Scope


def test_energies_of_each_dataset_are_counted_once(crystal_store):
    found = distributions.dataset_histograms("energy", EVERYTHING)
    assert found is not None
    assert found.dataset_ids == ("formation", "plain")
    # One crystal at -13 and eight vacancies at -12 eV; twice the crystal.
    assert found.counts[:, 0].tolist() == [1, 2]
    assert found.counts[:, -1].tolist() == [8, 0]
    assert found.totals.tolist() == [9, 2]
    assert found.n_positive.tolist() == [0, 0]
    assert (found.edges[0], found.edges[-1]) == pytest.approx((-13.0, -12.0))


def test_forces_are_lengths_on_atoms(crystal_store):
    found = distributions.dataset_histograms("force", Scope.of("plain"))
    assert found is not None
    assert found.largest.tolist() == pytest.approx([np.sqrt(3.0)])
    assert found.counts[0, -1] == 2


def test_energies_that_count_all_electrons_are_far(crystal_store, monkeypatch):
    assert distributions.far_datasets() == ()
    monkeypatch.setattr(distributions, "FAR", 12.5)
    assert distributions.far_datasets.__wrapped__() == ("plain",)


def test_without_samples_there_is_no_histogram(crystal_store):
    assert distributions.dataset_histograms("energy", Scope.of("formation", elements=("H",))) is None
