"""Energies of defects above a perfect crystal: by hand, and refused where the atoms do not balance."""

import numpy as np
import pytest

from engine.errors import MetricError
from engine.numerics.defect_energy import defect_energy, n_crystals

NI, AL = 28, 13


def test_a_vacancy_by_hand():
    # 32 atoms at -3.5 eV; 31 of them with a vacancy at -107.0 eV: -107.0 + 31 x 3.5 = 1.5 eV.
    assert defect_energy(np.full(31, 29), -107.0, np.full(32, 29), -112.0) == pytest.approx(1.5)
    assert defect_energy(np.full(31, 29), -107.0, np.full(4, 29), -14.0) == pytest.approx(1.5)


def test_a_boundary_in_a_compound_balances():
    # Six formula units of NiAl at -9 eV each; the cell with the defect has -52.5 eV: 1.5 eV.
    cell, crystal = np.array([NI, AL] * 6), np.array([NI, AL])
    assert defect_energy(cell, -52.5, crystal, -9.0) == pytest.approx(1.5)
    assert n_crystals(cell, crystal) == 6


@pytest.mark.parametrize(
    "numbers", [[NI] * 7 + [AL] * 8, [NI, NI], [NI, AL, 1]], ids=["vacancy", "one element", "solute"]
)
def test_a_cell_of_another_composition_is_refused(numbers):
    with pytest.raises(MetricError, match="not the same ratio of elements"):
        defect_energy(np.array(numbers), 0.0, np.array([NI, AL]), -9.0)
