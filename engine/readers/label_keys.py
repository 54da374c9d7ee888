"""Which keys of an extended XYZ file hold its labels, where it may hold labels of more than one origin.

Programs leave their own results beside the reference: QUIP writes `energy` beside `dft_energy`, ASE's calculators
beside `REF_energy`, VASP has a free energy and one without smearing. Nothing in such a file says which of them is
meant. A key is therefore taken unasked where it is alone or all agree; anything else is a question to the user.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from engine.errors import LabelError
from engine.readers.ingestion import without_fortran
from engine.records import FloatArray

NONE = "none"
"""Word that a user gives for a label that must not be read."""

USUAL = {
    "energy": ("ref_energy", "energy"),
    "forces": ("ref_forces", "ref_force", "forces", "force"),
    "stress": ("ref_stress", "stress"),
    "virial": ("ref_virial", "ref_virials", "virial", "virials"),
}
"""Names that are taken without asking, in small letters; the first counts where several say the same."""

OPTIONS = {
    "energy": "--reference-key",
    "forces": "--forces-key",
    "stress": "--stress-key",
    "virial": "--virial-key",
}

REFERENCE_ORIGINS = frozenset(
    {"ref", "reference", "dft", "qm", "vasp", "castep", "qe", "cp2k", "aims", "fhi_aims", "gpaw", "pbe", "label"}
)
"""Origins that are those of a reference by their name."""

SAME_ENERGY, SAME_FORCE = 1e-5, 1e-4
"""Two labels closer than this are one, written twice with other digits; eV and eV/Å."""

_PATTERNS = {
    "virial": re.compile(r"virials?"),
    "stress": re.compile(r"stress(es)?"),
    "forces": re.compile(r"forces?|frc"),
    "energy": re.compile(r"energy|energies|toten|etot|epot"),
}
_SIZES = {"energy": (1,), "stress": (6, 9), "virial": (6, 9)}
_FILLING = frozenset({"total", "tot", "potential", "pot", "ev", "ang", "per", "a", "free", "internal"})
"""Words in a name that say nothing of where the label comes from."""

_OTHER_QUANTITIES = frozenset(
    {
        *("atom", "atomic", "atomwise", "peratom", "site", "node", "local", "isolated"),
        *("weight", "weights", "sigma", "sigma0", "std", "stdev", "var", "variance", "uncertainty", "smearing"),
        *("err", "error", "errors", "mae", "rmse", "unit", "units", "mask", "norm", "max", "min", "cutoff", "key"),
        *("negative", "neg", "minus"),
        *("kinetic", "kin", "entropy", "zero", "point", "zpe", "fermi", "dispersion", "disp", "d3", "d2"),
        *(
            "formation",
            "form",
            "cohesive",
            "coh",
            "binding",
            "bind",
            "atomization",
            "hull",
            "above",
            "strain",
            "surface",
        ),
        *("vacancy", "adsorption", "reaction", "interaction", "correction", "corrected", "delta", "difference", "diff"),
        *(
            "relative",
            "rel",
            "shift",
            "offset",
            "net",
            "residual",
            "constant",
            "constants",
            "const",
            "fixed",
            "external",
        ),
    }
)
"""Words that make an energy, a force or a stress something else than a label of the whole configuration."""


@dataclasses.dataclass(frozen=True)
class LabelKey:
    """A key or a column whose name is that of a label.

    Attributes:
        name: As it stands in the file.
        quantity: Key of `USUAL`.
        origin: What else the name says, such as `dft`; empty where nothing.
    """

    name: str
    quantity: str
    origin: str

    @property
    def is_usual(self) -> bool:
        """Whether it is taken without asking."""
        return self.name.lower() in USUAL[self.quantity]


@dataclasses.dataclass(frozen=True)
class Keys:
    """Name of each label in a file; empty for one that is not there, or not said."""

    energy: str = ""
    forces: str = ""
    stress: str = ""
    virial: str = ""


@dataclasses.dataclass(frozen=True)
class Labels:
    """What one frame holds under names that are those of labels.

    Attributes:
        info: Key -> value as text.
        columns: Names of the columns of three numbers per atom, positions left out.
        vectors: Values of such a column, shape (n_atoms, 3).
    """

    info: Mapping[str, str]
    columns: Sequence[str]
    vectors: Callable[[str], FloatArray]


_GRADIENT = re.compile(r"(?:^|_)(?:gradients?|grads?|de_?d[rx]|neg(?:ative)?_forces?)$")
_UNITS = re.compile(r"(?:^|[_/ ])(hartree|ha|au|rydberg|ry|bohr|kcal|kj|mol|mev|gpa|kbar|kb|bar)(?=$|[_/ ])")
_OURS = re.compile(r"ev(?:\W|_|a|ang|angstrom|per|/|\^|3|\*)*|a|ang|angstroms?|å")


def refuse_gradients(file: str, columns: Sequence[str], has_forces: bool) -> None:
    """Refuse gradients of the energy where there are no forces: they are their negative.

    Args:
        file: Name of the file, for messages.
        columns: Names of the columns of three numbers per atom.
        has_forces: Whether forces are read, or were left out on purpose.

    Raises:
        LabelError: There are gradients alone.
    """
    found = [name for name in columns if _GRADIENT.search(name.lower())]
    if found and not has_forces:
        raise LabelError(
            f"{file} holds {found[0]!r} and no forces. A gradient of the energy is minus the force: write the column "
            "forces with the opposite sign, or leave it out with --forces-key none."
        )


def refuse_other_units(file: str, frame: Labels, chosen: Keys) -> None:
    """Refuse labels whose name, or a key of their frame such as `energy_unit`, says another unit than eV and Å.

    Raises:
        LabelError: So it is.
    """
    for name in filter(None, dataclasses.astuple(chosen)):
        if said := _UNITS.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()):
            raise LabelError(
                f"{file}: the name {name!r} says that its unit is {said[1]}; expected eV, eV/Å and eV/Å³ (positive in "
                "tension). Convert the values and rename it."
            )
    for name, value in frame.info.items():
        is_unit = re.fullmatch(r"(?:energy|forces?|stress|virial|length|positions?)?_?units?", name.lower())
        if is_unit and not _OURS.fullmatch(value.strip().lower()):
            raise LabelError(
                f"{file}: {name}={value[:30]!r}, expected eV, eV/Å and eV/Å³. Convert the values, and change that key."
            )


@functools.cache
def classify(name: str) -> LabelKey | None:
    """What label a name is of, or None where it is of none."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    for quantity, pattern in _PATTERNS.items():
        if not pattern.search(words):
            continue
        rest = [word for word in re.split(r"[^a-z0-9]+", pattern.sub(" ", words, count=1)) if word]
        if set(rest) & _OTHER_QUANTITIES:
            return None
        return LabelKey(name, quantity, "_".join(word for word in rest if word not in _FILLING))
    return None


