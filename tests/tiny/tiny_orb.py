"""Write a random Orb checkpoint of 0.4 MB: python tests/tiny/tiny_orb.py OUT_DIR [MODEL_NAME].

The package's loaders know no other size than that of the released models, 100 MB. A file can be small all the same:
every large matrix is a view of one short random vector, row i and column j showing its number ROW * i + j, and torch
stores what lies beneath a view. The architecture has no rotational symmetry, which training would have to teach it,
so of the angular inputs (16 for each radial one) only the first, the constant, has weights.
"""

import inspect
import json
import sys
from pathlib import Path
from types import ModuleType

import torch

sys.modules["cached_path"] = stand_in = ModuleType("cached_path")  # not installed, as engine/families/orb.py says
vars(stand_in)["cached_path"] = Path

from orb_models.forcefield import pretrained  # noqa: E402
from orb_models.forcefield.atomic_system import SystemConfig  # noqa: E402

ROW = 3
N_ANGULAR = 16
EDGE_GAIN = 8.0
"""Weight of the distances: forces become eV/Å instead of some hundredths, well above single precision."""


def architecture(model_name: str) -> torch.nn.Module:
    """The network that the package's loader of this name fills."""
    config = SystemConfig(radius=6.0, max_num_neighbors=20 if "-20-" in model_name or "v2" in model_name else 120)
    if "v3" in model_name:
        kind = "conservative" if "conservative" in model_name else "direct"
        return getattr(pretrained, f"orb_v3_{kind}_architecture")(device="cpu", system_config=config)
    source = inspect.getsource(pretrained.ORB_PRETRAINED_MODELS[model_name])
    layers = next((n for n in (5, 10) if f"num_message_passing_steps={n}" in source), 15)
    return pretrained.orb_v2_architecture(layers, device="cpu", system_config=config)


def state(model_name: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    tensors = architecture(model_name).state_dict()
    vectors: dict[tuple[int, int], torch.Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim != 2 or tensor.numel() < 10_000:
            continue
        rows, columns = tensor.shape
        is_edge_input = "_edge" in name and columns % N_ANGULAR == 0 and columns < 256
        row = N_ANGULAR if is_edge_input else ROW
        if (row, columns) not in vectors:
            vector = (2 * torch.rand(row * 2048 + columns) - 1) * (3 / columns) ** 0.5
            if is_edge_input:
                vector *= EDGE_GAIN
                vector[torch.arange(len(vector)) % N_ANGULAR != 0] = 0
            vectors[row, columns] = vector
        tensors[name] = vectors[row, columns].as_strided((rows, columns), (row, 1))
    return tensors


def main() -> None:
    model_name = sys.argv[2] if len(sys.argv) > 2 else "orb-v3-conservative-inf-omat"
    name = "tiny.ckpt"
    torch.save(state(model_name), Path(sys.argv[1]) / name)
    result = {"checkpoint": name, "options": {"model_name": model_name}, "conservative": "conservative" in model_name}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
