"""The steps of a Dockerfile in a clean root, where there is no Docker: `python -m benchmarks.clean_root FOLDER`.

FOLDER is a Debian that debootstrap or mmdebstrap made, with Python and pip:

    mmdebstrap --variant=minbase --include=python3,python3-pip,ca-certificates bookworm /tmp/root

It stands for the image of the last FROM. Stages before it are left out, and so are lines that install Chromium. What a
build would copy is copied (.dockerignore is checked by tests/whole/test_containers.py), RUN runs in the root, and USER
and ENV hold for the command at the end, which the program then tries: the server must answer `/healthz`, and the job
its `--version`. It needs root.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from engine.data_folder import ROOT
from tests.whole.test_containers import instructions

WORK = "/atlas"
PORT = 8501
SKIPPED = ("chromium",)  # a gigabyte that only printed figures need


def main() -> int:
    """Run the steps, then the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.clean_root", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--file", type=Path, default=ROOT / "Dockerfile")
    parser.add_argument("--settings", type=Path, nargs="*", default=[], help="files of pip or apt to copy in, by path")
    arguments = parser.parse_args()
    for path in [*arguments.settings, Path("/etc/resolv.conf")]:
        _copy(path, arguments.folder / path.relative_to("/"))
    (arguments.folder / WORK.strip("/")).mkdir(exist_ok=True)
    python = arguments.folder / "usr/local/bin/python"
    python.unlink(missing_ok=True)
    python.symlink_to("/usr/bin/python3")
    # Debian's Python wants to hear that pip may install beside it; the image's does not ask.
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    environment |= {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_", "SSL_"))}
    last = arguments.file.read_text().rpartition("\nFROM ")[2].partition("\n")[2]
    user = "root"
    for word, rest in instructions(last):
        started = time.monotonic()
        if word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            for source in sources:
                to = source if target.rstrip("/") == "." else target
                _copy(ROOT / source, arguments.folder / WORK.strip("/") / to)
        elif word == "RUN" and not any(name in rest for name in SKIPPED):
            _in_root(arguments.folder, environment, "root", ["sh", "-euc", rest])
        elif word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in rest.split())
        elif word == "USER":
            user = rest
        elif word not in ("CMD", "ENTRYPOINT"):
            continue
        print(f"{time.monotonic() - started:6.1f} s  {word} {rest[:90]}", flush=True)
    commands = {word: json.loads(rest) for word, rest in instructions(last) if word in ("CMD", "ENTRYPOINT")}
    if "ENTRYPOINT" in commands:
        _in_root(arguments.folder, environment, user, [*commands["ENTRYPOINT"], "--version"])
        _in_root(arguments.folder, environment, user, [*commands["ENTRYPOINT"], *commands["CMD"]])
        return 0
    return _serve(arguments.folder, environment, user, commands["CMD"])


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _chroot(folder: Path, environment: dict[str, str], user: str, argv: list[str]) -> list[str]:
    settings = [f"{key}={value}" for key, value in environment.items()]
    within = f"cd {WORK} && exec {shlex.join(argv)}"
    return ["chroot", f"--userspec={user}", str(folder), "env", "-i", *settings, "sh", "-c", within]


def _in_root(folder: Path, environment: dict[str, str], user: str, argv: list[str]) -> None:
    subprocess.run(_chroot(folder, environment, user, argv), check=True)


def _serve(folder: Path, environment: dict[str, str], user: str, argv: list[str]) -> int:
    """Start the server, and ask for its health until it answers."""
    server = subprocess.Popen(_chroot(folder, environment, user, argv))
    try:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and server.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=10) as answer:
                    print(answer.status, answer.read().decode())
                    return 0
            except urllib.error.HTTPError as error:  # 503 says that there is no store, as in a new folder
                print(error.code, error.read().decode())
                return 0
            except OSError:
                time.sleep(1)
        return 1
    finally:
        server.terminate()
        server.wait(timeout=60)


if __name__ == "__main__":
    sys.exit(main())