def label_keys(frames: Iterable[Labels]) -> dict[str, list[LabelKey]]:
    """All labels of a file by quantity, in order of appearance."""
    found: dict[str, dict[str, LabelKey]] = {quantity: {} for quantity in USUAL}
    for frame in frames:
        for name in (*frame.info, *frame.columns):
            key = classify(name)
            if key is None or name in found[key.quantity] or (key.quantity == "forces") != (name in frame.columns):
                continue
            if key.is_usual or key.quantity == "forces" or _is_number(frame.info[name], _SIZES[key.quantity]):
                found[key.quantity][name] = key
    return {quantity: list(keys.values()) for quantity, keys in found.items()}


def choose_keys(file: str, frames: Sequence[Labels], given: Keys) -> Keys:
    """The keys to read.

    Args:
        file: Name of the file, for messages.
        frames: All frames of the file.
        given: What the user said; `none` leaves a label out.

    Raises:
        LabelError: A key that was given is not there, or the file does not say which of several labels are meant.
    """
    found = label_keys(frames)
    _check_given(file, frames, given)
    energy = given.energy or _energy(file, frames, found)
    chosen = Keys(energy=energy, forces=given.forces or _forces(file, frames, found, energy, bool(given.energy)))
    if given.stress or given.virial:
        chosen = dataclasses.replace(chosen, stress=given.stress, virial=given.virial)
    else:
        names = {q: _tensor(file, frames, found, q, chosen, bool(given.energy)) for q in ("stress", "virial")}
        chosen = dataclasses.replace(chosen, **names)
    columns = list(dict.fromkeys(name for frame in frames for name in frame.columns))
    refuse_gradients(file, columns, has_forces=bool(chosen.forces) or energy in ("", NONE))
    kept = Keys(*("" if name == NONE else name for name in dataclasses.astuple(chosen)))
    for frame in frames[:1] if kept.energy else ():
        refuse_other_units(file, frame, kept)
    return kept


