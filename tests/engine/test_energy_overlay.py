"""Energies of several models in one frame."""

import pandas as pd
import pytest

from engine.queries import energy_overlay
from engine.queries.scope import Scope


def test_errors_are_told_apart_by_the_sign_of_the_reference():
    table = pd.DataFrame(
        {
            "model_id": ["a", "a", "a", "b"],
            "reference": [-1.0, 0.0, 2.0, -1.0],
            "predicted": [-1.3, 0.4, 3.2, -1.0],
        }
    )
    found = energy_overlay.agreement(table).set_index("model_id")
    assert found.loc["a", ["n_negative", "n_positive"]].tolist() == [2, 1]
    assert found.loc["a", "rmse_negative"] == pytest.approx(((0.09 + 0.16) / 2) ** 0.5)
    assert found.loc["a", "rmse_positive"] == pytest.approx(1.2)
    assert found.loc["a", "rmse_all"] == pytest.approx(((0.09 + 0.16 + 1.44) / 3) ** 0.5)
    assert found.loc["b", "rmse_all"] == 0.0
    assert pd.isna(found.loc["b", "rmse_positive"])


def test_predictions_are_the_reference_and_the_error_of_the_alignment(sampled_store):
    table = energy_overlay.energies(("sample",), Scope.of("hand"), "raw")
    assert len(table) == 100
    assert table["predicted"].to_numpy() == pytest.approx(0.2)  # references are 0, this model's predictions 0.2 eV
