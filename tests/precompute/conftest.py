"""What tests of running models share."""

import dataclasses
from collections.abc import Callable

import pytest

from engine.data_folder import DataFolder
from precompute.workers import worker_envs


@pytest.fixture
def folder(tmp_path) -> DataFolder:
    """A fresh data folder that shares the built worker environments."""
    built = DataFolder.default().root
    if not worker_envs.is_built("emt", built):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    (tmp_path / "worker_envs").symlink_to((built / "worker_envs").resolve())
    return DataFolder(tmp_path)


@pytest.fixture
def alter_workers(monkeypatch) -> Callable[[str], None]:
    """Let workers of a pool run some lines of Python before they begin; `worker` and `sys` are imported."""

    def alter(lines: str) -> None:
        program = f"import sys\nfrom precompute.workers import worker\n{lines}\nsys.exit(worker.main())"

        def command(*arguments, **options):
            real = worker_envs.worker_command(*arguments, **options)
            at = real.argv.index("-m")
            argv = (*real.argv[:at], "-c", program, *real.argv[at + 2 :])
            return dataclasses.replace(real, argv=argv, read=None)

        monkeypatch.setattr("precompute.workers.pool.worker_command", command)

    return alter
