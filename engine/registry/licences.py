"""What licences of weights allow, as far as a choice of models asks."""

from dataclasses import dataclass

PERMISSIVE = frozenset({"MIT", "BSD-3-Clause", "Apache-2.0", "CC-BY-4.0"})
COPYLEFT = frozenset(
    {"GPL-3.0", "AGPL-3.0", "LGPL-3.0", "LGPL-2.1", "LGPL-2.1-or-later", "MIT (GPL-3.0 when released)"}
)


@dataclass(frozen=True)
class LicenceChoice:
    """One condition on licences.

    Attributes:
        label: To show.
        allowed: Licences that fit, as entries of models name them; None for all.
        why_not: What to say of one that does not fit, after a colon.
    """

    label: str
    allowed: frozenset[str] | None
    why_not: str = ""


LICENCES = {
    "any": LicenceChoice("Any licence", None),
    "commercial": LicenceChoice(
        "Commercial use allowed", PERMISSIVE | COPYLEFT, "commercial use is forbidden, or not plainly allowed"
    ),
    "permissive": LicenceChoice("Permissive only", PERMISSIVE, "it is not one of MIT, BSD, Apache and CC-BY"),
}
"""Conditions on licences, by id."""


def fits(licence: str, choice: str) -> bool:
    """Whether a licence meets a condition; one that nobody looked up meets none.

    Args:
        licence: As a model's entry names it.
        choice: A key of `LICENCES`.

    Example:
        >>> fits("ASL", "any"), fits("ASL", "commercial"), fits("GPL-3.0", "commercial"), fits("GPL-3.0", "permissive")
        (True, False, True, False)
    """
    allowed = LICENCES[choice].allowed
    return allowed is None or licence in allowed
