"""Whether raw energies of a model and of a dataset count from the same zero, and mean the same.

DFT set-ups differ in functional, code, pseudopotentials, +U, spin and dispersion. Some of these only move the zero of
energy of each element, which alignment removes; others change forces too. The rules below judge one pair by what the
registries say of both, and give their reasons.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

YES, CARE, NO = "yes", "care", "no"  # from good to bad

MOVED = 0.05  # eV/atom; a zero that lies further off would pass for an error of the model
# Zero of energy of OMat24 and MatPES, which use newer pseudopotentials, minus that of the Materials Project, eV/atom.
# Measured on crystals as nequix-omat-1 minus nequix-oam-1. Listed are elements of which these and two MatPES models
# (m3gnet, tensornet) minus models of the Materials Project's zero all say that it moved by more than `MOVED`. DFT
# moves alike where both are known: Ni 0.30, Cu 0.36, Fe 0.21 (engine/registry/datasets.toml).
NEWER_POTENTIALS = {
    "Ag": 0.11, "Cd": 0.17, "Co": 0.06, "Cu": 0.35, "Fe": 0.18, "Mg": 0.10, "Mo": -0.07, "Ni": 0.29, "Pb": 0.14,
    "Sc": 0.08, "Ti": 0.10, "V": 0.14, "Yb": -2.51, "Zn": 0.17,
}  # fmt: skip

HUBBARD_METALS = {"Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W"}  # the Materials Project's, with O or F
MAGNETIC = {"Co", "Cr", "Fe", "Mn", "Ni"}
_NOT_STATED = {"", "unknown", "not stated"}
_NAMES = {"mp": "the Materials Project", "matpes": "MatPES", "omat24": "OMat24"}
_LEARNT_U = {"mp": True, "omat24": True, "matpes": False}  # as their input sets say; all three polarise spins


@dataclass(frozen=True)
class ModelLabels:
    """How the labels were computed that a model learnt; see `engine.registry.models.Model`."""

    functional: str
    energy_reference: str
    d3: bool


@dataclass(frozen=True)
class DatasetLabels:
    """How the labels of a dataset were computed; see `engine.registry.datasets.Dataset`."""

    functional: str
    code: str
    energy_reference: str
    comparable: bool
    comparable_note: str
    elements: frozenset[str]
    spin: str = "not stated"
    hubbard_u: bool | None = None


@dataclass(frozen=True)
class Compatibility:
    """The judgement on one pair.

    Attributes:
        state: `yes`: raw energies may be compared; `care`: they may, but a part of the error is the set-up's;
            `no`: only aligned ones, and where the reason names the functional, not even those without care.
        reason: Sentences, the gravest first.
    """

    state: str
    reason: str


Finding = tuple[str, str] | None  # state and sentence


def judge(model: ModelLabels, dataset: DatasetLabels) -> Compatibility:
    """Judge a pair by all rules; the gravest finding decides.

    Example:
        >>> mp = ModelLabels("PBE", "mp", d3=False)
        >>> vasp = DatasetLabels("PBE", "VASP", "mp", True, "Fits.", frozenset({"Mo"}))
        >>> judge(mp, vasp)
        Compatibility(state='yes', reason='Same functional and same zero of energy. Fits.')
    """
    found = [finding for rule in _RULES if (finding := rule(model, dataset))]
    for state in (NO, CARE):
        if any(finding[0] == state for finding in found):
            found.sort(key=lambda finding: finding[0] != NO)
            return Compatibility(state, " ".join(sentence for _, sentence in found))
    return Compatibility(YES, f"Same functional and same zero of energy. {dataset.comparable_note}".rstrip())


def _functional(model: ModelLabels, dataset: DatasetLabels) -> Finding:
    if model.functional == "none":
        return NO, "The model was not fitted to one DFT functional."
    if dataset.functional == model.functional:
        return None
    if dataset.functional in _NOT_STATED:
        return CARE, "The functional of the dataset is not known."
    if re.search(rf"\b{re.escape(model.functional)}\b", dataset.functional):
        return CARE, f"Functional of the dataset: {dataset.functional}."
    return NO, (
        f"Functionals differ: {model.functional} (model), {dataset.functional} (dataset); forces and aligned energies "
        "differ by them too."
    )


def _zero(model: ModelLabels, dataset: DatasetLabels) -> Finding:
    """The DFT set-up that fixes the zero of energy of each element, pseudopotentials included."""
    zero = "mp" if dataset.comparable else dataset.energy_reference
    learnt = model.energy_reference.removesuffix("-d3")
    note = dataset.comparable_note
    if learnt in ("none", "own"):
        return NO, "The model has a zero of its own."
    if zero == "own":
        return NO, f"The dataset has a zero of its own. {note}".rstrip()
    if learnt not in _NAMES:  # of another functional, which is a finding of its own
        return None
    if learnt == zero:
        is_checked = dataset.comparable or zero != "mp"
        if not is_checked:
            return NO, note or "The dataset was found to have another zero."
        return (CARE, f"Energy reference: {note}") if "not checked" in note else None
    between = f"Zeros differ: {_NAMES[learnt]} (model), {_NAMES[zero]} (dataset)"
    if learnt == "mp":  # not `comparable`, so somebody found it to be off
        return NO, f"{between}. {note}".rstrip()
    far = sorted(NEWER_POTENTIALS.keys() & dataset.elements) if zero == "mp" else []
    if far:
        steps = ", ".join(f"{symbol} {1000 * NEWER_POTENTIALS[symbol]:+.0f}" for symbol in far)
        return NO, f"{between}, by other pseudopotentials, in meV/atom about {steps}."
    known = "no large shift is known for its elements" if dataset.elements else "its elements are not known"
    return CARE, f"{between}; pseudopotentials are others, and {known}."


def _code(model: ModelLabels, dataset: DatasetLabels) -> Finding:
    if model.functional == "none" or dataset.code == "VASP":
        return None
    return CARE, f"Code of the dataset: {dataset.code or 'not stated'}; the model learnt from VASP."


def _hubbard(model: ModelLabels, dataset: DatasetLabels) -> Finding:
    metals = sorted(HUBBARD_METALS & dataset.elements)
    learnt_u = _LEARNT_U.get(model.energy_reference.removesuffix("-d3"))
    if not metals or not {"O", "F"} & dataset.elements or model.functional != "PBE" or learnt_u is None:
        return None
    if dataset.hubbard_u == learnt_u:
        return None
    learnt = f"With O or F the model's training set has {'+U' if learnt_u else 'no +U'} on {', '.join(metals)}"
    if dataset.hubbard_u is None:
        return CARE, f"{learnt}; the dataset may differ."
    return NO, f"{learnt}, unlike the dataset: in effect, functionals differ, and forces and aligned energies by them."


def _spin(model: ModelLabels, dataset: DatasetLabels) -> Finding:
    """What a source does not say is asked only where nobody found its zero to be the Materials Project's.

    That zero needs the same spin, which all training sets with a name here polarise.
    """
    metals = ", ".join(sorted(MAGNETIC & dataset.elements))
    if not metals or dataset.spin == "polarised" or model.functional == "none":
        return None
    if dataset.spin == "unpolarised":
        return NO, (
            f"Spins of {metals} are not polarised in the dataset; forces and aligned energies of a model that learnt "
            "from polarised ones differ by that too."
        )
    return None if dataset.comparable else (CARE, f"The source does not say whether spins of {metals} are polarised.")


def _dispersion(model: ModelLabels, dataset: DatasetLabels) -> Finding:
    if model.d3 == ("D3" in dataset.functional):
        return None
    if model.d3:
        return CARE, "The model's labels include D3 dispersion, those of the dataset do not."
    return CARE, "The dataset's labels include D3 dispersion, those of the model do not."


_RULES: tuple[Callable[[ModelLabels, DatasetLabels], Finding], ...] = (
    _functional, _zero, _code, _hubbard, _spin, _dispersion,
)  # fmt: skip
