"""Files appear whole or not at all, and nothing is left of writers that died."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.data_folder import ROOT, DataFolder, using
from engine.files import remove_abandoned, replacing, scratch_folder, write_text
from engine.records import Prediction, read_predictions, write_predictions


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "a.parquet"
    texts = ["x" * 100_000, "y" * 100_000]
    threads = [threading.Thread(target=lambda t=t: [write_text(path, t) for _ in range(20)]) for t in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_a_living_one_keeps_its_own(tmp_path):
    program = (
        "import os, sys; from pathlib import Path; from engine.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as t: t.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "a"], cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    with replacing(tmp_path / "b") as mine:
        mine.write_text("b")
        assert remove_abandoned(tmp_path) == [left]
        assert mine.exists()


def test_temporary_folders_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = (
        "import os; from engine.files import scratch_folder\n"
        "print(scratch_folder(), flush=True); os.kill(os.getpid(), 9)"
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    asked = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
    left = Path(asked.stdout.strip())
    assert left.is_dir()
    first = scratch_folder()
    assert not left.exists()
    second = scratch_folder()
    assert first.is_dir()
    assert second != first


def test_a_flipped_bit_is_found_when_the_file_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    write_predictions(path, [Prediction("a", "0", "failed", f"reason {k}") for k in range(100)])
    content = bytearray(path.read_bytes())
    content[60] ^= 1  # inside the first page
    path.write_bytes(bytes(content))
    with pytest.raises(OSError, match=r"(?i)crc|checksum|corrupt|deserialize"):
        read_predictions(path)


def test_a_flipped_bit_anywhere_gives_an_error_or_the_same_numbers(tmp_path):
    """Pages have checksums; the end of the file, which says what they mean, has none."""
    path = tmp_path / "a.parquet"
    rows = [Prediction(f"c-{k}", "0", "ok", energy=0.1 * k, wall_seconds=0.5 + k) for k in range(20)]
    write_predictions(path, rows)
    content, draw = path.read_bytes(), random.Random(1)
    n_refused = 0
    for place in range(0, len(content), 5):
        damaged = bytearray(content)
        damaged[place] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            assert read_predictions(path) == rows, place
        except (OSError, ValueError):  # ArrowInvalid is a ValueError
            n_refused += 1
    assert n_refused > 100


def test_the_folder_in_use_is_the_default_one_for_a_block(tmp_path):
    before = DataFolder.default()
    with using(DataFolder(tmp_path)):
        assert DataFolder.default().root == tmp_path
    assert DataFolder.default() == before
