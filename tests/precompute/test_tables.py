import pytest

from engine.errors import StoreError
from precompute.jobs.tables import markdown_matrix, markdown_rows, markdown_table


def test_models_trained_on_the_dataset_come_last_with_a_mark(sampled_store):
    lines = list(markdown_table("hand"))
    labels = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert labels == ["| model", "| Fragile", "| Few", "| Sample", "| Full", "| Trained §"]
    assert "§ trained on this dataset, so no test of the model." in lines


def test_the_matrix_marks_cells_of_models_trained_on_the_dataset(sampled_store):
    cells = {line.split(" | ")[0]: line for line in markdown_matrix()}
    assert "50§ (95 of 120)" in cells["| trained"]
    assert "§" not in cells["| sample"]


def test_ranks_are_intervals_and_missing_ones_say_why(sampled_store):
    lines = list(markdown_table("hand"))
    cells = {line.split(" | ")[0]: line.split(" | ") for line in lines if line.startswith("| ")}
    place = cells["| model"].index("F rank")
    assert [cells[f"| {name}"][place] for name in ("Full", "Sample", "Few", "Trained §")] == ["1–2", "1–2", "-", "-"]
    assert "No rank: Trained. It was trained on these configurations." in lines
    assert "E RMSE crystal" not in cells["| model"]


def test_errors_against_the_crystal_have_a_column_where_there_are_crystals(crystal_store):
    lines = [line.split(" | ") for line in markdown_table("formation") if line.startswith("| ")]
    place = lines[0].index("E RMSE crystal")
    assert lines[-1][0] == "| Far"
    assert lines[-1][place].startswith("300.00")


def test_one_statement_gives_its_rows_and_none_is_refused(sampled_store):
    lines = list(markdown_rows("select model_id, paper_row from models where model_id = 'absent'"))
    assert lines == ["| model_id | paper_row |", "|---|---|", "| absent | 7 |"]
    with pytest.raises(StoreError, match="Expected one statement"):
        list(markdown_rows(" ; "))
