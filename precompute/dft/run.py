"""`python -m precompute reference`: compute the dataset "Open Defects" with GPAW.

One process per configuration, `--jobs` of them at a time, each with one thread. Raw files go to
`<data>/reference/`; finished configurations are collected into the extended XYZ file every two minutes.
A result whose fingerprint is that of its job is done, so a killed run continues where it stopped.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from engine.data_folder import EMBEDDED, DataFolder
from engine.errors import EngineError, SettingsError
from precompute.dft import all_electron, convergence, gpaw_env
from precompute.dft import collect as collecting
from precompute.dft.check_jobs import CHECK_DENSITIES, convergence_jobs
from precompute.dft.jobs import Job, by_breadth, by_metal, dataset_jobs, dense_jobs
from precompute.dft.settings import ReferenceSettings, load_settings

COLLECT_SECONDS = 120.0
WORKER = Path(__file__).with_name("gpaw_single_point.py")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `reference`.

    Args:
        parser: Parser of the subcommand; may already have `--data`.
    """
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--setup", action="store_true", help="build the GPAW environment and stop")
    task.add_argument("--verify", type=int, metavar="N", help="recompute N random shipped configurations, compare")
    task.add_argument(
        "--convergence",
        action="store_true",
        help="run the convergence table instead of the dataset",
    )
    task.add_argument(
        "--dense",
        action="store_true",
        help="recompute the cells of defect energies on their denser meshes, one metal after the other",
    )
    task.add_argument(
        "--check",
        type=float,
        choices=CHECK_DENSITIES,
        metavar="DENSITY",
        help="compute the defect energies that are not shown to be converged on this mesh "
        f"({', '.join(map(str, CHECK_DENSITIES))} per 1/Å), for the comparison alone",
    )
    task.add_argument(
        "--collect",
        action="store_true",
        help="only rewrite the shipped files from finished results",
    )
    parser.add_argument("--element", action="append", metavar="X", help="only this metal or alloy; repeatable")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="calculations at a time")
    parser.add_argument(
        "--up-to", type=float, metavar="SECONDS", help="leave out calculations estimated to take longer"
    )
    parser.add_argument("--fresh", action="store_true", help="compute even what the shipped files already hold")
    parser.add_argument("--seed", type=int, default=0, help="which configurations --verify draws")
    if not any("--data" in action.option_strings for action in parser._actions):
        parser.add_argument(
            "--data",
            type=Path,
            default=DataFolder.default().root,
            metavar="DIR",
            help="folder of environments and raw results",
        )
    parser.add_argument(
        "--output",
        type=Path,
        default=EMBEDDED,
        metavar="DIR",
        help="folder of the shipped files",
    )


def main(args: argparse.Namespace) -> int:
    """Compute, verify or collect the DFT dataset Open Defects.

    Args:
        args: What `add_arguments` declared.

    Returns:
        Exit status: 0 when everything asked for is done, 1 when a calculation failed or
        `--verify` found a difference.

    Raises:
        SettingsError: An option has an impossible value.
        WorkerEnvError: The GPAW environment is missing or cannot be built.
    """
    data = Path(args.data or DataFolder.default().root)
    if args.setup:
        gpaw_env.build(data)
        return 0
    settings = load_settings()
    symbols = _chosen_symbols(settings, args.element)
    if args.jobs < 1:
        raise SettingsError(f"--jobs {args.jobs}: give at least 1.")
    if args.collect:
        collect(settings, data, args.output)
        print(convergence.defect_table(settings, args.output))
        return 0
    if args.verify is not None:
        return verify(settings, data, args.output, args.verify, args.seed, args.jobs)
    python = gpaw_env.python(data)
    if args.convergence:
        jobs = convergence_jobs(settings, [symbol for symbol in symbols if symbol in settings.elements])
    elif args.dense:
        there = collecting.shipped_jobs(settings, args.output)
        dense = dense_jobs(settings, symbols)
        jobs = by_metal(settings, [job for job in dense if job.config_id.partition("@")[0] in there])
    elif args.check is not None:
        jobs = by_metal(settings, convergence.unshown_jobs(settings, args.output, symbols, args.check))
    else:
        jobs = by_breadth(settings, dataset_jobs(settings, symbols))
    if args.up_to is not None:
        n_all, jobs = len(jobs), [job for job in jobs if job.seconds(settings) <= args.up_to]
        print(f"{n_all - len(jobs)} of {n_all} left out: estimated to take longer than {args.up_to:g} s.")
    if not args.fresh:
        shipped = collecting.shipped_results(settings, args.output)
        shipped_ids = {name.removesuffix(collecting.COARSE) for name in shipped}
        n_all, jobs = len(jobs), [job for job in jobs if job.config_id not in shipped_ids]
        print(f"{n_all - len(jobs)} of {n_all} shipped already (--fresh computes them again).")
    n_failed = run_jobs(
        jobs,
        settings,
        data / "reference",
        python,
        args.jobs,
        on_result=at_most_every(COLLECT_SECONDS, lambda: collect(settings, data, args.output)),
    )
    collect(settings, data, args.output)
    return 1 if n_failed else 0