def unread_keys(frames: Sequence[Labels], chosen: Keys) -> list[str]:
    """Names of labels that the file holds and that are not read."""
    read = dataclasses.astuple(chosen)
    return [key.name for keys in label_keys(frames).values() for key in keys if key.name not in read]


def refuse_other_energies(where: str, energy: float | None, values: Mapping[str, object]) -> None:
    """Refuse a row of a table or a database that has another total energy beside that which is read.

    Args:
        where: Names the row in messages.
        energy: The energy that is read, eV.
        values: What else the row holds, by name.

    Raises:
        LabelError: An energy among the values is another.
    """
    for name, value in values.items():
        key = classify(name)
        is_energy = key is not None and key.quantity == "energy" and name != "energy"
        if not is_energy or isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if energy is None or abs(value - energy) > SAME_ENERGY * max(1.0, abs(energy) * 1e-2):
            raise LabelError(
                f"{where}: it holds {name!r} ({value:.6g}) beside 'energy' ({energy}), and nothing says which is the "
                "reference; give a file with one energy, called 'energy'."
            )


def _check_given(file: str, frames: Sequence[Labels], given: Keys) -> None:
    """Refuse a name that no frame has."""
    for quantity, name in dataclasses.asdict(given).items():
        if not name or name == NONE:
            continue
        present = [list(frame.columns) if quantity == "forces" else list(frame.info) for frame in frames]
        if not any(name in names for names in present):
            known = list(dict.fromkeys(word for names in present for word in names))
            where = "columns of three numbers" if quantity == "forces" else "keys"
            raise LabelError(
                f"{file}: {OPTIONS[quantity]} {name!r} is in no configuration; its {where} are {_listed(known[:20])}."
            )


def _energy(file: str, frames: Sequence[Labels], found: Mapping[str, list[LabelKey]]) -> str:
    """Key of the energy: the only one, or the first of several that say the same."""
    keys = found["energy"]
    if not keys:
        return ""
    if not any(key.is_usual for key in keys):
        raise LabelError(
            f"{file}: its energies are called {_listed([key.name for key in keys])}, which is not taken unasked. "
            f"Say which is the reference, such as {_advice(keys[0], found)}."
        )
    first = min(keys, key=_rank)
    for other in keys:
        if other is not first and (problem := _energies_differ(frames, first.name, other.name)):
            raise _question(file, found, problem)
    return first.name


def _forces(
    file: str, frames: Sequence[Labels], found: Mapping[str, list[LabelKey]], energy: str, is_given: bool
) -> str:
    """Column of the forces that belong to the energy."""
    keys = found["forces"]
    if not keys:
        return ""
    same = sorted((key for key in keys if key.origin == _origin(energy)), key=_rank)
    if not same:
        if len(keys) == 1 and len(found["energy"]) <= 1 and (keys[0].is_usual or not energy):
            return keys[0].name
        raise LabelError(
            f"{file}: it does not say which forces belong to {energy or 'its energies'!r}; there are "
            f"{_listed([key.name for key in keys])}. Say which with --forces-key NAME, or --forces-key none."
        )
    for other in same[1:] if is_given else [key for key in keys if key is not same[0]]:
        if problem := _forces_differ(frames, same[0].name, other.name):
            raise _question(file, found, problem)
    return same[0].name


def _tensor(
    file: str,
    frames: Sequence[Labels],
    found: Mapping[str, list[LabelKey]],
    quantity: str,
    chosen: Keys,
    is_given: bool,
) -> str:
    """Key of the stress or virial that belongs to the energy; empty where none does for sure."""
    keys = found[quantity]
    same = sorted((key for key in keys if key.origin == _origin(chosen.energy)), key=_rank)
    if not same:
        is_only = len(keys) == 1 and keys[0].is_usual and len(found["energy"]) <= 1 and not is_given
        return keys[0].name if is_only else ""
    for other in same[1:] if is_given else [key for key in keys if key is not same[0]]:
        if problem := _tensors_differ(frames, same[0].name, other.name):
            raise _question(file, found, problem)
    return same[0].name


