# /// script
# requires-python = ">=3.11,<3.12"
# dependencies = [
#     "deepmd-kit==3.2.0", "e3nn==0.6.0", "vesin==0.6.2", "vesin-torch==0.6.2",
#     "ase==3.29.0", "numpy==2.4.6", "pyarrow==26.0.1", "torch==2.13.0",
# ]
#
# [tool.uv]
# override-dependencies = [
#     "matplotlib ; sys_platform == 'never'",  # ase's plots
# ]
#
# [tool.defect-atlas]
# accelerator = { cpu = ["torch==2.13.0"], cuda = ["torch==2.13.0"] }
# ///
"""DeePMD-kit's large atomic models: DPA3 (arXiv:2506.01686) and DPA4 (arXiv:2606.02419), in PyTorch."""

import os
import sys
import tempfile
import types
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

REACH = 6.0  # Å, the edges' cutoff
CPU_ATOMS = 32  # in one call of the model: more leave the cache, and four cells of 16 atoms took a third longer


def load(checkpoint: str, device: str, head: str | None = None) -> Calculator:
    """Load a training checkpoint or a frozen model; eV, eV/Å, eV/Å³.

    Args:
        checkpoint: Local file; its content says which of the two it is.
        device: cpu or cuda.
        head: Branch of a multi-task checkpoint, named after the training set whose labels it predicts.

    Raises:
        ValueError: A head is given for a frozen model, which has one only; the file lacks weights of its own
            architecture; or it reaches further than REACH.
        AssertionError: A multi-task checkpoint has no such head; the package's message lists those it has.
    """
    import torch

    _import_without_compiled_operators(device)
    from deepmd.calculator import DP
    from deepmd.infer import DeepPot

    class PlainDP(DP):
        """The package's calculator around a loaded model; TorchScript runs as written.

        TorchScript would optimise itself during its first calls, take many times as long for them, and then answer in
        other last digits.
        """

        def __init__(self, potential: Any) -> None:
            Calculator.__init__(self)
            self.dp = potential
            self.type_dict = {symbol: index for index, symbol in enumerate(potential.get_type_map())}

        def calculate(self, atoms: Any = None, properties: Any = (), system_changes: Any = all_changes) -> None:
            if unknown := sorted(set(atoms.symbols) - set(self.type_dict)):
                raise ValueError(f"the model does not know {', '.join(unknown)}")
            with torch.jit.optimized_execution(False):
                super().calculate(atoms, properties, system_changes)

    frozen = _is_frozen(checkpoint)
    if frozen and head is not None:
        raise ValueError(f"{checkpoint} is a frozen model without heads, but head {head!r} is asked for")
    with tempfile.TemporaryDirectory() as folder:
        named = Path(folder) / ("model.pth" if frozen else "model.pt")  # the package goes by the suffix
        named.symlink_to(Path(checkpoint).resolve())
        # Frozen models of earlier releases know the package's own neighbour list only. Scripting a checkpoint anew
        # takes longer than it saves.
        options = {"nlist_backend": "native"} if frozen else {"nlist_backend": "vesin", "no_jit": True, "head": head}
        potential = DeepPot(str(named), auto_batch_size=CPU_ATOMS if device == "cpu" else True, **options)
    if potential.get_rcut() > REACH:
        raise ValueError(f"{checkpoint} has a cutoff of {potential.get_rcut()} Å, more than {REACH} Å")
    if frozen:
        _take_only_given_arguments(potential.deep_eval)
    else:
        _check_weights(checkpoint, potential.deep_eval.dp)
    return PlainDP(potential)


def _import_without_compiled_operators(device: str) -> None:
    """Import deepmd for a device, without the library of operators that its wheel was linked for another PyTorch with.

    On import the package loads that library and MPI, and raises where PyTorch is not the version it was built for.
    DPA3 and DPA4 need neither: of its operators, frozen models name `border_op` alone, which exchanges atoms between
    MPI ranks and is never called here. It is declared, so that TorchScript can read them, and has no body.
    """
    import torch

    if "deepmd.pt.cxx_op" not in sys.modules:
        operators = torch.library.Library("deepmd", "DEF")
        operators.define(f"border_op({', '.join(f'Tensor argument{i}' for i in range(9))}) -> Tensor[]")
        stand_in = types.ModuleType("deepmd.pt.cxx_op", "Stands in for the compiled operators.")
        stand_in.__dict__.update(ENABLE_CUSTOMIZED_OP=False, operators=operators)  # a declaration lives as long as this
        sys.modules[stand_in.__name__] = stand_in
        os.environ["DEVICE"] = device  # deepmd reads it, on import only
    from deepmd.pt.utils import env

    if env.DEVICE.type != device:
        raise RuntimeError(f"deepmd was imported for {env.DEVICE}, not for {device}")


def _is_frozen(checkpoint: str) -> bool:
    """Whether a file holds TorchScript, not a training checkpoint."""
    with zipfile.ZipFile(checkpoint) as archive:
        return any(Path(name).name == "constants.pkl" for name in archive.namelist())


def _take_only_given_arguments(deep_eval: Any) -> None:
    """Let a frozen model be called with the arguments it was frozen with.

    The package hands every model all arguments that its newest ones take, None included; TorchScript refuses those
    that it does not know, and all models before charge and spin became inputs (deepmd-kit 3.2) refuse them.
    """
    import torch

    class GivenArguments(torch.nn.Module):
        def __init__(self, wrapper: Any) -> None:
            super().__init__()
            self.model = wrapper.model

        def forward(self, coord: Any, atype: Any, **options: Any) -> Any:
            given = {name: value for name, value in options.items() if value is not None}
            return self.model["Default"](coord, atype, **given)

    deep_eval.dp = GivenArguments(deep_eval.dp).eval()


def _check_weights(checkpoint: str, model: Any) -> None:
    """Raise where the file lacks a weight; the package would leave it at random, with no more than a log line."""
    import torch

    saved = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    saved = saved.get("model", saved)
    # Names are model.<head>.<weight>; the loaded head is called Default.
    there = {name.split(".", 2)[-1] for name in saved}
    needed = {name.split(".", 2)[-1] for name, _ in model.named_parameters()}
    if lost := sorted(needed - there):
        raise ValueError(f"{checkpoint} has no {', '.join(lost)}")


def batch(calculator: Calculator, systems: Sequence[Atoms]) -> list[dict[str, Any]]:
    """Energy (eV), forces (eV/Å) and stress (eV/Å³, Voigt) of several systems; those of equal size go together."""
    import numpy as np
    import torch
    from ase.stress import full_3x3_to_voigt_6_stress

    potential, types_of = calculator.dp, calculator.type_dict  # type: ignore[attr-defined]
    results: list[dict[str, Any]] = [{} for _ in systems]
    for size in {len(atoms) for atoms in systems}:
        members = [index for index, atoms in enumerate(systems) if len(atoms) == size]
        with torch.jit.optimized_execution(False):
            energies, forces, virials = potential.eval(
                np.array([systems[index].positions for index in members]),
                np.array([systems[index].cell.array for index in members]),
                np.array([[types_of[symbol] for symbol in systems[index].symbols] for index in members]),
                mixed_type=True,
            )
        for index, energy, force, virial in zip(members, energies, forces, virials, strict=True):
            stress = full_3x3_to_voigt_6_stress(-virial.reshape(3, 3) / systems[index].get_volume())
            results[index] = {"energy": energy[0], "forces": force, "stress": stress}
    return results
