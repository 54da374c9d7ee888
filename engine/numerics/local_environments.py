"""Local environments of atoms: classes by neighbours, and SOAP vectors of one recorded setting.

Lengths are in units of the nearest-neighbour distance of the elements' own crystals. Metals of different size thus have
the same environments, and a strained cell has others. SOAP sees all atoms as one species, since only then can sets of
different elements share one map.

The libraries are imported where they are used, since dscribe takes seconds to import and the app needs neither.
"""

import functools
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii, reference_states
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

CLASSES = ("bulk-like", "defect core", "surface", "liquid-like")

LENGTH = 2.7  # Å that the nearest-neighbour distance is scaled to; that of W is 2.74


@dataclass(frozen=True)
class SoapSetting:
    """What a SOAP vector depends on; lengths in Å after the scaling to `LENGTH`.

    Attributes:
        cutoff: Radius.
        sigma: Width of the Gaussian on each neighbour.
        n_max: Radial functions.
        l_max: Degree of the spherical harmonics.
    """

    cutoff: float = 5.7
    sigma: float = 0.4
    n_max: int = 6
    l_max: int = 6

    def describe(self) -> str:
        """The setting in words, for captions."""
        return (
            f"SOAP of dscribe with {self.n_max} radial functions, degree {self.l_max}, Gaussians of {self.sigma} Å and "
            f"a cutoff of {self.cutoff} Å, in cells scaled so that the nearest-neighbour distance of the elements' "
            f"crystals is {LENGTH} Å; all atoms are one species and vectors have length 1"
        )


SOAP_SETTING = SoapSetting()

CRYSTALS = ("fcc", "hcp", "bcc")  # of common-neighbour analysis: these are bulk-like
FIRST_SHELL = 3.65  # Å, between the second shell of bcc and that of fcc
SHELL = 5.4  # Å, two nearest-neighbour distances: where one-sidedness is measured
ONE_SIDED = 0.2  # length of the mean direction to neighbours; half a space alone has 0.5, a vacancy beside an atom 0.03
NO_ORDER = 0.30  # averaged q6 over twelve neighbours; crystals have 0.45 to 0.57, hot ones more than 0.3, melts less
CLASS_SETTING = f"{CRYSTALS} {FIRST_SHELL} {SHELL} {ONE_SIDED} {NO_ORDER} {LENGTH}"


def nearest_distance(numbers: NDArray[np.integer]) -> float:
    """Mean nearest-neighbour distance of the elements' own crystals, Å, over the atoms of metals where there are any.

    Args:
        numbers: Atomic numbers, shape (n_atoms,).

    Example:
        >>> round(nearest_distance(np.array([74])), 3)
        2.737
        >>> nearest_distance(np.array([74, 74, 1])) == nearest_distance(np.array([74]))
        True
    """
    known = [distance for number in numbers.tolist() if (distance := _crystal_distance(number))]
    return float(np.mean(known or 2 * covalent_radii[numbers]))


def _crystal_distance(number: int) -> float | None:
    """Nearest-neighbour distance of an element's fcc, bcc or hcp crystal, Å; None where it has another."""
    state: dict[str, Any] = reference_states[number] or {}
    match state.get("symmetry"):
        case "fcc":
            return float(state["a"] / np.sqrt(2))
        case "bcc":
            return float(state["a"] * np.sqrt(3) / 2)
        case "hcp":  # of the two distances of a crystal that is not ideal, the mean
            in_plane, height = state["a"], state["a"] * state["c/a"]
            return float((in_plane + np.sqrt(in_plane**2 / 3 + height**2 / 4)) / 2)
    return None


def scaled(numbers: NDArray[np.integer], positions: FloatArray, cell: FloatArray, pbc: tuple[bool, ...]) -> Atoms:
    """The atoms in a cell that is periodic in all directions, with vacuum where it was not, scaled to `LENGTH`."""
    atoms = Atoms(numbers, positions, cell=cell, pbc=pbc)
    atoms.set_cell(atoms.cell * (factor := LENGTH / nearest_distance(numbers)), scale_atoms=False)
    atoms.positions *= factor
    if open_axes := [axis for axis in range(3) if not pbc[axis]]:
        atoms.center(vacuum=2 * SHELL, axis=open_axes)
    atoms.pbc = True
    return atoms