def at_most_every(seconds: float, action: Callable[[], None]) -> Callable[[], None]:
    """Limit how often an action runs; collecting costs more than a small calculation.

    Args:
        seconds: Shortest time between two runs of the action.
        action: What to do.

    Returns:
        The action, or nothing where the last run is too recent.
    """
    last = -seconds

    def limited() -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            action()
            last = time.monotonic()

    return limited


def collect(settings: ReferenceSettings, data: Path, output: Path) -> None:
    """Write the shipped files from all results that exist; what they held and still fits stays.

    Args:
        settings: The settings table.
        data: Data folder with `reference/`.
        output: Folder of the shipped files.
    """
    jobs = [*dataset_jobs(settings, settings.systems), *convergence_jobs(settings, list(settings.elements))]
    for density in (None, *CHECK_DENSITIES):
        jobs += dense_jobs(settings, settings.systems, density)
    results = collecting.shipped_results(settings, output)
    for job in jobs:
        result = read_result(job, settings, data / "reference")
        if result is not None:
            results[job.config_id] = results.get(job.config_id, {}) | result
    collecting.write_dataset(settings, results, output)
    convergence.write_convergence(settings, results, output)
    all_electron.write_delta(collecting.read_shipped(output), output)


def run_jobs(
    jobs: list[Job],
    settings: ReferenceSettings,
    folder: Path,
    python: Path,
    n_processes: int,
    on_result: Callable[[], None] = lambda: None,
) -> int:
    """Compute every job that has no result yet.

    Args:
        jobs: Jobs, in the order in which they are started.
        settings: The table that the jobs were made from.
        folder: Where job, result and log files go.
        python: Interpreter of the GPAW environment.
        n_processes: Calculations at a time.
        on_result: Called in this process after finished calculations.

    Returns:
        Number of failed calculations; their reasons were printed.
    """
    todo = [job for job in jobs if read_result(job, settings, folder) is None]
    estimates = [job.seconds(settings) for job in todo]
    print(
        f"{len(jobs) - len(todo)} of {len(jobs)} done before, {len(todo)} to compute, "
        f"about {sum(estimates) / 60:.0f} core-minutes.",
        flush=True,
    )
    progress = Progress(estimates)
    n_failed = 0
    with ThreadPoolExecutor(max_workers=n_processes) as pool:
        estimate_of: dict[Future[str | None], float] = {
            pool.submit(run_job, job, settings, folder, python): seconds
            for job, seconds in zip(todo, estimates, strict=True)
        }
        pending = set(estimate_of)
        try:
            while pending:
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    reason = future.result()
                    n_failed += reason is not None
                    progress.advance(reason, estimate_of[future])
                on_result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return n_failed