def _rank(key: LabelKey) -> int:
    names = USUAL[key.quantity]
    return names.index(key.name.lower()) if key.is_usual else len(names)


def _origin(name: str) -> str:
    key = classify(name)
    return key.origin if key else ""


def _energies_differ(frames: Sequence[Labels], first: str, other: str) -> str:
    """Where two keys do not say the same; empty where they do."""
    for i, frame in enumerate(frames):
        if other not in frame.info:
            continue
        if first not in frame.info:
            return f"configuration {i} has {other!r} but no {first!r}"
        values = _numbers(frame.info[first]), _numbers(frame.info[other])
        if _apart(*values) > SAME_ENERGY * max(1.0, float(np.abs(values[0]).max(initial=0)) * 1e-2):
            return f"in configuration {i}, {first!r} is {frame.info[first][:20]} and {other!r} {frame.info[other][:20]}"
    return ""


def _forces_differ(frames: Sequence[Labels], first: str, other: str) -> str:
    for i, frame in enumerate(frames):
        if other not in frame.columns:
            continue
        if first not in frame.columns:
            return f"configuration {i} has {other!r} but no {first!r}"
        if (apart := _apart(frame.vectors(first), frame.vectors(other))) > SAME_FORCE:
            return f"in configuration {i}, {first!r} and {other!r} differ by {apart:.3g} eV/Å"
    return ""


def _tensors_differ(frames: Sequence[Labels], first: str, other: str) -> str:
    for i, frame in enumerate(frames):
        if other not in frame.info:
            continue
        if first not in frame.info or _apart(_numbers(frame.info[first]), _numbers(frame.info[other])) > SAME_FORCE:
            return f"in configuration {i}, {first!r} and {other!r} are not the same"
    return ""


def _question(file: str, found: Mapping[str, list[LabelKey]], problem: str) -> LabelError:
    """The question which of several labels are meant."""
    energies = found["energy"]
    sets = "; ".join(" with ".join(map(repr, _set(key, found))) for key in energies) or _listed(
        [key.name for key in found["forces"]]
    )
    keys = energies or found["forces"]
    likely = next((key for key in keys if key.origin in REFERENCE_ORIGINS), keys[0])
    return LabelError(
        f"{file} holds more than one set of labels: {sets}. They are not the same: {problem}. "
        f"Say which are the reference, such as {_advice(likely, found)}."
    )


def _set(energy: LabelKey, found: Mapping[str, list[LabelKey]]) -> list[str]:
    """Names of an energy and of the labels that belong to it."""
    others = [key.name for q in ("forces", "stress", "virial") for key in found[q] if key.origin == energy.origin]
    return [energy.name, *others]


def _advice(key: LabelKey, found: Mapping[str, list[LabelKey]]) -> str:
    """Options that choose the labels of one origin."""
    parts = [f"{OPTIONS[key.quantity]} {key.name}"]
    for quantity in ("forces", "stress", "virial"):
        same = [other for other in found[quantity] if other.origin == key.origin and other is not key]
        parts += [f"{OPTIONS[quantity]} {same[0].name}"] if same else []
    return " ".join(parts)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _numbers(text: str) -> FloatArray:
    """Numbers in a value; empty where it is not made of finite numbers."""
    try:
        words = without_fortran(re.sub(r"[\[\]{},]", " ", text).split())
        values = np.array(words, dtype=float).ravel()
    except ValueError:
        return np.zeros(0)
    return values if np.isfinite(values).all() else np.zeros(0)


def _is_number(text: str, sizes: tuple[int, ...]) -> bool:
    return len(_numbers(text)) in sizes


def _apart(first: FloatArray, other: FloatArray) -> float:
    """Largest difference; infinite where the shapes differ."""
    return float(np.abs(first - other).max(initial=0)) if first.shape == other.shape else float("inf")
