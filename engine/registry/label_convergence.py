"""Which defect energies of Open Defects have labels that are shown to be converged: from the shipped files.

`convergence.csv` says how far a defect energy on one mesh of k-points is from that on a denser one, and the headers of
the configurations say on which mesh each label is. A defect energy counts as shown where the mesh of its labels is
within the tolerance of a denser mesh, or where even the first mesh was within the tolerance of that of its labels.
"""

import csv
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.data_folder import EMBEDDED
from engine.registry.reaction_rules import OWN_DATASET
from engine.registry.reactions import ATOM, KINDS, Part, Reaction

TOLERANCE_MEV = 20.0  # a defect energy is converged within the larger of the two

TOLERANCE = 0.05

NOT_TRIED = "No denser mesh of k-points was tried for all of its parts."

_HEADER = re.compile(r"(config_id|group|kpoints_per_inverse_angstrom|cutoff_ev|fingerprint|first_mesh_ev)=(\S+)")


@dataclass(frozen=True)
class Label:
    """Settings of one label, and how far its energy is from a denser mesh.

    Attributes:
        group: Group of the configuration.
        density: Mesh of k-points, 1/(1/Å).
        cutoff: Of the plane waves, eV.
        change: The defect energy on the label's mesh less that on a denser one, or where that was not tried but the
            label is on a denser mesh than the first, on the first less that on the label's; meV. None without either.
        against: What `change` compares, as text.
    """

    group: str
    density: float
    cutoff: float
    change: float | None
    against: str


def is_within_tolerance(value_ev: float, change_mev: float, *, is_absolute: bool = False) -> bool:
    """Whether a defect energy that changes by so much on a denser mesh counts as converged.

    Args:
        value_ev: The defect energy, eV.
        change_mev: Its change, meV.
        is_absolute: Whether a share of the value means nothing, since it depends on the zero of an element.

    Returns:
        True within 20 meV, or 5 % of the energy.

    Example:
        >>> is_within_tolerance(0.733, 30.0), is_within_tolerance(0.733, 37.0), is_within_tolerance(0.05, -19.0)
        (True, False, True)
    """
    share = 0.0 if is_absolute else TOLERANCE * 1e3 * abs(value_ev)
    return abs(change_mev) <= max(TOLERANCE_MEV, share)


@functools.cache
def load_labels(folder: Path = EMBEDDED) -> dict[str, Label]:
    """Settings and tests of the shipped labels, by id of the configuration; nothing where the files are absent."""
    data, checks = folder / f"{OWN_DATASET}.extxyz", folder / "convergence.csv"
    if not (data.is_file() and checks.is_file()):
        return {}
    rows = list(csv.DictReader(checks.read_text(encoding="utf-8").splitlines()))
    rows = [row for row in rows if row["kind"] in ("defect", "noise")]
    by_mark = {row["fingerprint"]: row for row in rows}
    by_name = {row["config_id"]: row for row in rows}
    with data.open(encoding="utf-8") as lines:
        headers = [dict(_HEADER.findall(line)) for line in lines if line.startswith("Lattice")]
    return {header["config_id"]: _label(header, by_mark, by_name) for header in headers}


def judge(
    reaction: Reaction, value_ev: float, n_atoms: int, labels: Mapping[str, Label] | None = None
) -> tuple[bool | None, str]:
    """Whether the label of a reaction is shown to be converged, and a sentence that says what is known.

    Args:
        reaction: The reaction.
        value_ev: Its reference value, as a sum of energies, eV.
        n_atoms: Atoms of its first part.
        labels: What `load_labels` gives.

    Returns:
        None for published data, which nobody tested here.
    """
    if reaction.dataset_id != OWN_DATASET:
        return None, "Published labels; their convergence was not tested here."
    labels = load_labels() if labels is None else labels
    known = [(part, labels[part.config_id]) for part in reaction.parts if part.config_id in labels]
    if len(known) < len(reaction.parts):
        return False, "The settings of its labels are not known."
    # Crystals carry the correction of their own mesh; only defects must be on one.
    settings = {(label.density, label.cutoff) for _, label in known if label.group != "bulk"}
    settings = settings or {(label.density, label.cutoff) for _, label in known}
    is_alloy = KINDS[reaction.kind].kind_id in ("formation", "ordering") or "-" in reaction.system
    if len(settings) > 1 or (is_alloy and len({label.cutoff for _, label in known}) > 1):
        return False, "Its parts are not all on one mesh and cutoff."
    tested = _tested(reaction, known)
    if tested is None:
        return False, NOT_TRIED
    change, against = tested
    if reaction.per == ATOM:
        change *= n_atoms
    is_good = is_within_tolerance(value_ev, change)
    return is_good, f"{change:+.1f} meV {against}{'' if is_good else ', which is too much'}."


def _tested(reaction: Reaction, known: list[tuple[Part, Label]]) -> tuple[float, str] | None:
    """Change of the energy from mesh to mesh, meV (per atom for energies per atom), and what was compared."""
    first = known[0][1]
    if reaction.kind in ("divacancy", "hydrogen-site"):
        # Rows of the table are energies above the crystal, from which these are made.
        defects = [(part, label) for part, label in known if label.group != "bulk"]
        changes = [label.change for _, label in defects]
        if None in changes or len({label.against for _, label in defects}) > 1:
            return None
        return sum(float(p.coefficient) * (c or 0.0) for (p, _), c in zip(defects, changes, strict=True)), first.against
    return None if first.change is None else (first.change, first.against)


def _label(
    header: Mapping[str, str], by_mark: Mapping[str, Mapping[str, str]], by_name: Mapping[str, Mapping[str, str]]
) -> Label:
    own = by_mark.get(header["fingerprint"].removeprefix("sha256:"))
    first = by_name.get(header["config_id"]) if "first_mesh_ev" in header else None
    row = own or first
    change = None
    if row is not None:
        name = "defect_energy_difference_mev" if row["kind"] == "defect" else "relative_energy_difference_mev_per_atom"
        change = float(row[name]) if row[name] else None
    against = ""
    if row is not None:
        settings = row["compared_with"].rpartition("@kd")[2]
        mesh = (
            f"mesh of {settings.replace('-cutoff', ' and a cutoff of ')} eV" if "-" in settings else f"mesh {settings}"
        )
        against = f"from the label's mesh to {mesh}" if own else f"from the first mesh to {mesh}"
    return Label(
        header["group"], float(header["kpoints_per_inverse_angstrom"]), float(header["cutoff_ev"]), change, against
    )
