"""Novelty of local environments and the models' spread: what one flag of both is worth, on the page Uncertainty."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from app import furniture, wording
from app.sections import flagged_atoms
from app.selection import Selection
from engine.quantities import significant
from engine.queries import novelty

TITLE = "Novelty of local environments"


def show(ensemble: pd.Series, chosen: Selection) -> None:
    """Precision and recall of the flag for one member, and measured errors by novelty.

    Args:
        ensemble: With `model_ids` of its members.
        chosen: The sidebar's choices; its model counts where it is a member.
    """
    st.markdown(
        "Is an atom whose surroundings no benchmark has one with a large force error? The distance is that of its SOAP "
        "vector to the nearest sampled one of another cluster, 0 to 1.42; the spread is that of the members. Predict "
        "flags atoms of your own structure by both."
    )
    members: Sequence[str] = tuple(sorted(ensemble["model_ids"]))
    model_id = chosen.model_id if chosen.model_id in members else members[0]
    label = wording.model_labels().get(model_id, model_id)
    found = novelty.relation(model_id, tuple(members))
    if found.flag is None:
        furniture.empty(
            f"No flag for {label} by this ensemble",
            f"Too few sampled atoms have force errors of all {len(members)} members, or too few of these are above "
            f"{1000 * novelty.LIMIT:.0f} meV/Å. Datasets that are here as summaries have no forces on atoms.",
        )
        return
    flag = found.flag
    furniture.numbers(
        [
            ("Precision of the flag", f"{100 * flag.precision:.0f} %", f"{100 * flag.base_rate:.0f} % without it"),
            ("Recall", f"{100 * flag.recall:.0f} %", f"of |ΔF| above {1000 * flag.limit:.0f} meV/Å"),
            ("AUROC of both", significant(flag.auroc, 2), f"n = {flag.n_atoms:,} atoms, {flag.n_clusters} clusters"),
            ("AUROC of the distance", significant(flag.auroc_distance, 2), "alone; 0.5 is chance"),
            ("AUROC of the spread", significant(flag.auroc_deviation, 2), "alone"),
        ]
    )
    places = wording.listed([wording.dataset_label(name) for name in found.dataset_ids])
    st.caption(
        f"Errors of {label}, measured on clusters that the flag was not fitted on; atoms of all datasets with forces "
        f"on atoms ({places}). {flagged_atoms.worth(flag)}"
    )
    furniture.say_unheeded(chosen.scope, "Novelty does not heed")
    flagged_atoms.bins_table(found.bins, label)
