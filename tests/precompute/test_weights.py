"""What identifies the predictions of a model: its code, its pins, its weights and its options."""

import ast

import pytest

from engine.data_folder import DataFolder
from engine.registry.models import get_model
from precompute.acquire import weights


def test_code_digest_ignores_what_does_not_compute(tmp_path):
    first, second, third = (tmp_path / f"{i}.py" for i in range(3))
    first.write_text('"""Doc."""\nx = 1  # why\n')
    second.write_text('"""Other words."""\n\nx = 1\n')
    third.write_text('"""Doc."""\nx = 2\n')
    assert weights.code_digest(first) == weights.code_digest(second) != weights.code_digest(third)


@pytest.mark.parametrize("change", [{"checkpoint_sha256": "b"}, {"options": {"modal": "PBE"}}, {"family": "emt"}])
def test_fingerprint_changes_with_what_decides_a_number(change):
    given = {"family": "chgnet", "checkpoint_sha256": "a", "options": {}}
    assert weights.fingerprint(**given) == weights.fingerprint(**given)
    assert weights.fingerprint(**given) != weights.fingerprint(**(given | change))


def test_the_batched_path_does_not_count_for_the_fingerprint(tmp_path):
    plain = tmp_path / "plain.py"
    plain.write_text("REACH = 6.0\n\n\ndef load(checkpoint, device):\n    return 1\n")
    batched = tmp_path / "batched.py"
    more = "\n\ndef _batch_size():\n    return 2\n\n\ndef batch(calculator, systems):\n    return []\n"
    batched.write_text(plain.read_text() + more)
    changed = tmp_path / "changed.py"
    changed.write_text(plain.read_text().replace("6.0", "5.0"))
    digests = [weights.code_digest(path) for path in (plain, batched, changed)]
    assert digests[0] == digests[1] != digests[2]


def test_code_digest_is_that_of_every_python(tmp_path, monkeypatch):
    path = tmp_path / "family.py"
    path.write_text("class A:\n    x = 1\n\n\ndef load(path, device, head=None):\n    return [path, *device]\n")
    plain = weights.code_digest(path)
    assert plain == "399ae82ddcd3f24dcbc0c07a16f33f41dd05b42a09d3ce0cc88356ac07aa9fcb"
    parse = ast.parse

    def as_from_3_12_on(source: str) -> ast.Module:
        tree = parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                node.type_params = []
                node._fields = tuple(dict.fromkeys((*node._fields, "type_params")))
        return tree

    monkeypatch.setattr(weights.ast, "parse", as_from_3_12_on)
    assert weights.code_digest(path) == plain


def test_files_of_another_version_are_stale_and_not_lost_from_sight(tmp_path):
    checkpoint = weights.Checkpoint(get_model("emt"), DataFolder(tmp_path))
    for fingerprint in (checkpoint.fingerprint, "another"):
        path = checkpoint.folder.predictions("open-defects", "emt", fingerprint) / "a.parquet"
        path.parent.mkdir(parents=True)
        path.touch()
    assert [path.parent.name for path in checkpoint.predictions("open-defects")] == [checkpoint.fingerprint]
    assert [path.parent.name for path in checkpoint.stale("open-defects")] == ["another"]