def classify(atoms: Atoms) -> NDArray[np.uint8]:
    """Class of each atom as a place in `CLASSES`.

    An atom whose neighbours within `SHELL` lie to one side is at a surface. One that adaptive common-neighbour analysis
    finds in fcc, hcp or bcc is bulk-like. Of the others, those without orientational order around them (averaged q6)
    are liquid-like, and the rest belongs to a defect core or to a lattice that vibrates strongly.

    Args:
        atoms: As `scaled` gives them.

    Source:
        A. Stukowski, Modelling Simul. Mater. Sci. Eng. 20, 045021 (2012), doi:10.1088/0965-0393/20/4/045021; W. Lechner
        and C. Dellago, J. Chem. Phys. 129, 114707 (2008), doi:10.1063/1.2977970; as pyscal3 computes them.
    """
    import pyscal3

    pyscal3.set_num_threads(1)
    found = np.full(len(atoms), CLASSES.index("defect core"), dtype=np.uint8)
    crystal, order, sided = _crystal(atoms), _order(atoms), one_sidedness(atoms)
    found[order < NO_ORDER] = CLASSES.index("liquid-like")
    found[crystal] = CLASSES.index("bulk-like")
    found[sided >= ONE_SIDED] = CLASSES.index("surface")
    return found


def soap_vectors(atoms: Atoms, centers: Sequence[int], setting: SoapSetting = SOAP_SETTING) -> NDArray[np.float32]:
    """SOAP vectors of some atoms, shape (n_centers, n_features), each of length 1.

    Args:
        atoms: As `scaled` gives them.
        centers: Places of the atoms.
        setting: Radii and numbers of functions.

    Source:
        A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87, 184115 (2013), doi:10.1103/PhysRevB.87.184115; as
        dscribe computes them (L. Himanen et al., Comput. Phys. Commun. 247, 106949 (2020)).
    """
    alike = atoms.copy()
    alike.numbers[:] = 1
    found = _soap(setting).create(alike, centers=list(centers))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), dtype=np.float32)


@functools.cache
def _soap(setting: SoapSetting) -> Any:
    with _without_sparse_output():
        from dscribe.descriptors import SOAP
    return SOAP(
        species=["H"],
        r_cut=setting.cutoff,
        n_max=setting.n_max,
        l_max=setting.l_max,
        sigma=setting.sigma,
        periodic=True,
    )


@contextmanager
def _without_sparse_output() -> Iterator[None]:
    """Let dscribe be imported without `sparse`, of which only its sparse output makes use.

    `sparse` brings a compiler (numba), which takes 58 MB of memory in every process that describes atoms.
    """
    if "sparse" in sys.modules:
        yield
        return
    sys.modules["sparse"] = ModuleType("sparse")
    try:
        yield
    finally:
        del sys.modules["sparse"]


def _crystal(atoms: Atoms) -> NDArray[np.bool_]:
    """Atoms that adaptive common-neighbour analysis finds in one of `CRYSTALS`."""
    import pyscal3

    kinds = ("other", "fcc", "hcp", "bcc", "ico")  # as pyscal3 counts them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # too few candidates: the atom is in no crystal
        pyscal3.common_neighbor_analysis(atoms)
    return np.isin(atoms.arrays["pyscal_structure"], [kinds.index(name) for name in CRYSTALS])


def _order(atoms: Atoms) -> FloatArray:
    """Averaged q6 of each atom over its first shell; 0 where it has no neighbour."""
    import pyscal3

    pyscal3.find_neighbors(atoms, method="cutoff", cutoff=FIRST_SHELL, store_rows=False)
    order: FloatArray = np.asarray(pyscal3.steinhardt_parameter(atoms, 6, averaged=True)[0], dtype=np.float64)
    order[np.isnan(order)] = 0.0
    return order


def one_sidedness(atoms: Atoms) -> FloatArray:
    """Length of the mean of the unit vectors to all neighbours within `SHELL`; 1 where there are none.

    Args:
        atoms: As `scaled` gives them.
    """
    import pyscal3

    pyscal3.find_neighbors(atoms, method="cutoff", cutoff=SHELL, store_rows=False)
    vectors = atoms.info["pyscal_bond_vector"]
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    counts = np.diff(atoms.info["pyscal_bond_offsets"])
    sums = np.diff(np.vstack([np.zeros(3), np.cumsum(directions, axis=0)])[atoms.info["pyscal_bond_offsets"]], axis=0)
    lengths = np.asarray(np.linalg.norm(sums, axis=1) / np.maximum(counts, 1), dtype=np.float64)
    lengths[counts == 0] = 1.0
    return lengths
