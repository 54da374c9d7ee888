"""The process that reads one upload: `python -m engine.readers.upload_worker`, started by `engine.readers.sandbox`.

It limits its own memory and CPU time before it sees the file. The first line of standard input is the name as JSON, the
rest is the file; standard output is one JSON object. It imports numpy, gemmi and a table of elements, so that it
starts in a fraction of a second.
"""

import json
import resource
import sys
from dataclasses import asdict
from typing import Any

from engine.errors import DatasetError
from engine.readers.uploads import read_upload

MAX_MEMORY = 1 << 30
"""Address space of the process, bytes; without any file it takes 0.3 GB."""

MAX_SECONDS = 20
"""CPU time, s."""


def answer(name: str, data: bytes) -> dict[str, Any]:
    """What was read, as plain values, or under `refused` why nothing was.

    Args:
        name: Of the file.
        data: Its contents.
    """
    try:
        upload = read_upload(name, data)
    except DatasetError as error:
        return {"refused": str(error)}
    except MemoryError:
        return {
            "refused": f"{name[:80]} takes more than {MAX_MEMORY / 1e9:.1f} GB of memory to read; it is no structure."
        }
    except Exception as error:  # what no reader foresaw must not become an error page
        return {
            "refused": f"{name[:80]} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:160]})."
        }
    c = upload.configuration
    return {
        "config_id": c.config_id,
        "group_name": c.group_name,
        "numbers": c.numbers.tolist(),
        "positions": c.positions.tolist(),
        "cell": c.cell.tolist(),
        "pbc": list(c.pbc),
        "energy": c.energy,
        "forces": None if c.forces is None else c.forces.tolist(),
        "stress": None if c.stress is None else c.stress.tolist(),
        "format": upload.format,
        "checks": [asdict(check) for check in upload.checks],
    }


def main() -> None:
    """Read standard input, write standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    name = json.loads(sys.stdin.buffer.readline())
    json.dump(answer(name, sys.stdin.buffer.read()), sys.stdout)


if __name__ == "__main__":
    main()
