from pathlib import Path

import numpy as np
import pytest

from engine import shards
from engine.records import Configuration, Prediction, write_predictions


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


def test_code_digest_ignores_what_does_not_compute(tmp_path):
    first, second, third = (tmp_path / f"{i}.py" for i in range(3))
    first.write_text('"""Doc."""\nx = 1  # why\n')
    second.write_text('"""Other words."""\n\nx = 1\n')
    third.write_text('"""Doc."""\nx = 2\n')
    assert shards.code_digest(first) == shards.code_digest(second) != shards.code_digest(third)


@pytest.mark.parametrize("change", [{"checkpoint_sha256": "b"}, {"options": {"modal": "PBE"}}, {"family": "emt"}])
def test_fingerprint_changes_with_what_decides_a_number(change):
    given = {"family": "chgnet", "checkpoint_sha256": "a", "options": {}}
    assert shards.fingerprint(**given) == shards.fingerprint(**given)
    assert shards.fingerprint(**given) != shards.fingerprint(**(given | change))


def test_every_family_has_a_lock_with_hashes():
    for path in Path(shards.FAMILIES).glob("*.py"):
        if path.stem == "__init__":
            continue
        lines = path.with_suffix(".lock").read_text().splitlines()
        pinned = [line for line in lines if "==" in line and not line.startswith(" ")]
        assert pinned
        assert all(line.endswith("\\") for line in pinned), f"{path.stem}: a package without hashes"
