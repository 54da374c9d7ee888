"""Write a MatterSim of its published size with random weights: `make_mattersim.py NAME TARGET`."""

import torch
from mattersim.forcefield.potential import M3Gnet, Potential
from sizes import asked, report, trainable


def main() -> None:
    """Write the checkpoint by the package's own writer."""
    name, architecture, folder = asked()
    torch.manual_seed(0)
    network = M3Gnet(max_l=4, max_n=4, cutoff=5.0, threebody_cutoff=4.0, max_z=94, device="cpu", **architecture)
    Potential(network, device="cpu", description="random weights").save(str(folder / f"{name}.pth"))
    report(name, f"{name}.pth", trainable(network))


if __name__ == "__main__":
    main()
