"""The GPAW environment: built with pip from pinned versions under `<data>/worker_envs/gpaw`."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path

from engine.errors import WorkerEnvError

# gpaw compiles against numpy and needs a current setuptools: the one of Python 3.11 fails.
BUILD_PINS = ("pip==26.3", "setuptools==84.2.1", "wheel==0.48.0")
PINS = ("numpy==2.4.6", "scipy==1.17.1", "ase==3.29.0", "pybind11==3.1.0", "ninja==1.13.2")
GPAW_PINS = ("gpaw==26.7.0", "gpaw-data==1.2.1")

DEBIAN_PACKAGES = "build-essential python3-dev python3-venv libxc-dev libopenblas-dev libfftw3-dev"
SITECONFIG = """\
mpi = False
compiler = 'cc'
fftw = True
scalapack = False
libraries = ['xc', 'openblas', 'fftw3']
extra_compile_args = ['-O3', '-march=native', '-fopenmp-simd']
"""
PROBE = "#include <Python.h>\n#include <xc.h>\n#include <fftw3.h>\nint main(void) { return 0; }\n"


def python(data: Path) -> Path:
    """Interpreter of the GPAW environment.

    Args:
        data: Data folder.

    Returns:
        Path of the interpreter.

    Raises:
        WorkerEnvError: The environment is not built.
    """
    path = _folder(data) / "bin" / "python"
    if not (_folder(data) / "complete").exists():
        raise WorkerEnvError(
            f"The GPAW environment {_folder(data)} is not built. Run: python -m precompute reference --setup"
        )
    return path.absolute()


def build(data: Path) -> None:
    """Build the environment unless it is complete.

    Args:
        data: Data folder.

    Raises:
        WorkerEnvError: The compiler or a library is missing, or pip failed.
    """
    folder = _folder(data)
    pins = "\n".join((*PINS, *GPAW_PINS)) + "\n"
    marker = folder / "complete"
    if marker.exists() and marker.read_text() == pins:
        print(f"The GPAW environment {folder} is complete.")
        return
    check_compiler()
    print(f"Building the GPAW environment {folder} (about 500 MB).", flush=True)
    venv.create(folder, with_pip=True, clear=True)
    _pip(folder, "--upgrade", *BUILD_PINS)
    _pip(folder, *PINS)
    siteconfig = folder / "siteconfig.py"
    siteconfig.write_text(SITECONFIG)
    # Only gpaw itself is compiled; "--no-binary :all:" would compile numpy too.
    _pip(
        folder,
        "--no-build-isolation",
        "--no-binary=gpaw",
        *GPAW_PINS,
        environment={"GPAW_CONFIG": str(siteconfig.absolute())},
    )
    marker.write_text(pins)


def check_compiler() -> None:
    """Compile and link an empty program against the libraries that GPAW needs.

    Raises:
        WorkerEnvError: It does not compile; the message names the Debian packages.
    """
    compiler = shutil.which("cc")
    if compiler is None or not _links(compiler):
        reason = "no C compiler 'cc'" if compiler is None else "Python.h, libxc, openblas or fftw3"
        raise WorkerEnvError(
            f"GPAW cannot be compiled here ({reason} missing). On Debian run: apt-get install {DEBIAN_PACKAGES}"
        )


def _links(compiler: str) -> bool:
    """Whether the probe program compiles and links."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.c"
        source.write_text(PROBE)
        include = sysconfig.get_path("include")
        libraries = ("-lxc", "-lopenblas", "-lfftw3")
        command = [compiler, f"-I{include}", str(source), *libraries, "-o", f"{folder}/probe"]
        return subprocess.run(command, capture_output=True).returncode == 0


def _pip(folder: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
    """Run the environment's own pip."""
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments]
    run = subprocess.run(command, env={**os.environ, **(environment or {})})
    if run.returncode:
        raise WorkerEnvError(
            f"pip could not install {' '.join(arguments)} into {folder} with {sys.executable}; "
            "see its message above, then run: python -m precompute reference --setup"
        )


def _folder(data: Path) -> Path:
    """Where the environment lives."""
    return data / "worker_envs" / "gpaw"
