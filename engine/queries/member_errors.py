"""Force errors of several models on the same atoms: the columns of a statement that reads them, and their spread."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.numerics.uncertainty import standard_deviations

FloatArray = NDArray[np.float64]


def columns(members: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """SQL of the errors of each model, x0, y0, z0, x1 ... of `force_errors f` grouped by atom, and its bindings.

    Args:
        members: Ids of the models, in the order of their numbers.
    """
    text = ", ".join(
        f"max(f.error_{axis}) filter (f.model_id = $member_{k})::double as {axis}{k}"
        for k in range(len(members))
        for axis in "xyz"
    )
    named: dict[str, Any] = {f"member_{k}": name for k, name in enumerate(members)}
    return text, named | {"members": list(members), "n": len(members)}


def spread(
    table: pd.DataFrame, members: Sequence[str], model_id: str, ensemble: Collection[str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Errors of all models, the spread of some of them, and the size of the error of one.

    Args:
        table: One row per atom, with the columns of `columns`.
        members: As for `columns`.
        model_id: The model whose error it is, one of `members`.
        ensemble: Models whose spread counts, of `members`.

    Returns:
        Error vectors, shape (n_members, n_atoms, 3); standard deviations, shape (n_atoms,); sizes of the error, shape
        (n_atoms,); all in eV/Å.
    """
    errors = np.stack([table[[f"{axis}{k}" for axis in "xyz"]].to_numpy() for k in range(len(members))])
    inside = np.array([name in set(ensemble) for name in members])
    deviations = standard_deviations(np.zeros(inside.sum()), errors[inside])[1]
    return errors, deviations, np.linalg.norm(errors[list(members).index(model_id)], axis=1)
