"""Statements of the paper and our own, with what was measured of them."""

import pandas as pd

from engine.registry.claims import PAPER, VERDICTS
from engine.store import connection
from engine.store.connection import cached


@cached
def claims(list_name: str = PAPER) -> pd.DataFrame:
    """Statements of one list, with the disagreeing ones first.

    Args:
        list_name: `paper`, `own` (ours) or `inconsistency` (where the paper contradicts itself).

    Returns:
        The columns of the table `claims`, which the schema explains.
    """
    return connection.frame(
        """
        select claim_id, verdict, section, figure, kind, text, paper_text, allowed, found, paper_value, measured_value,
            measured_lo, measured_hi, unit, n, n_what, dataset_id, model_ids, stand_in, reason, why, data_needed, page,
            address, commands
        from claims where list_name = $list
        order by coalesce(list_position($verdicts, verdict), 0), position
        """,
        {"list": list_name, "verdicts": list(VERDICTS)},
    )
