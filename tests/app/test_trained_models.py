"""Pages mark models that were trained on the data, and leave them out of rankings."""

import pytest

from tests.app.opening import open_app, table_with, text_of

MARK = "§ trained on this"


def test_data_the_models_were_trained_on_are_marked(sampled_store):
    assert "Full was trained on it." in text_of(open_app())


@pytest.mark.parametrize("page", ["overview", "cost", "uncertainty", "structure", "model", "parity", "elements"])
def test_a_model_trained_on_the_data_is_marked_with_the_reason(sampled_store, page):
    at = open_app()
    at.selectbox(key="model").set_value("trained")
    at.run()
    if page == "uncertainty":
        at.query_params["ensemble"] = "trained-full"
    if page == "model":
        at.query_params["id"] = "trained"
    at.switch_page(f"views/{page}.py").run()
    assert not at.exception, at.exception
    assert MARK in text_of(at)
    assert "Fitted to it." in text_of(at)


def test_the_overview_ranks_no_model_on_data_that_it_was_trained_on(sampled_store):
    at = open_app()
    at.segmented_control(key="quantity").set_value("force").run()
    ranking = table_with(at, "ranks").set_index("label")
    trained = ["–", "It was trained on these configurations."]
    assert ranking.loc["Trained §", ["ranks", "why_no_rank"]].tolist() == trained
    assert at.metric[0].value == "100"
    assert "Not ranked, since they were trained on this (§): Trained." in text_of(at)
    at.toggle(key="seen").set_value(True).run()
    found = table_with(at, "ranks").set_index("label")["ranks"].to_dict()
    assert found == {"Trained §": "1–3", "Full": "1–3", "Sample": "1–3", "Few": "–", "Fragile": "–"}
    assert at.metric[0].value == "50.0"
    assert "Trained §" in text_of(at)


def test_the_model_at_the_start_was_not_trained_on_the_data(sampled_store):
    assert open_app().selectbox(key="model").value == "full"


def test_datasets_name_the_models_that_were_trained_on_them(sampled_store):
    assert "By Trained. Full was trained on it." in text_of(open_app("views/datasets.py"))
    table = table_with(open_app("views/about.py", chapter="Datasets"), "stands_in_for")
    assert table.set_index("dataset_id").loc["hand", "leakage"] == "By Trained. Full was trained on it."


def test_the_front_leaves_out_models_trained_on_the_data(sampled_store):
    at = open_app("views/cost.py")
    at.segmented_control(key="quantity").set_value("force").run()
    assert "on the Pareto front: Full" in at.get("plotly_chart")[0].proto.alt
    at.toggle(key="seen").set_value(True).run()
    assert "on the Pareto front: Trained" in at.get("plotly_chart")[0].proto.alt


def test_an_ensemble_without_members_trained_on_the_data_comes_first(sampled_store):
    at = open_app("views/uncertainty.py")
    assert at.selectbox(key="ensemble").value == "sample-full"
    assert "§" not in text_of(at)
    at.selectbox(key="ensemble").set_value("trained-full").run()
    assert at.metric[0].label == "Spearman ρ, energy §"
    assert "Members:** Trained §, Full" in text_of(at)


def test_what_alignment_changed_leaves_out_models_trained_on_the_data(sampled_store):
    at = open_app("views/datasets.py")
    at.segmented_control(key="part").set_value("alignment").run()
    assert "Trained §" not in set(table_with(at, "rank_aligned")["label"])
    at.toggle(key="seen").set_value(True).run()
    assert "Trained §" in set(table_with(at, "rank_aligned")["label"])


def test_compatibility_marks_models_trained_on_the_data(sampled_store):
    at = open_app("views/datasets.py")
    at.segmented_control(key="part").set_value("compatibility").run()
    reasons = table_with(at, "state_reason").set_index("label")
    assert "Fitted to it." in reasons.loc["Trained §", "seen_reason"]
    assert reasons.loc["Full", "seen_reason"] == ""


def test_models_trained_on_a_group_come_last_at_its_structures(sampled_store):
    at = open_app()
    at.selectbox(key="model").set_value("trained").run().switch_page("views/structure.py").run()
    ok = table_with(at, "force_max_error")
    assert ok["label"].tolist()[-1] == "Trained §"
    at.toggle(key="seen").set_value(True).run()
    assert table_with(at, "force_max_error")["label"].tolist().index("Trained §") < len(ok) - 1


def test_numbers_side_by_side_rank_no_model_trained_on_the_data(sampled_store):
    at = open_app()
    at.selectbox(key="model").set_value("full")
    at.multiselect(key="compare").set_value(["trained"])
    at.segmented_control(key="quantity").set_value("force").run().switch_page("views/parity.py").run()
    assert table_with(at, "n_of")["label"].tolist() == ["Full", "Trained §"]
    at.toggle(key="seen").set_value(True).run()
    assert table_with(at, "n_of")["label"].tolist() == ["Trained §", "Full"]
