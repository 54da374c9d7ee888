"""Visitors who click through the app at once: python -m benchmarks.visitors --data DIR [--visitors 20] [--minutes 10].

First one visitor opens every page of a cold server, and all again. Then each visitor is a session of the server, as a
browser makes it (a websocket that asks for pages and takes what comes), follows `PATH` from a place of its own and
reads for some seconds before the next click. No browser draws anything, so the times are the server's: from a click to
the end of the page's script. Printed are the times and the bytes before compression by page, faults, and the memory of
the server at rest and every minute.
"""

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import connect

from tests.whole.serving import serve

# Pages and queries that a visitor asks for in turn.
PATH = (
    ("", ""),
    ("advisor", ""),
    ("defects", "dataset=w-g"),
    ("ranking", "union=w-g"),
    ("ranking", "union=w-g&quantity=energy"),
    ("elements", ""),
    ("parity", "dataset=w-g&model=eqv2-31m-omat"),
    ("duel", ""),
    ("cost", "dataset=w-g"),
    ("uncertainty", "dataset=w-g"),
    ("defect-energies", ""),
    ("specialised", ""),
    ("learning", ""),
    ("environments", "dataset=w-g"),
    ("datasets", ""),
    ("models", ""),
    ("structure", "dataset=open-defects"),
    ("claims", ""),
)
Clicks = tuple[tuple[str, str], ...]
PATIENCE = 60.0  # s for one page
SUBPROTOCOL = "streamlit"


