import re
from io import StringIO

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from ase.data import chemical_symbols
from plotly.colors import sample_colorscale

from app import charts, costchart, errorchart, export, tilechart
from app.charts import DARK, LIGHT
from engine import queries
from engine.pareto import pareto_front

ORIGIN = export.Provenance("parity", "A title", ("emt",), ("al-cu",), "24 configurations", "v1", "Somebody")
# Streamlit takes these hex colours for names of its own theme, whoever wrote them.
PLACEHOLDER = re.compile(r"#0000(0[1-9]|[12][0-9]|3[0-2])\b")


def _matrix(quantity: str, ink: charts.Ink = LIGHT) -> tuple[pd.DataFrame, go.Figure]:
    metrics = queries.dataset_metrics("raw")
    models = pd.DataFrame({"model_id": ["emt", "morse", "other"], "label": ["EMT", "Morse", "Other"]})
    datasets = pd.DataFrame({"dataset_id": ["al-cu", "fe"], "label": ["Al-Cu", "Fe"]})
    cells = tilechart.matrix_cells(metrics, models, datasets)
    return cells, tilechart.matrix(cells, quantity, ink, "Matrix", ORIGIN.source_line())


def _all_figures(ink: charts.Ink) -> list[go.Figure]:
    table = queries.element_metrics("morse")
    columns = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang"}
    force = queries.residuals("emt", "al-cu", "force", "raw")
    energy = queries.residuals("emt", "al-cu", "energy", "raw")
    args = (ink, "Title", ORIGIN.source_line())
    return [
        _matrix("force", ink)[1],
        tilechart.periodic_table(table, columns, *args, selected="Cu"),
        errorchart.residual(force, "force", *args),
        errorchart.residual(energy, "energy", *args, view="parity"),
        errorchart.deviation_points(queries.energy_deviations("emt-morse", "al-cu"), *args),
        errorchart.deviation_density(queries.force_deviation_density("emt-morse", "al-cu"), *args),
        costchart.pareto(_costs(), pareto_front([1, 2, 4], [9, 5, 6]), "force", *args, highlight=["b"]),
    ]


def _costs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model_id": ["a", "b", "c"],
            "label": ["A", "B", "C"],
            "family": ["mace", "orb", "unknown"],
            "training_sets": [["MPtrj"], ["OMat24"], []],
            "cost": [1.0, 2.0, 4.0],
            "force_rmse_mev_per_ang": [9.0, 5.0, 6.0],
            "force_rmse_mev_per_ang_lo": [8.0, 4.0, np.nan],
            "force_rmse_mev_per_ang_hi": [10.0, 6.0, np.nan],
        }
    )


@pytest.mark.parametrize("ink", [LIGHT, DARK], ids=["light", "dark"])
def test_every_figure_has_our_template_source_line_and_no_streamlit_colour(store, ink):
    for figure in _all_figures(ink):
        assert figure.layout.template.layout.paper_bgcolor == ink.background
        assert any("Defect Atlas, data v1" in note.text for note in figure.layout.annotations)
        assert not PLACEHOLDER.search(figure.to_json())


@pytest.mark.parametrize(
    ("symbol", "place"),
    [
        ("H", (1, 1)),
        ("He", (18, 1)),
        ("Al", (13, 3)),
        ("Sc", (3, 4)),
        ("W", (6, 6)),
        ("Hf", (4, 6)),
        ("Og", (18, 7)),
        ("La", (3, 8.4)),
        ("U", (6, 9.4)),
    ],
)
def test_elements_stand_where_they_belong(symbol, place):
    assert tilechart.grid_position(symbol) == place


def test_no_two_elements_share_a_tile():
    places = [tilechart.grid_position(symbol) for symbol in chemical_symbols[1:]]
    assert len(set(places)) == len(places) == 118


def test_missing_failed_and_imported_cells_look_different(store):
    cells, figure = _matrix("force")
    bars = figure.data[0]
    at = {(row.model_id, row.dataset_id): k for k, row in enumerate(cells.itertuples())}
    assert bars.text[at["other", "fe"]] == "not run"
    assert bars.text[at["emt", "fe"]] == "2 failed"
    assert bars.text[at["morse", "al-cu"]].endswith("</i>†")
    assert "†" not in bars.text[at["emt", "al-cu"]]
    assert [bars.marker.pattern.shape[at[k, "fe"]] for k in ("emt", "morse", "other")] == ["/", "", ""]


