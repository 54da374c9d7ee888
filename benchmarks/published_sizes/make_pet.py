"""Write a PET of its published size with random weights: `make_pet.py NAME TARGET`."""

import torch
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info, get_generic_target_info
from sizes import asked, report, trainable

VECTOR, MATRIX = {"cartesian": {"rank": 1}}, {"cartesian": {"rank": 2}}


def main() -> None:
    """Write a checkpoint with the heads that the published ones have, of which inference asks for the energy alone."""
    name, architecture, folder = asked()
    width = architecture["d_pet"]
    hypers = get_default_hypers("pet")["model"] | {"d_node": 4 * width, "d_feedforward": 2 * width, "d_head": width}
    direct = {
        "non_conservative_forces": {"unit": "eV/A", "type": VECTOR, "num_subtargets": 1, "sample_kind": "atom"},
        "non_conservative_stress": {"unit": "eV/A^3", "type": MATRIX, "num_subtargets": 1, "sample_kind": "system"},
    }
    targets = {"energy": get_energy_target_info("energy", {"unit": "eV"})}
    targets |= {key: get_generic_target_info(key, {"quantity": "", "per_atom": False} | d) for key, d in direct.items()}
    torch.manual_seed(0)
    network = PET(hypers | architecture, DatasetInfo("angstrom", list(range(1, 103)), targets))
    torch.save(network.get_checkpoint(), folder / f"{name}.ckpt")
    report(name, f"{name}.ckpt", trainable(network))


if __name__ == "__main__":
    main()
