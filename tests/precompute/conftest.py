"""What tests of running models share."""

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
