"""What all readers share: bytes of a file in, raw values to checked configurations.

Nothing in a file from outside is trusted: it may be cut, packed to explode, or hold impossible numbers. Every problem
is one `DatasetError` that names the file and the configuration.
"""

import codecs
import gzip
import io
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import ArrayLike

from engine.errors import DatasetError
from engine.records import Configuration, FloatArray, IntArray

GZIP_MAGIC = b"\x1f\x8b"

MAX_BYTES = 4 << 30
"""Largest file, unpacked."""

MAX_RATIO = 100
"""Largest ratio of unpacked to packed size; text of numbers packs to a tenth at best."""

MAX_ID_LENGTH = 200

MAX_STRESS_ASYMMETRY = 1e-3
"""Largest difference between the two halves of a stress tensor, eV/Å³."""

_CHUNK = 16 << 20
_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def read_text(path: Path) -> str:
    """Text of a file, plain or gzipped.

    Raises:
        DatasetError: It cannot be read, is too large, or is not UTF-8.
    """
    data = read_bytes(path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and b"\0" in data[:200]:
        raise DatasetError(f"{path.name} is not UTF-8 text but UTF-16; save it as UTF-8.")
    try:
        return data.decode("utf-8-sig")  # Windows editors put a byte order mark before UTF-8
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path.name} is not UTF-8 text: {_misplaced_byte(data, error.start)}.") from error


def _misplaced_byte(data: bytes, place: int) -> str:
    """Where a byte is that no UTF-8 text has, and what to do where the rest looks like text."""
    line = data.count(b"\n", 0, place) + 1
    is_text = not any(byte < 9 or 13 < byte < 32 for byte in data[:4096])
    advice = "; it may be Latin-1. Convert it: iconv -f latin1 -t utf-8 FILE > NEW" if is_text else ""
    return f"byte {data[place]:#04x} in line {line}{advice}"


