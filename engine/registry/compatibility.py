"""Whether raw energies of a model and of a dataset count from the same zero, and mean the same.

DFT set-ups differ in functional, code, pseudopotentials, +U, spin and dispersion. Some of these only move the zero of
energy of each element, which alignment removes; others change forces too. The rules below judge one pair by what the
registries say of both, and give their reasons.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.registry.levels_of_theory import LevelOfTheory

YES, CARE, NO = "yes", "care", "no"  # from good to bad

MOVED = 0.05  # eV/atom; a zero that differs by more would pass for an error of the model
# Zero of energy of OMat24 and MatPES, which use newer pseudopotentials, minus that of the Materials Project, eV/atom.
# Measured on crystals as nequix-omat-1 minus nequix-oam-1. Listed are elements of which these and two MatPES models
# (m3gnet, tensornet) minus models of the Materials Project's zero all say that it moved by more than `MOVED`. DFT
# moves alike where both are known: Ni 0.30, Cu 0.36, Fe 0.21 (engine/registry/datasets).
NEWER_POTENTIALS = {
    "Ag": 0.11, "Cd": 0.17, "Co": 0.06, "Cu": 0.35, "Fe": 0.18, "Mg": 0.10, "Mo": -0.07, "Ni": 0.29, "Pb": 0.14,
    "Sc": 0.08, "Ti": 0.10, "V": 0.14, "Yb": -2.51, "Zn": 0.17,
}  # fmt: skip

HUBBARD_METALS = {"Co", "Cr", "Fe", "Mn", "Mo", "Ni", "V", "W"}  # the Materials Project's, with O or F
MAGNETIC = {"Co", "Cr", "Fe", "Mn", "Ni"}
_NOT_STATED = {"", "unknown", "not stated"}
_NAMES = {"mp": "the Materials Project", "matpes": "MatPES", "omat24": "OMat24"}


@dataclass(frozen=True)
class Labels:
    """Labels of a dataset: how they were computed, and what is known of their zero of energy.

    Attributes:
        level: How they were computed.
        elements: Chemical symbols of the dataset.
        comparable: Their zero is that of the Materials Project.
        note: Why, or why not, with the measured shift.
        is_checked: Somebody compared their energies with that zero.
    """

    level: LevelOfTheory
    elements: frozenset[str]
    comparable: bool
    note: str = ""
    is_checked: bool = True


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


def judge(model: LevelOfTheory, labels: Labels) -> Compatibility:
    """Judge a pair by all rules; the gravest finding decides.

    Args:
        model: Level of theory that the model learnt.
        labels: Labels that it is compared with.

    Example:
        >>> mp = LevelOfTheory("mp", "PBE", "mp", code="VASP")
        >>> judge(mp, Labels(mp, frozenset({"Mo"}), comparable=True, note="Fits."))
        Compatibility(state='yes', reason='Same functional and same zero of energy. Fits.')
    """
    found = [finding for rule in _RULES if (finding := rule(model, labels))]
    for state in (NO, CARE):
        if any(finding[0] == state for finding in found):
            found.sort(key=lambda finding: finding[0] != NO)
            return Compatibility(state, " ".join(sentence for _, sentence in found))
    return Compatibility(YES, f"Same functional and same zero of energy. {labels.note}".rstrip())


def has_same_physics(model: LevelOfTheory, labels: Labels) -> bool:
    """Whether forces and aligned energies can be ranked: functional and dispersion are not known to differ.

    A model that was fitted to no one functional stays in, as the baseline that it is.

    Args:
        model: Level of theory that the model learnt.
        labels: Labels that it is compared with.

    Example:
        >>> pbe = LevelOfTheory("mp", "PBE", "mp", code="VASP")
        >>> labels = Labels(pbe, frozenset({"Mo"}), comparable=True)
        >>> has_same_physics(pbe, labels)
        True
        >>> has_same_physics(LevelOfTheory("mp-r2scan", "r2SCAN", "mp-r2scan", code="VASP"), labels)
        False
    """
    if model.functional == "none":
        return True
    differs = _functional(model, labels)
    return (differs is None or differs[0] != NO) and _dispersion(model, labels) is None


def _functional(model: LevelOfTheory, labels: Labels) -> Finding:
    if model.functional == "none":
        return NO, "The model was not fitted to one DFT functional."
    if labels.level.functional == model.functional:
        return None
    if labels.level.functional in _NOT_STATED:
        return CARE, "The functional of the dataset is not known."
    if re.search(rf"\b{re.escape(model.functional)}\b", labels.level.functional):
        return CARE, f"Functional of the dataset: {labels.level.functional}."
    return NO, (
        f"Functionals differ: {model.functional} (model), {labels.level.functional} (dataset); forces and aligned "
        "energies differ by them too."
    )


def _zero(model: LevelOfTheory, labels: Labels) -> Finding:
    """The DFT set-up that fixes the zero of energy of each element, pseudopotentials included."""
    zero = "mp" if labels.comparable else labels.level.energy_reference
    learnt = model.energy_reference.removesuffix("-d3")
    note = labels.note
    if learnt in ("none", "own"):
        return NO, "The model has a zero of its own."
    if zero == "own":
        return NO, f"The dataset has a zero of its own. {note}".rstrip()
    if learnt not in _NAMES:  # of another functional, which is a finding of its own
        return None
    if learnt == zero:
        if zero == "mp" and not labels.comparable:
            return NO, note or "The dataset was found to have another zero."
        return None if labels.is_checked else (CARE, f"Energy reference: {note}")
    between = f"Zeros differ: {_NAMES[learnt]} (model), {_NAMES[zero]} (dataset)"
    if learnt == "mp":  # not `comparable`, so somebody found it to be off
        return NO, f"{between}. {note}".rstrip()
    far = sorted(NEWER_POTENTIALS.keys() & labels.elements) if zero == "mp" else []
    if far:
        steps = ", ".join(f"{symbol} {1000 * NEWER_POTENTIALS[symbol]:+.0f}" for symbol in far)
        return NO, f"{between}, by other pseudopotentials, in meV/atom about {steps}."
    known = "no large shift is known for its elements" if labels.elements else "its elements are not known"
    return CARE, f"{between}; pseudopotentials are others, and {known}."


def _code(model: LevelOfTheory, labels: Labels) -> Finding:
    if not model.code or labels.level.code == model.code:
        return None
    return CARE, f"Code of the dataset: {labels.level.code or 'not stated'}; the model learnt from {model.code}."


def _hubbard(model: LevelOfTheory, labels: Labels) -> Finding:
    metals = sorted(HUBBARD_METALS & labels.elements)
    learnt_u = model.hubbard_u
    if not metals or not {"O", "F"} & labels.elements or model.functional != "PBE" or learnt_u is None:
        return None
    if labels.level.hubbard_u == learnt_u:
        return None
    learnt = f"With O or F the model's training set has {'+U' if learnt_u else 'no +U'} on {', '.join(metals)}"
    if labels.level.hubbard_u is None:
        return CARE, f"{learnt}; the dataset may differ."
    return NO, f"{learnt}, unlike the dataset: in effect, functionals differ, and forces and aligned energies by them."


def _spin(model: LevelOfTheory, labels: Labels) -> Finding:
    """Spin polarisation; an unstated one is a finding only where the zero is not known to be the Materials Project's.

    That zero needs polarised spins, which all training sets of that zero have.
    """
    metals = ", ".join(sorted(MAGNETIC & labels.elements))
    if not metals or labels.level.spin == "polarised" or model.functional == "none":
        return None
    if labels.level.spin == "unpolarised":
        return NO, (
            f"Spins of {metals} are not polarised in the dataset; forces and aligned energies of a model that learnt "
            "from polarised ones differ by that too."
        )
    return None if labels.comparable else (CARE, f"The source does not say whether spins of {metals} are polarised.")


def _dispersion(model: LevelOfTheory, labels: Labels) -> Finding:
    if model.d3 == labels.level.d3:
        return None
    if model.d3:
        return CARE, "The model's labels include D3 dispersion, those of the dataset do not."
    return CARE, "The dataset's labels include D3 dispersion, those of the model do not."


_RULES: tuple[Callable[[LevelOfTheory, Labels], Finding], ...] = (
    _functional, _zero, _code, _hubbard, _spin, _dispersion,
)  # fmt: skip
