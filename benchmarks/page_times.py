"""CPU time of every page, warm: python -m benchmarks.page_times [--against CHECKOUT].

Each page is drawn without a browser on the store of the data folder, first three times so that caches are filled,
then `--runs` times; the median counts. With `--against` another checkout of the project draws each page in turn with
this one, each in a process of its own, and the ratio this / other of CPU times is printed: machines are noisy, wall
times more than CPU times, and only a ratio of one occasion counts. A checkout with another schema of the store needs
a data folder of its own, built from the same predictions: `--its-data`.
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


def serve() -> None:
    """Draw the page of each title that standard input has, and answer with the CPU seconds; `?` asks for titles."""
    sys.path.insert(0, str(Path.cwd()))
    answers, sys.stdout = sys.stdout, sys.stderr  # pages may print
    from streamlit.testing.v1 import AppTest

    from app.main import PAGES

    pages, drawn = {page.title: page for page in PAGES}, {}
    for title in map(str.strip, sys.stdin):
        if title not in pages:
            print(json.dumps(list(pages)), file=answers, flush=True)
            continue
        if title not in drawn:
            at = drawn[title] = AppTest.from_file(str(Path("app/main.py").resolve()), default_timeout=300).run()
            if pages[title].url_path:
                at.switch_page(pages[title].file)
            at.run().run()
        started = time.process_time()
        at = drawn[title].run()
        seconds = time.process_time() - started
        if at.exception:
            raise SystemExit(f"{title}: {at.exception[0].message}")
        print(json.dumps(seconds), file=answers, flush=True)


class Checkout:
    """A live process that draws pages with the code of one checkout."""

    def __init__(self, folder: Path, data: Path | None) -> None:
        env = dict(os.environ) | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        env |= {"DEFECT_ATLAS_DATA": str(data.resolve())} if data else {}
        command = [sys.executable, str(Path(__file__).resolve()), "--serve"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, cwd=folder, env=env, stdin=pipe, stdout=pipe, text=True)

    def ask(self, title: str) -> object:
        """CPU seconds of one drawing of a page; the titles of all pages for `?`."""
        assert self._process.stdin is not None and self._process.stdout is not None  # pipes of ours
        self._process.stdin.write(f"{title}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("A checkout stopped; its reason is above.")
        return json.loads(answer)

    def end(self) -> None:
        """Let the process end."""
        self._process.communicate()


def main() -> None:
    """Print one line per page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout, which draws in turn")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder of this checkout, and of the other one")
    parser.add_argument("--its-data", type=Path, metavar="DIR", help="data folder of the other checkout")
    parser.add_argument("--runs", type=int, default=9, metavar="N", help="drawings of each page that count")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    checkouts = [Checkout(ROOT, arguments.data)]
    if arguments.against:
        checkouts.append(Checkout(arguments.against.resolve(), arguments.its_data or arguments.data))
    known = [checkout.ask("?") for checkout in checkouts]
    for page in [page for page in known[0] if all(page in pages for pages in known)]:
        drawings = [[checkout.ask(page) for checkout in checkouts] for _ in range(arguments.runs)]
        medians = [statistics.median(side) for side in zip(*drawings, strict=True)]
        ratio = f"   {1e3 * medians[1]:6.0f} ms   ratio {medians[0] / medians[1]:.2f}" if arguments.against else ""
        print(f"{page:16} {1e3 * medians[0]:6.0f} ms{ratio}", flush=True)
    for checkout in checkouts:
        checkout.end()


if __name__ == "__main__":
    main()
