"""What is tabulated of the elements, against pymatgen's table and ASE's lattices."""

import pytest
from ase.data import atomic_numbers, chemical_symbols
from pymatgen.core import Element

from engine.readers import elements

AVOGADRO = 0.602214076
"""Atoms in a mole and Å³ in a cm³, so that cm³/mol over it is Å³ per atom."""

FAR_MODULI = {"Be", "Mg", "Sc", "Cr", "Rb", "Mo", "Ru", "Rh", "Cs", "Sm", "Pt", "Au", "Tl"}
"""Kittel's and pymatgen's bulk moduli are of different measurements."""


def test_volumes_are_those_of_the_solids():
    volumes = {chemical_symbols[z]: volume for z, volume in elements._volumes().items()}
    del volumes["C"]  # ours is diamond, pymatgen's graphite
    found = {symbol: Element(symbol).data.get("Molar volume") for symbol in volumes}

    assert sum(theirs is not None for theirs in found.values()) > 60
    for symbol, theirs in found.items():
        if theirs is not None:
            assert volumes[symbol] * AVOGADRO == pytest.approx(float(theirs), rel=0.07), symbol


def test_bulk_moduli_are_within_15_percent_but_where_tables_differ():
    for z, modulus in elements._table(elements._BULK_MODULI).items():
        symbol = chemical_symbols[z]
        theirs = Element(symbol).data.get("Bulk modulus")
        if theirs is not None and symbol not in {"Mn", "Yb"}:
            assert modulus == pytest.approx(float(theirs), rel=0.5 if symbol in FAR_MODULI else 0.16), symbol


@pytest.mark.parametrize(
    ("symbol", "measured"),
    # Experimental energies of cohesion as kept in scine_chemoton 4.1.0 (BSD-3-Clause), eV.
    [
        *(("Sc", 3.93), ("Ti", 4.88), ("V", 5.34), ("Cr", 4.15), ("Fe", 4.32), ("Co", 4.47), ("Ni", 4.48)),
        *(("Cu", 3.51), ("Zn", 1.38), ("Y", 4.42), ("Zr", 6.32), ("Nb", 7.47), ("Mo", 6.84), ("Ru", 6.8)),
        *(("Rh", 5.76), ("Pd", 3.93), ("Ag", 2.96), ("Cd", 1.18), ("Hf", 6.44), ("Ta", 8.11), ("W", 8.83)),
        *(("Re", 8.06), ("Os", 8.22), ("Ir", 6.96), ("Pt", 5.87), ("Au", 3.83)),
    ],
)
def test_energies_of_cohesion_are_within_a_few_percent_of_measurements(symbol, measured):
    ours = elements._table(elements._COHESION)[atomic_numbers[symbol]]

    assert ours == pytest.approx(measured, rel=0.025)
