"""The Dockerfiles: what they copy is there and reaches the build, and is all that the app and the job need."""

import fnmatch
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engine.data_folder import ROOT

FILES = ("Dockerfile", "precompute/Dockerfile")


def instructions(text: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile with their arguments, lines joined and comments left out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = (line.partition(" ") for line in joined.splitlines() if line)
    return [(word.upper(), rest.strip()) for word, _, rest in found]


def copied(text: str) -> list[tuple[list[str], str]]:
    """What each COPY takes from the build's context, and where it goes; copies from other stages are left out."""
    found = [rest.split() for word, rest in instructions(text) if word == "COPY" and not rest.startswith("--from")]
    return [(words[:-1], words[-1]) for words in found]


def is_sent(path: str, patterns: list[str]) -> bool:
    """Whether Docker sends a file of the repository to a build: the last pattern of .dockerignore that fits decides."""
    sent = True
    for pattern in patterns:
        wanted, bare = pattern.startswith("!"), pattern.removeprefix("!").removeprefix("**/")
        parts = Path(path).parts
        heads = ["/".join(parts[: k + 1]) for k in range(len(parts))]
        names = parts if "**/" in pattern else heads
        if any(fnmatch.fnmatchcase(name, bare) for name in names):
            sent = wanted
    return sent


def ignored() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def tracked() -> list[str]:
    """Files of the repository; those that are new count too."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("this is no clone; git names the files of the repository")
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_is_copied_is_there_and_reaches_the_build(name):
    files, patterns = tracked(), ignored()
    copies = copied((ROOT / name).read_text())
    assert len(copies) > 3
    for sources, _ in copies:
        for source in sources:
            below = [file for file in files if file == source or file.startswith(f"{source}/")]
            assert below, f"{source} is not in the repository"
            assert [file for file in below if not is_sent(file, patterns)] == []


def test_what_nobody_needs_is_not_sent():
    patterns = ignored()
    for path in ("data/results.duckdb", "data/worker_envs/emt/bin/python", ".git/config", "tests/conftest.py", ".env",
                 "app/__pycache__/main.cpython-311.pyc", "node_modules/3dmol/package.json"):  # fmt: skip
        assert not is_sent(path, patterns), path


def test_a_planted_gap_is_found():
    assert is_sent("engine/errors.py", ["*", "!engine"])
    assert not is_sent("engine/errors.py", ["*", "!app"])
    assert not is_sent("engine/errors.py", ["*", "!engine", "engine/errors.py"])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with what the app's image copies, and nothing else of the repository."""
    made = tmp_path_factory.mktemp("image")
    for sources, target in copied((ROOT / "Dockerfile").read_text()):
        for source in sources:
            to = made / source if target.endswith("/") or target == "." else made / target
            to.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=shutil.ignore_patterns("__pycache__", "summaries"))
            else:
                shutil.copy(ROOT / source, to)
    return made


def test_what_the_image_holds_is_enough_to_start_pages_and_commands(root, tmp_path):
    programs = (
        "import app.server, app.main; assert len(app.main.PAGES) > 10",
        "from precompute.__main__ import make_parser; make_parser().parse_args(['doctor'])",
        "from precompute.jobs import archive; assert len(archive.contents('2026-01-01')) > 50",
    )
    environment = {**os.environ, "DEFECT_ATLAS_DATA": str(tmp_path), "PYTHONPATH": ""}
    argv = [sys.executable, "-c", "\n".join(programs)]
    done = subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_job_has_all_of_the_app_but_its_pages():
    app, job = ({source for sources, _ in copied((ROOT / name).read_text()) for source in sources} for name in FILES)
    assert app - job == {"app", ".streamlit", ".npmrc", "package.json", "package-lock.json"}
    assert job <= app


@pytest.mark.parametrize("name", FILES)
def test_images_run_as_a_user_without_rights_and_keep_their_data_apart(name):
    found = instructions((ROOT / name).read_text())
    last = [rest for word, rest in found if word == "USER"]
    assert last and last[-1] != "root"
    assert ("VOLUME", "/data") in found
    assert any(word == "ENV" and "DEFECT_ATLAS_DATA=/data" in rest for word, rest in found)