@dataclass
class Seen:
    """What all visitors saw.

    Attributes:
        seconds: Times from click to the end of the script, by page.
        sizes: Bytes of all messages of a page, by page.
        faults: Sentences.
        memory: Resident memory of the server, MB, with the time.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)


def memory_mb() -> float:
    """Resident memory of the server and what it started, which are the processes that this one started; MB."""
    total = 0.0
    for one in _children(os.getpid()):
        try:
            lines = Path(f"/proc/{one}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024
    return total


def _children(pid: int) -> list[int]:
    """All processes that a process started, and those that these started."""
    listed = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    direct = list(map(int, listed))
    return direct + [deeper for child in direct for deeper in _children(child)]


async def open_page(socket: object, page: str, query: str) -> tuple[float, int, str]:
    """Ask for a page and take what comes until its script has ended: seconds, bytes, and what went wrong."""
    asked = BackMsg()
    asked.rerun_script.page_name = page
    asked.rerun_script.query_string = query
    started, size, fault = time.monotonic(), 0, ""
    await socket.send(asked.SerializeToString())  # type: ignore[attr-defined]
    while True:
        message = await asyncio.wait_for(socket.recv(), PATIENCE)  # type: ignore[attr-defined]
        size += len(message)
        told = ForwardMsg()
        told.ParseFromString(message)
        kind = told.WhichOneof("type")
        if kind == "delta" and told.delta.new_element.WhichOneof("type") == "exception":
            fault = told.delta.new_element.exception.message
        if kind == "page_not_found":
            fault = "no such page"
        if kind == "script_finished" and told.script_finished != ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return time.monotonic() - started, size, fault


async def visit(number: int, url: str, path: Clicks, end: float, reading: tuple[float, float], seen: Seen) -> None:
    """One visitor until the time is over."""
    chance = random.Random(number)
    place = number % len(path)
    await asyncio.sleep(chance.uniform(0.0, reading[1]))
    async with connect(url, subprotocols=[SUBPROTOCOL], max_size=None) as socket:  # type: ignore[list-item]
        while time.monotonic() < end:
            page, query = path[place % len(path)]
            place += 1
            name = page or "overview"
            try:
                seconds, size, fault = await open_page(socket, page, query)
            except TimeoutError:
                seen.faults.append(f"{name}: nothing within {PATIENCE:.0f} s")
                continue
            seen.seconds[name].append(seconds)
            seen.sizes[name].append(size)
            if fault:
                seen.faults.append(f"{name}?{query}: {fault}")
            await asyncio.sleep(chance.uniform(*reading))


async def watch(end: float, seen: Seen) -> None:
    """Memory of the server every ten seconds."""
    started = time.monotonic()
    while time.monotonic() < end:
        seen.memory.append((time.monotonic() - started, memory_mb()))
        await asyncio.sleep(10)


async def all_visits(url: str, path: Clicks, n: int, minutes: float, reading: tuple[float, float]) -> Seen:
    """Every visitor at once."""
    seen, end = Seen(), time.monotonic() + 60 * minutes
    await asyncio.gather(watch(end, seen), *(visit(k, url, path, end, reading, seen) for k in range(n)))
    return seen


async def alone(url: str, path: Clicks) -> list[tuple[str, float, int]]:
    """Each page once for one visitor: page with its query, seconds and bytes."""
    seen = []
    async with connect(url, subprotocols=[SUBPROTOCOL], max_size=None) as socket:  # type: ignore[list-item]
        for page, query in path:
            seconds, size, fault = await open_page(socket, page, query)
            seen.append((f"{page or 'overview'}?{query} {fault}".rstrip("? "), seconds, size))
    return seen


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def report_alone(visits: list[list[tuple[str, float, int]]], start: float, at_rest: float) -> None:
    """Print what one visitor of a cold server waited for."""
    print(f"server answered after {start:.1f} s; memory before the first visit {at_rest:.0f} MB")
    print(f"{'page':56}{'cold s':>8}{'again':>8}{'kB':>8}")
    for (name, cold, _), (_, warm, size) in zip(*visits, strict=True):
        print(f"{name:56}{cold:8.2f}{warm:8.2f}{size / 1e3:8.0f}")
    for word, seconds in zip(("cold", "again"), ([one[1] for one in visit] for visit in visits), strict=True):
        print(f"{word}: 95 % within {percentile(seconds, 0.95):.2f} s, most {max(seconds):.2f} s")


def report(seen: Seen) -> None:
    """Print a table by page and what holds for all."""
    print(f"{'page':16}{'clicks':>7}{'median':>9}{'p95':>9}{'most':>9}{'kB':>8}")
    for name, times in sorted(seen.seconds.items()):
        print(f"{_line(name, times)}{statistics.median(seen.sizes[name]) / 1e3:8.0f}")
    print(_line("all", [value for times in seen.seconds.values() for value in times]))
    megabytes = [value for _, value in seen.memory]
    print(f"memory, MB: {' '.join(f'{value:.0f}' for value in megabytes[::6])}; most {max(megabytes):.0f}")
    print(f"{len(seen.faults)} faults" + "".join(f"\n  {fault}" for fault in sorted(set(seen.faults))))


def _line(name: str, times: list[float]) -> str:
    """Number of clicks and their times."""
    times = times or [float("nan")]
    return f"{name:16}{len(times):7}{statistics.median(times):9.2f}{percentile(times, 0.95):9.2f}{max(times):9.2f}"


def main() -> int:
    """Serve, let visitors click, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.visitors", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="data folder with a built store")
    parser.add_argument("--visitors", type=int, default=20, metavar="N")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M")
    parser.add_argument(
        "--reading", type=float, nargs=2, default=(5.0, 15.0), metavar="S", help="seconds between two clicks"
    )
    parser.add_argument("--dataset", default="w-g", metavar="ID", help="that pages of one dataset are opened with")
    asked = parser.parse_args()
    started = time.monotonic()
    with serve(asked.data) as address:
        start, at_rest = time.monotonic() - started, memory_mb()
        url = f"ws{address.removeprefix('http')}/_stcore/stream"
        path = tuple((page, query.replace("w-g", asked.dataset)) for page, query in PATH)
        report_alone([asyncio.run(alone(url, path)) for _ in range(2)], start, at_rest)
        seen = asyncio.run(all_visits(url, path, asked.visitors, asked.minutes, tuple(asked.reading)))
    report(seen)
    return 1 if seen.faults else 0


if __name__ == "__main__":
    sys.exit(main())