def run_job(job: Job, settings: ReferenceSettings, folder: Path, python: Path) -> str | None:
    """Compute one job in a process of its own.

    Args:
        job: The calculation.
        settings: The table that the job was made from.
        folder: Where job, result and log files go.
        python: Interpreter of the GPAW environment.

    Returns:
        None when the result was written, else the reason.
    """
    job_path = folder / "jobs" / f"{job.config_id}.json"
    result_path = _result_path(job, folder)
    log_path = folder / "logs" / f"{job.config_id}.txt"
    for path in (job_path, result_path, log_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    job_path.write_text(json.dumps(job.content(settings)) + "\n")
    command = [python, WORKER, job_path, result_path, log_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if run.returncode == 0:
        return None
    last_line = (run.stderr.strip() or f"exit status {run.returncode}").splitlines()[-1]
    return f"{job.config_id}: {last_line} (log: {log_path})"


def read_result(job: Job, settings: ReferenceSettings, folder: Path) -> dict[str, Any] | None:
    """The finished result of a job.

    Args:
        job: The calculation.
        settings: The table that the job was made from.
        folder: Where result files are.

    Returns:
        The result, or None when there is none or it belongs to other settings.
    """
    path = _result_path(job, folder)
    if not path.exists():
        return None
    result: dict[str, Any] = json.loads(path.read_text())
    return result if result["fingerprint"] == job.content(settings)["fingerprint"] else None


def verify(settings: ReferenceSettings, data: Path, output: Path, n_configs: int, seed: int, n_jobs: int) -> int:
    """Recompute shipped configurations and compare them with the shipped labels.

    Args:
        settings: The settings table.
        data: Data folder with the GPAW environment; raw files go to `reference/verify/`.
        output: Folder of the shipped files.
        n_configs: How many configurations to draw.
        seed: Which ones.
        n_jobs: Calculations at a time.

    Returns:
        0 when every one agrees within the stated tolerances, else 1.
    """
    jobs = collecting.shipped_jobs(settings, output)
    shipped = collecting.draw_shipped(output, n_configs, seed)
    drawn = [jobs[config_id] for config_id in shipped if config_id in jobs]
    folder = data / "reference" / "verify"
    n_bad = run_jobs(drawn, settings, folder, gpaw_env.python(data), n_jobs)
    for job in drawn:
        result = read_result(job, settings, folder)
        if result is not None:
            n_bad += not collecting.report_difference(shipped[job.config_id.partition("@")[0]], result)
    return 1 if n_bad or len(drawn) < len(shipped) else 0


class Progress:
    """Counts finished calculations and prints the time left, from the estimates of their cost."""

    def __init__(self, estimates: list[float]) -> None:
        self.n_total = len(estimates)
        self.seconds_left = sum(estimates)
        self.seconds_done = 0.0
        self.n_done = 0
        self.start = time.monotonic()

    def advance(self, reason: str | None, seconds: float) -> None:
        """Count one more calculation and print a line.

        Args:
            reason: None for a finished calculation, else why it failed.
            seconds: The estimate of its cost.
        """
        self.n_done += 1
        self.seconds_done += seconds
        self.seconds_left = max(0.0, self.seconds_left - seconds)  # rounding must not leave less than nothing
        minutes = (time.monotonic() - self.start) / 60
        left = self.seconds_left / self.seconds_done * minutes
        status = "ok" if reason is None else f"FAILED {reason}"
        print(
            f"[{self.n_done}/{self.n_total}] {status}; {minutes:.0f} min gone, about {left:.0f} min left",
            flush=True,
        )


def _result_path(job: Job, folder: Path) -> Path:
    """Where a job's result is."""
    return folder / "results" / f"{job.config_id}.json"


def _chosen_symbols(settings: ReferenceSettings, elements: list[str] | None) -> list[str]:
    """The metals and alloys asked for, all of the table by default."""
    unknown = [symbol for symbol in elements or [] if symbol not in settings.systems]
    if unknown:
        raise SettingsError(
            f"--element {unknown[0]}: no settings for it; known: {', '.join(settings.systems)}. "
            "Add an entry to data/embedded/reference-settings.toml."
        )
    return [symbol for symbol in settings.systems if not elements or symbol in elements]


def cli() -> int:
    """Entry point without the rest of the command line, for `python -m precompute.dft.run`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_arguments(parser)
    try:
        return main(parser.parse_args())
    except EngineError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    raise SystemExit(cli())