def test_a_cell_carries_what_a_click_needs(store):
    cells, figure = _matrix("energy")
    assert [list(pair) for pair in figure.data[0].customdata] == cells[["model_id", "dataset_id"]].values.tolist()


def test_only_elements_with_values_are_coloured_and_failed_ones_hatched(store):
    table = queries.element_metrics("emt")
    columns = {"force": "force_rmse_mev_per_ang"}
    strip, values = tilechart.periodic_table(table, columns, LIGHT, "Title", "source").data[:2]
    assert [row[0] for row in values.customdata] == ["Al", "Cu"]
    hatched = [s for s, shape in zip(chemical_symbols[1:], strip.marker.pattern.shape, strict=True) if shape]
    assert hatched == ["Fe"]


@pytest.mark.parametrize("quantity", ["energy", "force"])
def test_text_on_tiles_can_be_read(quantity):
    def luminance(colour: str) -> float:
        numbers = (
            re.findall(r"\d+", colour) if colour.startswith("rgb") else [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        )
        c = np.array([float(n) for n in numbers[:3]]) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    colours = sample_colorscale(charts.SCALES[quantity], np.linspace(0, 1, 50).tolist())
    for colour in colours:
        pair = sorted([luminance(colour), luminance(charts.text_on(colour))])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5
    assert luminance(colours[0]) > luminance(colours[-1])  # light means a small error


def test_residuals_are_shown_in_milli_units(store):
    density = queries.residuals("emt", "al-cu", "force", "raw")
    figure = errorchart.residual(density, "force", LIGHT, "Title", "source")
    assert figure.layout.yaxis.range == pytest.approx(tuple(1000 * density.y_edges[[0, -1]]))
    assert "meV/Å" in figure.layout.yaxis.title.text


def test_figures_to_compare_share_their_limits(store):
    samples = [queries.residuals(model, "al-cu", "force", "raw") for model in ("emt", "morse")]
    frame = errorchart.frame_of(samples, "force", "residual")
    figures = [errorchart.residual(s, "force", LIGHT, "Title", "source", frame=frame) for s in samples]
    assert figures[0].layout.yaxis.range == figures[1].layout.yaxis.range
    assert figures[0].data[0].zmax == figures[1].data[0].zmax


def test_the_table_of_a_density_holds_every_sample(store):
    density = queries.residuals("emt", "al-cu", "force", "raw", full_range=True)
    assert errorchart.table_of(density)["count"].sum() == density.n_total


def test_the_front_is_drawn_as_steps_to_the_right():
    figure = costchart.pareto(_costs(), np.array([0, 1]), "force", LIGHT, "Title", "source")
    assert figure.data[0].line.shape == "hv"
    assert list(figure.data[0].y) == [9.0, 5.0, 5.0]


def test_labels_overlap_neither_points_nor_each_other():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(60, 820, 14), rng.uniform(30, 390, 14)
    labels = [f"model-name-{k}" for k in range(14)]
    shifts = costchart.place_labels(x, y, labels, 880, 424)
    half = 6.8 * 13 / 2
    boxes = [
        (a + dx - half, b + dy - 7, a + dx + half, b + dy + 7) for a, b, (dx, dy) in zip(x, y, shifts, strict=True)
    ]
    for k, box in enumerate(boxes):
        assert box[0] > 0
        assert box[2] < 880
        assert box[1] > 0
        assert box[3] < 424
        others = boxes[k + 1 :] + [(a - 5, b - 5, a + 5, b + 5) for a, b in zip(x, y, strict=True)]
        assert all(box[2] <= o[0] or o[2] <= box[0] or box[3] <= o[1] or o[3] <= box[1] for o in others)


def test_file_names_say_page_model_dataset_and_version():
    assert ORIGIN.file_name("svg") == "parity_emt_al-cu_v1.svg"


def test_csv_carries_its_origin_and_can_be_read_again():
    table = pd.DataFrame({"element": ["Al"], "n_configs": [12]})
    csv = export.to_csv(table, ORIGIN).decode()
    assert "# Model: emt" in csv
    assert "# Reference data: Somebody" in csv
    assert pd.read_csv(StringIO(csv), comment="#").equals(table)


def test_html_needs_no_network_and_is_in_report_colours():
    page = export.to_html(lambda ink: go.Figure(layout={"paper_bgcolor": ink.background}), ORIGIN).decode()
    assert "<title>A title</title>" in page
    assert LIGHT.background in page
    assert not re.search(r"<(script|link)[^>]+(src|href)=\"http", page)
