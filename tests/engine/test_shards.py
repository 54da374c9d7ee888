import dataclasses

import numpy as np
import pytest

from engine import shards
from engine.records import KILLED, Configuration, Prediction, write_predictions


def cell(name: str, n_atoms: int) -> Configuration:
    return Configuration(name, "g", np.full(n_atoms, 29), np.zeros((n_atoms, 3)), np.eye(3), (True, True, True))


def test_shards_keep_every_configuration_and_their_limits():
    sizes = np.random.default_rng(0).integers(1, 200, size=300)
    made = shards.cut(cell(f"c{i}", int(n)) for i, n in enumerate(sizes))
    assert sorted(c.config_id for s in made for c in s.configurations) == sorted(f"c{i}" for i in range(300))
    assert all(len(s.configurations) <= shards.MAX_CONFIGS for s in made)
    assert all(s.n_atoms <= shards.MAX_ATOMS or len(s.configurations) == 1 for s in made)


def test_one_huge_configuration_is_a_shard():
    (shard,) = shards.cut([cell("huge", shards.MAX_ATOMS + 1)])
    assert shard.n_atoms == shards.MAX_ATOMS + 1


def test_shard_names_depend_on_members_alone():
    a, b = cell("a", 4), cell("b", 4)
    assert shards.cut([a, b])[0].name == shards.cut([b, a])[0].name
    assert shards.cut([a])[0].name != shards.cut([b])[0].name


def test_only_what_no_file_holds_is_missing(tmp_path):
    a, b = cell("a", 2), cell("b", 3)
    write_predictions(tmp_path / "x.parquet", [Prediction("a", a.geometry_hash, "failed", "no")])
    write_predictions(tmp_path / "y.parquet", [Prediction("b", "another geometry", "ok", energy=0.0)])
    assert shards.missing([a, b], shards.done_keys(tmp_path.glob("*.parquet"))) == [b]


def grouped(n_large: int, n_small: int) -> list[Configuration]:
    sizes = {"large": n_large, "small": n_small}
    return [
        dataclasses.replace(cell(f"{group}-{i}", 2), group_name=group) for group, n in sizes.items() for i in range(n)
    ]


def test_samples_are_nested_and_do_not_depend_on_the_order():
    configurations = grouped(90, 10)
    ids = [[c.config_id for c in shards.sample(configurations, n)] for n in (10, 40, 200)]
    assert ids[0] == ids[1][:10] == ids[2][:10]
    assert sorted(ids[2]) == sorted(c.config_id for c in configurations)
    assert [c.config_id for c in shards.sample(configurations[::-1], 40)] == ids[1]


def test_a_sample_has_every_group_and_then_its_share():
    names = [c.group_name for c in shards.sample(grouped(90, 10), 20)]
    assert set(names[:2]) == {"large", "small"}
    assert names.count("small") == 2
    assert [c.group_name for c in shards.sample(grouped(95, 5), 50)].count("small") == 3


@pytest.mark.parametrize(
    "reason",
    [
        "MemoryError: 9 atoms do not fit into memory",
        KILLED,
        "took longer than 5 s",
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "_LinAlgError: cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`",
        "AcceleratorError: CUDA error: unknown error",
    ],
)
def test_a_lack_of_memory_or_time_is_kept_but_tried_again(tmp_path, reason):
    a = cell("a", 2)
    write_predictions(tmp_path / "x.parquet", [Prediction("a", a.geometry_hash, "failed", reason)])
    assert shards.missing([a], shards.done_keys(tmp_path.glob("*.parquet"))) == [a]
    ((prediction, _),) = shards.merged(tmp_path.glob("*.parquet")).values()
    assert prediction.reason == reason


def test_a_transient_failure_in_a_later_file_does_not_hide_a_result(tmp_path):
    write_predictions(tmp_path / "a.parquet", [Prediction("a", "0", "ok", energy=1.0)])
    write_predictions(tmp_path / "b.parquet", [Prediction("a", "0", "failed", KILLED)])
    ((prediction, path),) = shards.merged(sorted(tmp_path.glob("*.parquet"))).values()
    assert (prediction.energy, path.name) == (1.0, "a.parquet")
