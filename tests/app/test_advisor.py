"""The page Advisor on the store of `conftest.build_evidence_store`: what it recommends, says and keeps."""

import pytest

from app.sections import advice_cards, advisor_request
from tests.app.opening import open_app, open_link, start_at, table_with, text_of

PAGE = "views/advisor.py"


def test_it_opens_on_grain_boundaries_of_tungsten_with_three_models(evidence_store):
    at = open_app(PAGE)
    assert not at.exception, at.exception
    text = text_of(at)
    assert "For **grain boundary of W**: **First**, ahead of all others beyond doubt of 4 compared models." in text
    assert [one.value for one in at.subheader][:3] == ["1. First", "2. Direct", "3. Second"]
    assert "**0 to 190 meV/Å** for 90 % of configurations, RMSE of their forces; half of them below 110" in text
    assert "Same elements, same kind: 20 configurations in 20 clusters of W-Gb" in text
    assert len(at.get("plotly_chart")) == 1
    assert not set(at.query_params) & {"alloy", "defect", "size"}


def test_every_other_model_has_one_reason(evidence_store):
    others = table_with(open_app(PAGE, reasons="true"), "cause").set_index("label")
    assert others["cause"].to_dict() == {
        "Third": "Larger error", "Trained": "Trained on the evidence", "R2Scan": "Other level of theory",
        "Molybdenum": "Other elements",
    }  # fmt: skip
    assert others["reason"].str.len().gt(0).all()


def test_tables_come_when_their_drawers_are_opened(evidence_store):
    assert not open_app(PAGE).dataframe
    assert len(open_app(PAGE, reasons="true", near="true", held="true").dataframe) == 3


def test_time_and_memory_follow_from_what_was_measured(evidence_store):
    at = open_app(PAGE, size="1000", steps="5000")
    text = text_of(at)
    assert "**50.0 min** in proportion to the atoms, from 0.600 ms per atom and step measured on 200 atoms" in text
    assert "2.1 GB, on a line through 100, 200 atoms" in text
    assert "Not known: measured on 100 atoms alone" in text
    assert "Not timed here. Run: `python -m precompute bench --model direct`" in text
    at.selectbox(key=advisor_request.key("hardware")).set_value("own").run()
    assert "bench --model first" in text_of(at)
    assert at.query_params["hardware"] in ("own", ["own"])


def test_the_address_fills_the_widgets_and_they_fill_it(evidence_store):
    at = open_link(PAGE, {"alloy": ["Mo"], "defect": ["any"], "by": ["energy"], "gradient": ["conservative"]})
    assert not at.exception, at.exception
    assert at.multiselect(key=advisor_request.key("alloy")).value == ["Mo"]
    assert at.selectbox(key=advisor_request.key("defect")).value == "any"
    at.multiselect(key=advisor_request.key("alloy")).set_value(["Mo", "W"])
    at.segmented_control(key=advisor_request.key("by")).set_value("force").run()
    assert at.query_params["alloy"] == ["Mo", "W"]
    assert "by" not in at.query_params
    assert "structures of Mo-W" in text_of(at)
    at.switch_page("views/cost.py").run()
    at.query_params.clear()
    at.switch_page(PAGE).run()
    assert at.multiselect(key=advisor_request.key("alloy")).value == ["Mo", "W"]
    at.query_params["alloy"] = ["W"]
    at.run()
    assert at.multiselect(key=advisor_request.key("alloy")).value == ["W"]


@pytest.mark.parametrize(
    "asked", [{"alloy": "Xx"}, {"defect": "hole"}, {"size": "many"}, {"size": "0"}, {"steps": "-1"},
              {"hardware": "abacus"}, {"licence": "none"}, {"gradient": "no"}, {"by": "magic"}], ids=str,
)  # fmt: skip
def test_a_wrong_value_is_named_and_not_replaced(evidence_store, asked):
    at = open_app(PAGE, **asked)
    assert not at.exception, at.exception
    ((name, value),) = asked.items()
    assert f"{name}={value}" in text_of(at)
    assert not at.get("plotly_chart")


def test_without_evidence_it_says_so_and_recommends_nothing(evidence_store):
    at = open_app(PAGE, alloy="Cu", defect="vacancy", reasons="true")
    assert "**No evidence for vacancy of Cu**" in text_of(at)
    assert not at.get("plotly_chart")
    assert set(table_with(at, "cause")["cause"]) == {"No evidence", "Other elements"}
    at.multiselect(key=advisor_request.key("alloy")).set_value([]).run()
    assert "**Which elements?**" in text_of(at)


def test_conditions_of_licence_and_forces_are_heeded(evidence_store):
    at = open_app(PAGE, licence="commercial", gradient="conservative", reasons="true")
    assert [one.value for one in at.subheader][:3] == ["1. First", "2. Second", "3. Third"]
    assert table_with(at, "cause").set_index("label").loc["Direct", "cause"] == "Licence"
    assert "Its licence is ASL" in table_with(at, "cause").set_index("label").loc["Direct", "reason"]


def test_coverage_and_size_on_left_out_datasets_stand_on_the_page(evidence_store):
    at = open_app(PAGE, held="true")
    table = table_with(at, "coverage")
    forces = table[table["quantity"] == "force"].iloc[0]
    # (42 / 48 + 76 / 80) / 2, as in tests/engine/test_evidence.py
    assert forces["coverage"] == pytest.approx(100 * (42 / 48 + 76 / 80) / 2)
    assert "91 % of its force errors lay inside on average over datasets, and 88 to 95 % on single ones." in text_of(at)
    assert "No dataset here tests the tier of this advice." in text_of(at)


def test_few_clusters_show_the_rank_of_the_next_tier(evidence_store):
    at = open_app(PAGE, defect="dislocation", reasons="true")
    text = text_of(at)
    assert "So few clusters tell no models apart" in text
    assert "for further configurations of these clusters, no others" in text
    assert "wide_ranks" in table_with(at, "cause").columns
    assert "No evidence is as large as 1,000 atoms: it has at most 1." in text


def test_search_and_overview_lead_to_it(evidence_store):
    at = start_at()
    assert "Which model for my metal and defect?" in [link.proto.label for link in at.get("page_link")]
    at.text_input(key="search").set_value("tungsten grain boundary").run()
    (link,) = [one for one in at.get("page_link") if one.proto.label.startswith("Best model: ")]
    assert link.proto.label == "Best model: Grain boundary with W"
    assert "alloy=W" in link.proto.query_string
    assert "defect=grain-boundary" in link.proto.query_string


def test_durations_are_in_units_that_suit_them():
    times = [0.02, 90.0, 150.0, 7200.0, 400_000.0]
    assert [advice_cards.duration(one) for one in times] == ["0.0200 s", "90.0 s", "2.50 min", "2.00 h", "4.63 days"]
