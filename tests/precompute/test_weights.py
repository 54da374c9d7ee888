"""What identifies the predictions of a model: its code, its pins, its weights and its options."""

import pytest

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
