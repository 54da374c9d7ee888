from precompute.jobs.tables import markdown_matrix, markdown_table


def test_models_trained_on_the_dataset_come_last_with_a_mark(sampled_store):
    lines = list(markdown_table("hand"))
    labels = [line.split(" | ")[0] for line in lines if line.startswith("| ")]
    assert labels == ["| model", "| Fragile", "| Few", "| Sample", "| Full", "| Trained §"]
    assert lines[-1] == "§ trained on this dataset, so no test of the model."


def test_the_matrix_marks_cells_of_models_trained_on_the_dataset(sampled_store):
    cells = {line.split(" | ")[0]: line for line in markdown_matrix()}
    assert "50§ (95 of 120)" in cells["| trained"]
    assert "§" not in cells["| sample"]
