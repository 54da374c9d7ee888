"""Progress of long work, printed with rate and time left."""

import sys
import threading
import time

from engine import logs
from engine.shards import Shard

REPORT_SECONDS = 10.0


def say(line: str) -> None:
    """Print progress to standard error, so that standard output stays free for --json."""
    print(logs.line(line) if logs.is_structured() else line, file=sys.stderr, flush=True)


class Progress:
    """Counts and prints: one line every few seconds with rate and time left, on standard error."""

    def __init__(self, n_configs: int, n_atoms: int) -> None:
        self._n_configs, self._n_atoms = n_configs, n_atoms
        self._started = self._last = time.monotonic()
        self._lock = threading.Lock()
        self.n_done = self.n_failed = self.n_transient = self._atoms_done = 0

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return time.monotonic() - self._started

    def add(self, shard: Shard, n_failed: int, what: str, n_transient: int = 0) -> None:
        """Count a finished shard."""
        with self._lock:
            self.n_done += len(shard.configurations)
            self.n_failed += n_failed
            self.n_transient += n_transient
            self._atoms_done += shard.n_atoms
            is_last = self.n_done == self._n_configs
            if time.monotonic() - self._last > REPORT_SECONDS or is_last:
                self._last = time.monotonic()
                self._print(what)

    def _print(self, what: str) -> None:
        rate = self.n_done / self.seconds
        left = self.seconds * (self._n_atoms / max(self._atoms_done, 1) - 1)  # atoms, since sizes differ
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        say(
            f"{self.n_done}/{self._n_configs} configurations{failed}, {rate:.2f}/s, "
            f"{duration(left)} left (last: {what})"
        )


def duration(seconds: float) -> str:
    """A time as text, such as `40 s`, `12 min` or `1.6 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
