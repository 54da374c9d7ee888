"""The table of published sizes, as the makers read it in their families' environments: standard library only."""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("sizes.toml")
TOLERANCE = 0.02  # of the number of parameters, where the table gives no reason for more


def read() -> dict[str, dict[str, Any]]:
    """All rows of the table by name."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))


def asked() -> tuple[str, dict[str, Any], Path]:
    """What the command line `maker.py NAME TARGET` asks for.

    Returns:
        Name of the row, its architecture, and the folder for the checkpoint, which exists.
    """
    name, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return name, read()[name]["architecture"], folder


def trainable(network: Any) -> int:
    """Number of parameters of a torch module."""
    return sum(parameter.numel() for parameter in network.parameters())


def report(name: str, checkpoint: str, n_parameters: int, **options: object) -> None:
    """Print what was made as one line of JSON.

    Args:
        name: Of the row.
        checkpoint: File or directory in the target folder.
        n_parameters: As counted.
        **options: For the family's `load`.

    Raises:
        SystemExit: The number is not that of the table.
    """
    if why_not := mismatch(read()[name], n_parameters):
        sys.exit(f"{name}: {why_not}")
    print(json.dumps({"checkpoint": checkpoint, "options": options, "n_parameters": n_parameters}))


def mismatch(row: dict[str, Any], n_parameters: int) -> str:
    """Why a count is not that of its row; empty where it is.

    The count has to be the one of the table. That one has to be the published number, within the tolerance or with a
    reason.
    """
    if n_parameters != row["counted"]:
        return f"{n_parameters} parameters were counted, the table has {row['counted']}"
    published = row.get("published")
    if published is None or abs(n_parameters / published - 1) <= TOLERANCE or row.get("difference"):
        return ""
    return f"{n_parameters} parameters, {published} are published, and the table gives no reason"
