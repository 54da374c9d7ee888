"""Every set of a mirror directory is what its index says: numbers of configurations and atoms, energies per atom."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine.data_folder import DataFolder
from engine.registry.datasets import DATASETS_PATH, load_datasets
from precompute.acquire.datasets import configurations_of, fetch_dataset

MIRROR = os.environ.get("DEFECT_ATLAS_MIRROR", "")

INDEX = {  # configurations, atoms, lowest and highest energy in eV/atom
    "w-g": (1129, 99402, -12.957, 50.367),
    "nbmotaw-snap": (4513, 95100, -12.960, -9.502),
    "mo-snap": (222, 12075, -10.851, -8.189),
    "ta-fitsnap": (363, 4224, -11.848, 28.131),
    "w-szlachta": (4508, 112560, -8.908, -7.580),
    "wbe-fitsnap": (2185, 154107, -8.909, 54.361),
    "zr-gb-castep": (1101, 106278, -1293.217, -1292.794),
    "zr-i-cs-gb-castep": (940, 79990, -1290.023, -1255.667),
    "lial": (2956, 353417, -3.744, -0.785),
    "zrh": (1360, 3818, -8.520, -5.500),
    "fe-fitsnap": (821, 25802, -8.256, -3.418),
    "ni-snap": (414, 43030, -5.781, -5.139),
    "cu-snap": (226, 23358, -4.101, -3.515),
    "nimo-snap": (242, 31944, -7.142, -6.696),
    "li-mlearn": (252, 12860, -1.899, -1.706),
    "cu-fhiaims": (1000, 11309, -3.700, -2.701),
    "mattersim-metals": (879, 7091, -12.895, 11.547),
    "misc-outcar": (4, 1215, -8.466, -7.775),
    "crmnfeconi-small": (20, 3600, -4.893, -4.765),
    "v-bcc-ace": (1928, 35765, -8.992, 7.398),
    "nb-bcc-ace": (1951, 36515, -10.216, 31.516),
    "mo-bcc-ace": (1950, 35329, -10.935, 33.962),
    "ta-bcc-ace": (1899, 34987, -11.813, 25.2),
    "w-bcc-ace": (1860, 33928, -12.955, 10.716),
    "ni-jgap": (1232, 30528, -5.470, 6.718),
    "feni-jgap": (286, 9337, -8.342, 15.84),
    "crfemnni-jgap": (440, 13778, -9.507, 1.907),
    "mg-mgcu": (328, 38476, -3.245, -1.168),
    "fe-gap22": (2286, 7947, -3460.935, -3452.437),
}


def test_the_index_has_every_set_that_a_mirror_holds() -> None:
    assert set(INDEX) == {d.dataset_id for d in load_datasets(DATASETS_PATH).values() if d.mirror_files}


@pytest.mark.skipif(not MIRROR, reason="no mirror directory: set DEFECT_ATLAS_MIRROR")
@pytest.mark.parametrize("dataset_id", INDEX)
def test_set_is_what_the_index_says(tmp_path: Path, dataset_id: str) -> None:
    dataset, folder = load_datasets(DATASETS_PATH)[dataset_id], DataFolder(tmp_path)
    n_configs, n_atoms, lowest, highest = INDEX[dataset_id]

    fetch_dataset(dataset, folder, Path(MIRROR))

    found = configurations_of(dataset, folder)
    per_atom = [c.energy / c.n_atoms for c in found if c.energy is not None]
    assert (len(found), sum(c.n_atoms for c in found), len(per_atom)) == (n_configs, n_atoms, n_configs)
    assert (min(per_atom), max(per_atom)) == pytest.approx((lowest, highest), abs=5.1e-4)
    assert all(c.forces is not None for c in found)
    assert {int(z) for c in found for z in c.numbers} <= set(range(1, 95))
    # Where one is, precompute.acquire.weights.ADAPTER_VERSION must be raised.
    assert not any(all(c.pbc) and np.linalg.det(c.cell) < 0 for c in found)