def read_bytes(path: Path) -> bytes:
    """Bytes of a file, decompressed in memory if gzipped, within `MAX_BYTES` and `MAX_RATIO`.

    Raises:
        DatasetError: It cannot be read or is too large.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DatasetError(f"{path.name} has {size / 1e9:.1f} GB; at most {MAX_BYTES / 1e9:.1f} GB are read.")
        data = path.read_bytes()
        return _unpack(path, data) if data.startswith(GZIP_MAGIC) else data
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path.name} cannot be read: {error}.") from error


def inflate(data: bytes, limit: int) -> bytes:
    """Unpack zlib data, but no further than a limit.

    Args:
        data: Packed bytes.
        limit: Most bytes to unpack.

    Raises:
        zlib.error: The data are damaged, cut, or larger than the limit.
    """
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, limit)
    if not unpacker.eof:
        raise zlib.error(f"cut, or larger than {limit} bytes")
    return unpacked


def build_configuration(
    where: str,
    *,
    config_id: str,
    group_name: str,
    symbols: Iterable[str | int],
    positions: ArrayLike,
    cell: ArrayLike | None,
    pbc: tuple[bool, bool, bool],
    energy: float | str | None,
    forces: ArrayLike | None,
    stress: ArrayLike | None,
) -> Configuration:
    """Build a configuration from raw values.

    Args:
        where: Names the configuration in messages: file and index.
        config_id: Id; printable and not a path.
        group_name: Group; printable.
        symbols: Chemical symbols or atomic numbers.
        positions: Shape (n_atoms, 3), Å.
        cell: 9 numbers, one lattice vector after the other, Å; None where there is none.
        pbc: Periodic along each lattice vector.
        energy: Total energy, eV.
        forces: Shape (n_atoms, 3), eV/Å.
        stress: 6 numbers (Voigt) or 9 (rows of a symmetric tensor), eV/Å³.

    Raises:
        DatasetError: An element, a number, a shape or the cell is impossible.
    """
    config_id, group_name = without_slashes(config_id), without_slashes(group_name)
    check_name(config_id, "id", where)
    check_name(group_name, "group", where)
    numbers = to_atomic_numbers(symbols, where)
    if len(numbers) == 0:
        raise DatasetError(f"{where}: it has no atoms.")
    shape = (len(numbers), 3)
    cell_array = np.zeros((3, 3)) if cell is None else to_numbers(cell, (9,), "cell", where).reshape(3, 3)
    periodic = cell_array[list(pbc)]
    if np.linalg.matrix_rank(periodic) < len(periodic):
        raise DatasetError(
            f"{where}: periodic along {len(periodic)} vectors, but its cell spans fewer. Give "
            'Lattice="ax ay az bx by bz cx cy cz", or pbc="F F F" for a molecule.'
        )
    return Configuration(
        config_id=config_id,
        group_name=group_name,
        numbers=numbers,
        positions=to_numbers(positions, shape, "positions", where),
        cell=cell_array,
        pbc=pbc,
        energy=None if energy is None else float(to_numbers(energy, (), "energy", where)),
        forces=None if forces is None else to_numbers(forces, shape, "forces", where),
        stress=None if stress is None else to_voigt(stress, where),
    )


def without_slashes(name: str) -> str:
    """A name whose parts are joined by hyphens, as `bulk-fcc` for `bulk/fcc`; one that leads out of a folder stays."""
    parts = re.split(r"[/\\]", name)
    return name if {"", ".", ".."} & set(parts) else "-".join(parts)


def check_name(name: str, what: str, where: str) -> None:
    """Refuse an id or a group that is too long, invisible or a path.

    Raises:
        DatasetError: The name is too long, holds a control character or looks like a path.
    """
    if len(name) > MAX_ID_LENGTH:
        raise DatasetError(f"{where}: its {what} has {len(name)} characters, at most {MAX_ID_LENGTH} are kept.")
    if any(unicodedata.category(character).startswith("C") for character in name):
        raise DatasetError(f"{where}: its {what} {name[:40]!r} holds a control character.")
    if "/" in name or "\\" in name or name in (".", ".."):
        raise DatasetError(f"{where}: its {what} {name[:40]!r} looks like a path.")


def to_atomic_numbers(symbols: Iterable[str | int], where: str) -> IntArray:
    """Chemical symbols or atomic numbers to atomic numbers.

    Raises:
        DatasetError: One of them is no element.
    """
    numbers = []
    for i, symbol in enumerate(symbols):
        number = atomic_numbers.get(symbol, 0) if isinstance(symbol, str) else int(symbol)
        if not 1 <= number < len(atomic_numbers):
            raise DatasetError(f"{where}: {symbol!r} is not a chemical element (atom {i}). {_advice_on(symbol)}")
        numbers.append(number)
    return np.array(numbers, dtype=np.int64)


def _advice_on(symbol: str | int) -> str:
    """What to write instead of what is no symbol."""
    word = str(symbol)
    if word.isdecimal():
        return "Write symbols, or declare the column as Z:I:1 in Properties if they are atomic numbers."
    if word in ("D", "T"):
        return "Write H: to a potential it is hydrogen."
    letters = re.match(r"[A-Za-z]{1,2}", word)
    likely = letters[0].capitalize() if letters else ""
    if likely == "X" or word.capitalize() in ("Va", "Vac", "Xx", "Gh"):
        return "Delete atoms that stand for vacancies or ghosts."
    return f"Write symbols as in {likely if likely in atomic_numbers else 'Ni'!r}."


_FORTRAN = re.compile(r"([\d.])[dD]([-+]?\d)")


def without_fortran(values: ArrayLike) -> ArrayLike:
    """The same values with `1.5D-3` written as `1.5E-3`; other values stay as they are."""
    if isinstance(values, str):
        return _FORTRAN.sub(r"\1E\2", values)
    return [without_fortran(value) for value in values] if isinstance(values, list) else values  # type: ignore[return-value]


def to_numbers(values: ArrayLike, shape: tuple[int, ...], what: str, where: str) -> FloatArray:
    """Finite numbers of the shape wanted.

    Raises:
        DatasetError: The values have another shape, or one of them is no finite number.
    """
    try:
        try:
            array = np.asarray(values, dtype=float)
        except ValueError:
            array = np.asarray(without_fortran(values), dtype=float)
    except (ValueError, TypeError, OverflowError) as error:
        found = str(error).rpartition(": ")[2] if "could not convert" in str(error) else str(error)
        raise DatasetError(
            f"{where}: {what} is not made of numbers ({found[:60]}). Mend it, or delete the configuration."
        ) from error
    if array.shape != shape:
        raise DatasetError(f"{where}: {what} has shape {array.shape}, expected {shape}.")
    if not np.isfinite(array).all():
        raise DatasetError(
            f"{where}: {what} holds a value that is not finite. Delete the configuration, or that label of it."
        )
    return array


def to_voigt(stress: ArrayLike, where: str) -> FloatArray:
    """A stress of 6 or 9 numbers in Voigt order.

    Raises:
        DatasetError: It is neither, or not symmetric.
    """
    if np.size(np.asarray(stress)) == 6:
        return to_numbers(stress, (6,), "stress", where)
    tensor = to_numbers(stress, (9,), "stress", where).reshape(3, 3)
    asymmetry = float(np.abs(tensor - tensor.T).max())
    if asymmetry > MAX_STRESS_ASYMMETRY:
        raise DatasetError(f"{where}: stress is not symmetric (by {asymmetry:.3g} eV/Å³).")
    symmetric = (tensor + tensor.T) / 2
    return np.array([symmetric[i, j] for i, j in _VOIGT])


def first_value(values: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """The value of the first key that is present, or None."""
    return next((values[key] for key in keys if key in values), None)


def checked(path: Path, configurations: list[Configuration]) -> list[Configuration]:
    """The same configurations, unless there are none or an id occurs twice.

    Raises:
        DatasetError: There is no configuration, or an id occurs twice.
    """
    if not configurations:
        raise DatasetError(f"{path.name} holds no configuration.")
    first_index: dict[str, int] = {}
    for i, found in enumerate(configurations):
        first = first_index.setdefault(found.config_id, i)
        if first != i:
            where = f"{path.name}, configuration {i}"
            raise DatasetError(f"{where}: id '{found.config_id}' is that of configuration {first}.")
    return configurations


def default_id(path: Path, index: int) -> str:
    """Id of a configuration whose file gives none: file name without extensions, and index."""
    return f"{path.name.split('.')[0]}_{index:04d}"


def _unpack(path: Path, data: bytes) -> bytes:
    """Unpack gzip in pieces, and stop where it grows beyond what numbers can."""
    limit = min(MAX_BYTES, max(_CHUNK, MAX_RATIO * len(data)))
    unpacked = bytearray()
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as opened:
        while piece := opened.read(_CHUNK):
            unpacked += piece
            if len(unpacked) > limit:
                raise DatasetError(
                    f"{path.name} unpacks to more than {limit / 1e6:.0f} MB from {len(data) / 1e6:.3f} MB; "
                    "that is no table of numbers."
                )
    return bytes(unpacked)
