"""Server time of every page, warm: python -m benchmarks.page_times [--against CHECKOUT].

Each page is rendered without a browser on the store of the data folder, first once so that caches are filled, then
`--runs` times; the median counts. With `--against` another checkout of the project is timed on the same store in turn
with this one, and the ratio this / other is printed: machines are noisy, and only a ratio of one occasion counts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3  # times that the checkouts take turns


def measure(n_runs: int) -> dict[str, float]:
    """Median seconds of every page of the checkout in the working directory."""
    sys.path.insert(0, str(Path.cwd()))
    from streamlit.testing.v1 import AppTest

    from app.main import PAGES

    at = AppTest.from_file(str(Path("app/main.py").resolve()), default_timeout=120)
    at.run()
    seconds = {}
    for page in PAGES:
        if page.url_path:
            at.switch_page(page.file)
        times = []
        for _ in range(n_runs + 1):
            started = time.perf_counter()
            at.run()
            times.append(time.perf_counter() - started)
        if at.exception:
            raise SystemExit(f"{page.title}: {at.exception[0].message}")
        seconds[page.title] = statistics.median(times[1:])
    return seconds


def _in_checkout(checkout: Path, n_runs: int) -> dict[str, float]:
    """The same, in a process of its own with that checkout's code."""
    command = [sys.executable, str(Path(__file__).resolve()), "--measure", "--runs", str(n_runs)]
    env = dict(os.environ) | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{checkout}: {done.stderr.strip()[-800:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Print one line per page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--against", type=Path, metavar="CHECKOUT", help="another checkout, timed in turn with this one"
    )
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="renderings of each page that count")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.runs)))
        return
    checkouts = [ROOT, *([arguments.against.resolve()] if arguments.against else [])]
    found = [[_in_checkout(checkout, arguments.runs) for checkout in checkouts] for _ in range(ROUNDS)]
    for page in found[0][0]:
        here = statistics.median(sides[0][page] for sides in found)
        line = f"{page:16} {1e3 * here:7.0f} ms"
        if arguments.against and page in found[0][1]:
            ratio = statistics.median(sides[0][page] / sides[1][page] for sides in found)
            line += f"   ratio {ratio:.2f}"
        print(line)


if __name__ == "__main__":
    main()
