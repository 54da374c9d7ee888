"""VASP's OUTCAR: ionic steps with labels of density functional theory, and remarks on steps that are left out.

A step belongs to DFT where its forces are not marked as those of VASP's own force field, and is converged where its
electronic steps ended before NELM: VASP prints the same sentence either way. Numbers are in fields of fixed width
without a space between them, so that large ones run together.

Source of the format: https://www.vasp.at/wiki/OUTCAR
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from engine.errors import DatasetError
from engine.readers.ingestion import build_configuration, checked, default_id, read_text
from engine.records import Configuration, FloatArray

FORCES_TITLE = "TOTAL-FORCE (eV/Angst)"
_ML_MARK = "(ML)"
_FOOTER = "General timing and accounting informations for this job"
_KBAR = 1 / 1602.1766208  # eV/Å³
_ITERATION = re.compile(r"Iteration\s+[\d*]+\(\s*(\d+)\)")
_NELM = re.compile(r"\bNELM\s*=\s*(\d+)")
_SYMBOL = re.compile(r"([A-Z][a-z]?)(?=$|[^A-Za-z])")
_LATTICE, _STRESS, _POSITION = (9,), (5,), (5, 6)
"""Decimals of the numbers in a line, in halves where they differ."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """What a file of VASP holds.

    Attributes:
        configurations: Converged steps of DFT.
        remarks: What is left out or odd, one sentence each.
    """

    configurations: list[Configuration]
    remarks: list[str]


@dataclasses.dataclass
class _Step:
    """One ionic step while it is read."""

    cell: FloatArray | None = None
    stress: FloatArray | None = None
    atoms: FloatArray | None = None
    energy: float | None = None
    is_ml: bool = False
    n_electronic: int = 0
    is_cut_short: bool = False


def read_outcar(path: Path) -> list[Configuration]:
    """Read every converged ionic step of DFT in a finished OUTCAR; its energy is that extrapolated to zero smearing.

    Args:
        path: The file; its name and the step name a configuration.

    Raises:
        DatasetError: The file is no OUTCAR, the run did not finish, a step cannot be read, or none is converged DFT.
    """
    return outcar_steps(path).configurations


def outcar_steps(path: Path) -> Steps:
    """Read an OUTCAR, with remarks on what is left out or odd.

    Raises:
        DatasetError: As `read_outcar`.
    """
    text = read_text(path)
    n_steps = text.count(FORCES_TITLE)
    if not n_steps:
        raise DatasetError(f"{path.name} holds no ionic step with forces; it is no complete OUTCAR.")
    if _FOOTER not in text:
        raise DatasetError(
            f"{path.name}, configuration {n_steps - 1}: the run did not finish (no final timing); "
            "give a complete OUTCAR, or its finished steps as extended XYZ."
        )
    lines = text.split("\n")
    symbols = _symbols(path, lines)
    steps = _read_steps(path, lines, symbols)
    if len(steps) != n_steps:
        raise DatasetError(f"{path.name}: {len(steps)} of {n_steps} ionic steps can be read.")
    n_max = max((int(found) for found in _NELM.findall(text)), default=0)
    reasons = [_why_not(step, n_max) for step in steps]
    kept = [_configuration(path, i, step, symbols) for i, step in enumerate(steps) if not reasons[i]]
    remarks = left_out(path, reasons)
    if odd := _title_remark(lines, symbols):
        remarks.append(odd)
    return Steps(checked(path, kept), remarks)


def left_out(path: Path, reasons: Sequence[str]) -> list[str]:
    """Sentences about steps that are not read, by reason.

    Args:
        path: The file.
        reasons: Why each step is not read; empty for one that is.

    Raises:
        DatasetError: None is left.
    """
    sentences = []
    for reason in dict.fromkeys(filter(None, reasons)):
        which = [str(i) for i, other in enumerate(reasons) if other == reason]
        named = ", ".join(which[:10]) + (" ..." if len(which) > 10 else "")
        sentences.append(f"{len(which)} of {len(reasons)} steps left out ({named}): {reason}")
    if all(reasons):
        raise DatasetError(f"{path.name} holds no converged step of DFT: {'; '.join(sentences)}.")
    return sentences


def not_converged(n_max: int) -> str:
    """Reason of a step whose electronic loop ended by its limit."""
    return f"the electronic steps reached NELM = {n_max}, so that they are not converged"


def _why_not(step: _Step, n_max: int) -> str:
    """Why a step is no label; empty where it is one."""
    if step.is_ml:
        return "they are predictions of VASP's machine-learned force field, not DFT"
    if step.is_cut_short or (n_max and step.n_electronic >= n_max):
        return not_converged(n_max)
    return ""


def _read_steps(path: Path, lines: Sequence[str], symbols: Sequence[str]) -> list[_Step]:
    """All ionic steps, in order; one ends with its energy."""
    steps: list[_Step] = []
    step = _Step()
    for i, line in enumerate(lines):
        where = f"{path.name}, configuration {len(steps)}"
        if found := _ITERATION.search(line):
            step.n_electronic = int(found[1])
        elif "EDIFF was not reached" in line:
            step.is_cut_short = True
        elif "direct lattice vectors" in line:
            step.cell = np.array([_numbers(lines, i + 1 + k, 6, _LATTICE, where)[:3] for k in range(3)])
        elif line.strip().startswith("in kB"):
            step.stress = -_numbers(lines, i, 6, _STRESS, where)[[0, 1, 2, 4, 5, 3]] * _KBAR
        elif FORCES_TITLE in line:
            step.is_ml = _ML_MARK in line
            rows = range(i + 2, i + 2 + len(symbols))
            step.atoms = np.array([_numbers(lines, row, 6, _POSITION, where) for row in rows])
            _check_end(lines, rows.stop, where)
        elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
            step.energy = _energy(lines, i, where)
            steps.append(step)
            step = _Step(cell=step.cell)
    return steps


def _check_end(lines: Sequence[str], i: int, where: str) -> None:
    """Refuse a table of forces with more rows than atoms."""
    if i < len(lines) and re.fullmatch(r"(\s*-?\d+\.\d+){6}\s*", lines[i]):
        raise DatasetError(f"{where}: it cannot be read (line {i + 1}: forces of more atoms than 'ions per type').")


def _energy(lines: Sequence[str], i: int, where: str) -> float:
    """Energy extrapolated to zero smearing, from the block that begins at a line."""
    for k in range(i, min(i + 8, len(lines))):
        if found := re.search(r"energy\(sigma->0\)\s*=\s*(\S+)", lines[k]):
            try:
                return float(found[1])
            except ValueError:
                raise _unreadable(lines, k, where) from None
    raise _unreadable(lines, i, where)


def _numbers(lines: Sequence[str], i: int, n: int, decimals: tuple[int, ...], where: str) -> FloatArray:
    """The first n numbers of a line, shape (n,); numbers of fixed width may touch."""
    line = lines[i].replace("in kB", "", 1) if i < len(lines) else ""
    try:
        values = [float(word) for word in line.split()]
    except ValueError:
        values = []
    if len(values) != n:
        fields = "".join(rf"\s*(-?\d+\.\d{{{d}}})" * (n // len(decimals)) for d in decimals)
        found = re.fullmatch(fields + r"\s*", line)
        values = [float(word) for word in found.groups()] if found else []
    if len(values) != n:
        raise _unreadable(lines, i, where)
    return np.array(values)


def _unreadable(lines: Sequence[str], i: int, where: str) -> DatasetError:
    text = " ".join(lines[i].split())[:100] if i < len(lines) else "the file ends"
    return DatasetError(f"{where}: it cannot be read (line {i + 1}: {text}).")


def _symbols(path: Path, lines: Sequence[str]) -> list[str]:
    """Chemical symbol of each atom, from the potentials and the numbers of ions."""
    where = f"{path.name}, configuration 0"
    counts = next((line.partition("=")[2].split() for line in lines if "ions per type" in line), [])
    if not counts or not all(count.isdecimal() for count in counts):
        raise DatasetError(f"{where}: it cannot be read (no line 'ions per type').")
    for title in ("TITEL  =", "POTCAR:"):
        found = list(_potentials(lines, title))
        types = found[: len(counts)]
        # The list stands there twice or more: once for all, and once before each potential.
        if types and len(found) % len(counts) == 0 and types * (len(found) // len(counts)) == found:
            return [symbol for symbol, count in zip(types, counts, strict=True) for _ in range(int(count))]
        if found and len(set(found)) == 1:
            return found[:1] * sum(map(int, counts))
    named = ", ".join(_potentials(lines, "POTCAR:")) or "none"
    raise DatasetError(f"{where}: it cannot be read (its potentials are {named}, but it has {len(counts)} ion types).")


def _potentials(lines: Sequence[str], title: str) -> Iterator[str]:
    """Elements of the potentials that lines with a title name, in order."""
    for line in lines:
        if line.strip().startswith(title):
            words = line.partition(title)[2].split()
            symbols = [found[1] for word in words[1:] or words if (found := _SYMBOL.match(word))]
            yield next((symbol for symbol in symbols if symbol in atomic_numbers), "?")


def _title_remark(lines: Sequence[str], symbols: Sequence[str]) -> str:
    """What the title of the POSCAR says against the potentials; empty where nothing."""
    title = next((line.partition("POSCAR:")[2] for line in lines if line.strip().startswith("POSCAR:")), "")
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", title)
    if not parts or re.sub(r"[A-Z][a-z]?\d*|\s", "", title) or {name for name, _ in parts} != set(symbols):
        return ""
    said = {name: int(count or 1) for name, count in parts}
    is_counted = any(count for _, count in parts)
    counts = {name: symbols.count(name) for name in dict.fromkeys(symbols)}
    shares = [{name: n / sum(found.values()) for name, n in found.items()} for found in (said, counts)]
    is_same = shares[0] == shares[1] if is_counted else list(said) == list(counts)
    written = " ".join(f"{name}{n}" for name, n in counts.items())
    return "" if is_same else f"its title says {' '.join(title.split())}, its potentials {written}; look which is right"


def _configuration(path: Path, index: int, step: _Step, symbols: Sequence[str]) -> Configuration:
    """A configuration from one step."""
    where = f"{path.name}, configuration {index}"
    if step.cell is None or step.atoms is None:
        raise DatasetError(f"{where}: it cannot be read (it has no {'lattice' if step.cell is None else 'forces'}).")
    if "?" in symbols:
        raise DatasetError(f"{where}: it cannot be read (a potential of no known element).")
    return build_configuration(
        where,
        config_id=default_id(path, index),
        group_name="all",
        symbols=symbols,
        positions=step.atoms[:, :3],
        cell=step.cell.ravel(),
        pbc=(True, True, True),
        energy=step.energy,
        forces=step.atoms[:, 3:],
        stress=step.stress,
    )
