"""The Advisor leads to an atom in 3D: that of the largest force error, found by numpy as well."""

import numpy as np

from engine.queries import configurations
from engine.store import connection


def test_the_worst_atom_is_that_of_the_largest_error_in_the_structures_of_the_kind(store):
    found = configurations.worst_atom(("emt", "morse"), ("Cu",), "vacancy")
    table = connection.frame(
        """
        select config_id, f.atom_index, f.error_x, f.error_y, f.error_z
        from force_errors f join configurations c using (dataset_id, config_id)
        where f.model_id = 'emt' and c.elements = ['Cu'] and c.kind = 'vacancy'
        """
    )
    errors = np.linalg.norm(table[["error_x", "error_y", "error_z"]].to_numpy(float), axis=1)
    worst = table.iloc[int(errors.argmax())]
    assert (found.config_id, found.atom_index) == (worst["config_id"], worst["atom_index"])
    assert np.isclose(found.force_error, errors.max(), rtol=1e-5)
    assert (found.model_id, found.kind) == ("emt", "vacancy")


def test_other_kinds_and_the_next_models_come_where_there_are_none(store):
    # EMT has no iron, and no grain boundary is here.
    found = configurations.worst_atom(("emt", "morse"), ("Fe",), "grain-boundary")
    assert (found.model_id, found.dataset_id) == ("morse", "fe")
    assert configurations.worst_atom(("emt",), ("Xe",), "") is None
