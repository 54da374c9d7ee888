# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "tensorpotential==0.6.2.1", "tensorflow==2.20.0", "tf-keras==2.20.1",
#     "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1",
# ]
#
# [tool.uv]
# override-dependencies = [
#     "tensorflow==2.20.0",  # without its and-cuda extra: gigabytes that only a GPU machine needs
#     "questionary ; sys_platform == 'never'",  # asks at the command line
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["tensorflow-cpu==2.20.0"], cuda = ["tensorflow[and-cuda]==2.20.0"] }
# ///
"""GRACE: graph atomic cluster expansion of one to three layers (doi:10.1103/PhysRevX.14.021036).

A checkpoint is a TensorFlow SavedModel: a directory with saved_model.pb in it.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

REACH = 7.5  # Å, the longest cutoff of the SMAX models; all others end at 6 Å
SIZES_PER_OCTAVE = 4


def load(checkpoint: str, device: str) -> Calculator:
    """Load one SavedModel; eV, eV/Å, eV/Å³.

    TensorFlow compiles it for each pair of numbers of atoms and bonds, 5 s to 10 s on one core. The package's
    calculator pads to whatever it has seen before, so the last digits of a number depend on its history. Here both
    are padded to powers of 2^(1/4): the pair follows from the configuration alone, 9 % of it is padding on average,
    and a data set needs few of them.

    Raises:
        RuntimeError: The device is cuda and TensorFlow finds no GPU.
    """
    from tensorpotential.calculator import TPCalculator

    _choose_device(device)
    # The uncertainty that newer models carry takes time and changes none of these numbers.
    calculator = TPCalculator(model=checkpoint, enable_uq_if_available=False)
    calculator.padding_manager = _FixedSizes(calculator.data_builders)
    return calculator


def _choose_device(device: str) -> None:
    """Keep TensorFlow to the device, which it takes on its own otherwise, with all the memory of a GPU."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    elif not gpus:
        raise RuntimeError("TensorFlow finds no GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)


class _FixedSizes:
    """Stands in for the package's padding manager: sizes follow from the systems alone.

    Args:
        builders: The package's data builders, which turn systems into the arrays of a graph.
    """

    def __init__(self, builders: list[Any]) -> None:
        self._builders = builders

    def get_data(self, atoms: Atoms) -> dict[str, Any]:
        """Padded arrays of one system; the calculator calls it."""
        return self.join([self.extract(atoms)])

    def extract(self, atoms: Atoms) -> dict[str, Any]:
        """Arrays of one system."""
        return {
            key: value for builder in self._builders for key, value in builder.extract_from_ase_atoms(atoms).items()
        }

    def join(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """Arrays of systems side by side, padded by atoms and bonds that do not count."""
        from tensorpotential import constants as names

        graph: dict[str, Any] = {}
        for builder in self._builders:
            graph |= builder.join_to_batch(parts)
        sizes = {
            names.PAD_MAX_N_STRUCTURES: len(parts),
            # One more, since the bonds that do not count belong to an atom that does not count.
            names.PAD_MAX_N_ATOMS: _round_up(int(graph[names.N_ATOMS_BATCH_REAL]) + 1, least=16),
            names.PAD_MAX_N_NEIGHBORS: _round_up(int(graph[names.N_NEIGHBORS_REAL]), least=256),
        }
        for builder in self._builders:
            builder.pad_batch(graph, sizes)
        return graph


def _round_up(number: int, least: int) -> int:
    """The next of the sizes that graphs are padded to."""
    steps = math.ceil(SIZES_PER_OCTAVE * math.log2(max(number, least)))
    return math.ceil(2 ** (steps / SIZES_PER_OCTAVE))


def batch_graphs(calculator: Any, systems: Sequence[Atoms]) -> tuple[list[Any], Any]:
    """The parts of each system, and one graph of all."""
    parts = [calculator.padding_manager.extract(atoms) for atoms in systems]
    return parts, calculator.padding_manager.join(parts)


def batch(
    calculator: Any, systems: Sequence[Atoms], graphs: tuple[list[Any], Any] | None = None
) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems, as one graph of separate parts."""
    import tensorflow as tf
    from tensorpotential import constants as names

    parts, graph = batch_graphs(calculator, systems) if graphs is None else graphs
    found = calculator.models[0].compute({key: tf.constant(graph[key]) for key in calculator.data_keys})
    pair_forces = found.get("z_" + names.PREDICT_PAIR_FORCES)
    if pair_forces is None:  # exported before tensorpotential 0.4.2
        return [_batch_of_one(calculator, atoms) for atoms in systems]
    ends = np.cumsum([[len(part[names.ATOMIC_MU_I]), len(part[names.BOND_VECTOR])] for part in parts], axis=0)[:-1]
    n_atoms, n_bonds = (int(graph[key]) for key in (names.N_ATOMS_BATCH_REAL, names.N_NEIGHBORS_REAL))
    energies = np.split(found[names.PREDICT_ATOMIC_ENERGY].numpy()[:n_atoms].astype(float), ends[:, 0])
    forces = np.split(found[names.PREDICT_FORCES].numpy()[:n_atoms], ends[:, 0])
    pulls = np.split(pair_forces.numpy()[:n_bonds], ends[:, 1])
    return [
        {
            "energy": float(energy.sum()),
            "forces": force,
            "stress": _batch_stress(pull, part[names.BOND_VECTOR], atoms.get_volume()),
        }
        for energy, force, pull, part, atoms in zip(energies, forces, pulls, parts, systems, strict=True)
    ]


def _batch_of_one(calculator: Any, atoms: Atoms) -> dict[str, Any]:
    calculator.calculate(atoms, ["energy", "forces", "stress"], all_changes)
    return dict(calculator.results)


def _batch_stress(pull: Any, bonds: Any, volume: float) -> Any:
    """Stress in eV/Å³ (Voigt) from what each bond pulls with, eV/Å, and the bond vectors, Å."""
    virial = pull.T @ bonds
    return -virial[[0, 1, 2, 2, 2, 1], [0, 1, 2, 1, 0, 0]] / volume
