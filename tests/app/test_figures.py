import re
from io import StringIO

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from ase.data import chemical_symbols
from plotly.colors import sample_colorscale

from app import export
from app.figures import bar_plots, base, cost_plots, dataset_plots, error_plots, periodic_table, tile_maps
from app.figures.base import DARK, LIGHT
from engine.numerics.pareto import pareto_front
from engine.queries import catalog, comparability, error_metrics, error_pairs, reference_data, spread, training
from engine.queries.error_pairs import Axes
from engine.queries.scope import Scope

AL_CU = Scope.of("al-cu")
ORIGIN = export.Provenance("parity", "A title", ("emt",), ("al-cu",), "24 configurations", "v1", "Somebody")
# Streamlit takes these hex colours for names of its own theme, whoever wrote them.
PLACEHOLDER = re.compile(r"#0000(0[1-9]|[12][0-9]|3[0-2])\b")


def _matrix(quantity: str, ink: base.Ink = LIGHT) -> tuple[pd.DataFrame, go.Figure]:
    metrics = error_metrics.dataset_metrics("raw").assign(comparable=True, why_not="")
    models = pd.DataFrame({"model_id": ["emt", "morse", "other"], "label": ["EMT", "Morse", "Other"]})
    datasets = pd.DataFrame({"dataset_id": ["al-cu", "fe"], "label": ["Al-Cu", "Fe"]})
    cells = tile_maps.matrix_cells(metrics, models, datasets)
    return cells, tile_maps.matrix(cells, quantity, ink, "Matrix", ORIGIN.source_line())


def _all_figures(ink: base.Ink) -> list[go.Figure]:
    table = error_metrics.element_metrics("morse")
    columns = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang"}
    force = error_pairs.residuals("emt", AL_CU, Axes("force"))
    energy = error_pairs.residuals("emt", AL_CU, Axes("energy"))
    args = (ink, "Title", ORIGIN.source_line())
    return [
        _matrix("force", ink)[1],
        periodic_table.periodic_table(table, columns, *args, selected="Cu"),
        error_plots.residual(force, "force", *args),
        error_plots.residual(energy, "energy", *args, view="parity"),
        error_plots.deviation_points(spread.energy_deviations("emt-morse", AL_CU), *args),
        error_plots.deviation_density(spread.force_deviation_density("emt-morse", AL_CU), *args),
        cost_plots.pareto(_costs(), pareto_front([1, 2, 4], [9, 5, 6]), "force", *args, highlight=["b"]),
        dataset_plots.element_table(reference_data.element_counts(), *args, framed=["Cu"]),
        dataset_plots.histograms(_panels(), *args),
        dataset_plots.alignment_change(comparability.alignment_change(AL_CU), *args),
        tile_maps.compatibility(_judged(), *args),
    ]


def _panels() -> list[dataset_plots.Panel]:
    kinds = ("energy_above", "force_length", "n_atoms")
    found = [reference_data.histogram(kind, AL_CU) for kind in kinds]
    return [
        dataset_plots.Panel(kind, "samples", h, kind == "force_length") for kind, h in zip(kinds, found, strict=True)
    ]


def _judged() -> pd.DataFrame:
    pairs = tile_maps.grid(catalog.models().head(20), catalog.datasets()[["dataset_id", "label"]])
    return training.with_seen_columns(pairs.merge(comparability.compatibility(), on=["model_id", "dataset_id"]))


def _costs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model_id": ["a", "b", "c"],
            "label": ["A", "B", "C"],
            "family": ["mace", "orb", "unknown"],
            "training_sets": [["MPtrj"], ["OMat24"], []],
            "cost": [1.0, 2.0, 4.0],
            "cost_lo": [0.9, np.nan, 3.0],
            "cost_hi": [1.2, np.nan, 4.5],
            "force_rmse_mev_per_ang": [9.0, 5.0, 6.0],
            "force_rmse_mev_per_ang_lo": [8.0, 4.0, np.nan],
            "force_rmse_mev_per_ang_hi": [10.0, 6.0, np.nan],
            "is_ranked": [True, True, False],
            "n_configs": [47, 47, 20],
            "n_expected": 47,
            "comparable": True,
            "is_seen": False,
            "why_not": "",
            "cause": ["", "", "share"],
            "ranks": ["1–2", "1–2", "–"],
            "why_no_rank": ["", "", "too few"],
            "occasion": "a day",
            "is_apart": False,
            "has_random_weights": False,
        }
    )


def test_a_model_timed_with_random_weights_has_an_open_marker_with_a_dot():
    table = _costs().assign(has_random_weights=[False, True, False])
    figure = cost_plots.pareto(table, np.array([0]), "force", LIGHT, "Title", "source")
    (trace,) = [trace for trace in figure.data if trace.mode == "markers" and trace.hovertext is not None]
    assert list(trace.marker.symbol) == ["circle", "diamond-open-dot", "x-open"]
    assert ["random weights" in text for text in trace.hovertext] == [False, True, False]


def test_times_have_bars_to_their_quartiles_where_these_were_kept():
    figure = cost_plots.pareto(_costs(), np.array([0]), "force", LIGHT, "Title", "source")
    (trace,) = [trace for trace in figure.data if trace.mode == "markers" and trace.hovertext is not None]
    assert list(trace.error_x.arrayminus) == pytest.approx([0.1, 0, 1])
    assert list(trace.error_x.array) == pytest.approx([0.2, 0, 0.5])
    assert ["quartiles" in text for text in trace.hovertext] == [True, False, True]


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
    assert periodic_table.grid_position(symbol) == place


def test_no_two_elements_share_a_tile():
    places = [periodic_table.grid_position(symbol) for symbol in chemical_symbols[1:]]
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
    table = error_metrics.element_metrics("emt")
    columns = {"force": "force_rmse_mev_per_ang"}
    strip, values = periodic_table.periodic_table(table, columns, LIGHT, "Title", "source").data[:2]
    assert [row[0] for row in values.customdata] == ["Al", "Cu"]
    hatched = [s for s, shape in zip(chemical_symbols[1:], strip.marker.pattern.shape, strict=True) if shape]
    assert hatched == ["Fe"]


def _coverage(ink: base.Ink = LIGHT) -> tuple[pd.DataFrame, go.Figure]:
    models = pd.DataFrame({"model_id": ["full", "sample", "fragile", "absent"], "label": ["F", "S", "Fr", "A"]})
    datasets = pd.DataFrame({"dataset_id": ["hand", "none"], "label": ["By hand", "Not here"]})
    known = catalog.coverage().drop(columns=["label", "dataset_label"])
    cells = tile_maps.grid(models, datasets).merge(known, on=["model_id", "dataset_id"]).assign(mark="–")
    return cells, tile_maps.coverage(cells, ink, "Coverage", ORIGIN.source_line())


def test_coverage_shows_counts_and_marks_empty_cells(sampled_store):
    cells, figure = _coverage()
    texts = dict(zip(zip(cells["model_id"], cells["dataset_id"], strict=True), figure.data[0].text, strict=True))
    assert texts["full", "hand"] == "120"
    assert texts["sample", "hand"] == "100"
    assert texts["absent", "hand"] == texts["full", "none"] == "–"
    hovers = dict(zip(zip(cells["model_id"], cells["dataset_id"], strict=True), figure.data[0].hovertext, strict=True))
    assert "100 of 120 configurations" in hovers["sample", "hand"]
    assert "No weights: ask their owner." in hovers["absent", "hand"]
    frames = dict(zip(texts, figure.data[0].marker.line.width, strict=True))
    assert frames["fragile", "hand"] > 0 == frames["full", "hand"]


def test_a_model_over_other_configurations_is_marked_in_the_matrix(sampled_store):
    models = pd.DataFrame({"model_id": ["full", "few"], "label": ["Full", "Few"]})
    datasets = pd.DataFrame({"dataset_id": ["hand"], "label": ["By hand"]})
    metrics = error_metrics.shared_metrics("raw").assign(comparable=True, why_not="")
    cells = tile_maps.matrix_cells(metrics, models, datasets)
    texts = tile_maps.matrix(cells, "force", LIGHT, "Matrix", "source").data[0].text
    assert texts[0] == "100"
    assert "(10 of 120)" in texts[1]


def test_energies_that_cannot_be_compared_have_no_colour(store):
    models = pd.DataFrame({"model_id": ["emt", "morse"], "label": ["EMT", "Morse"]})
    datasets = pd.DataFrame({"dataset_id": ["al-cu"], "label": ["Al-Cu"]})
    metrics = error_metrics.dataset_metrics("raw").assign(why_not="Another zero.")
    metrics["comparable"] = metrics["model_id"] == "morse"
    tiles = [_energy_tiles(part, models, datasets) for part in (metrics, metrics.assign(comparable=False))]
    (one, heads), (none, heads_of_none) = tiles
    assert one.marker.color[0] == LIGHT.tile != one.marker.color[1]
    assert [text.endswith("‡") for text in one.text] == [True, False]
    assert "Another zero." in one.hovertext[0]
    assert "Another zero." not in one.hovertext[1]
    assert heads == ("Al-Cu",)
    assert set(none.marker.color) == {LIGHT.tile}
    assert heads_of_none == ("Al-Cu ‡",)  # once for the whole column


def _energy_tiles(
    metrics: pd.DataFrame, models: pd.DataFrame, datasets: pd.DataFrame
) -> tuple[go.Bar, tuple[str, ...]]:
    cells = tile_maps.matrix_cells(metrics, models, datasets)
    figure = tile_maps.matrix(cells, "energy", LIGHT, "Matrix", "source")
    return figure.data[0], figure.layout.xaxis.ticktext


def test_bars_end_at_the_limit_and_say_their_value(store):
    table = error_metrics.dataset_metrics("raw")
    table = table[table["model_id"] == "emt"].assign(head=["Al-Cu", "Fe"], why_not_energy="", why_not_force="")
    table["energy_rmse_mev_per_atom"] = [1_284_705.0, np.nan]
    figure = bar_plots.dataset_bars(table, LIGHT, "Title", ORIGIN.source_line(), colour="#0072b2")
    energy, numbers = figure.data[:2]
    assert energy.x[0] == base.LIMITS["energy"][1]
    assert [text.strip() for text in numbers.text] == ["1,285k →", "all 2 failed"]
    assert "0 of 2, 2 failed" in figure.layout.yaxis.ticktext[1]
    energy_noise, force_noise = _noise(figure)
    assert energy_noise.x == pytest.approx([4.0, np.nan], nan_ok=True)  # nobody measured that of Fe
    assert force_noise.x == pytest.approx([20.0, np.nan], nan_ok=True)


@pytest.mark.parametrize("quantity", ["energy", "force"])
def test_text_on_tiles_can_be_read(quantity):
    def luminance(colour: str) -> float:
        numbers = (
            re.findall(r"\d+", colour) if colour.startswith("rgb") else [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        )
        c = np.array([float(n) for n in numbers[:3]]) / 255
        linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    colours = sample_colorscale(base.SCALES[quantity], np.linspace(0, 1, 50).tolist())
    for colour in colours:
        pair = sorted([luminance(colour), luminance(base.text_on(colour))])
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5
    assert luminance(colours[0]) > luminance(colours[-1])  # light means a small error


def test_residuals_are_shown_in_milli_units(store):
    density = error_pairs.residuals("emt", AL_CU, Axes("force"))
    figure = error_plots.residual(density, "force", LIGHT, "Title", "source")
    assert figure.layout.yaxis.range == pytest.approx(tuple(1000 * density.y_edges[[0, -1]]))
    assert "meV/Å" in figure.layout.yaxis.title.text


def test_figures_to_compare_share_their_limits(store):
    samples = [error_pairs.residuals(model, AL_CU, Axes("force")) for model in ("emt", "morse")]
    frame = error_plots.frame_of(samples, "force", "residual")
    figures = [error_plots.residual(s, "force", LIGHT, "Title", "source", frame=frame) for s in samples]
    assert figures[0].layout.yaxis.range == figures[1].layout.yaxis.range
    assert figures[0].data[0].zmax == figures[1].data[0].zmax


def test_the_table_of_a_density_holds_every_sample(store):
    density = error_pairs.residuals("emt", AL_CU, Axes("force", full_range=True))
    assert error_plots.table_of(density)["count"].sum() == density.n_total


def _noise(figure: go.Figure) -> list[go.Scatter]:
    return [trace for trace in figure.data if trace.name == "noise"]


def test_noise_of_the_reference_is_two_lines_about_zero(store):
    points = error_pairs.residuals("morse", AL_CU, Axes("energy"))
    args = (points, "energy", LIGHT, "Title", "source")
    figure = error_plots.residual(*args, noise=2.0, frame=error_plots.Frame((-4, 0), (-9, 9), 1.0))
    assert [tuple(line.y) for line in _noise(figure)] == [(2.0, 2.0), (-2.0, -2.0)]
    for reach in (1, 900):  # beyond the frame; not to be told from the line at zero
        frame = error_plots.Frame((-4, 0), (-reach, reach), 1.0)
        assert not _noise(error_plots.residual(*args, noise=2.0, frame=frame))
    assert not _noise(error_plots.residual(*args, noise=2.0, view="parity"))
    assert not _noise(error_plots.residual(*args))


def test_energies_that_cannot_be_compared_are_grey_samples(store):
    points, density = (error_pairs.residuals("emt", AL_CU, Axes(quantity)) for quantity in ("energy", "force"))
    args = (LIGHT, "Title", "source")
    grey = error_plots.residual(points, "energy", *args, is_comparable=False, colour="#0072b2")
    assert grey.data[0].marker.color == LIGHT.muted
    colours = [
        error_plots.residual(density, "force", *args, is_comparable=fits).data[0].colorscale for fits in (True, False)
    ]
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    ("noise", "is_drawn"), [(5.5, True), (3.7, True), (0.1, False), (None, False)], ids=["in", "near", "far", "unknown"]
)
def test_the_axis_of_errors_reaches_for_the_noise_only_where_it_is_near(noise, is_drawn):
    front = np.array([0, 1])
    plain = cost_plots.pareto(_costs(), front, "force", LIGHT, "Title", "source")
    figure = cost_plots.pareto(_costs(), front, "force", LIGHT, "Title", "source", noise=noise)
    low, high = figure.layout.yaxis.range
    assert bool(_noise(figure)) == is_drawn
    assert low <= plain.layout.yaxis.range[0] < plain.layout.yaxis.range[1] == high
    if is_drawn:
        assert low < np.log10(noise)
    else:
        assert figure.layout.yaxis.range == plain.layout.yaxis.range


def test_models_that_cannot_be_compared_are_grey_and_marked_with_no_front():
    table = _costs().assign(comparable=False, why_not="Another zero.")
    figure = cost_plots.pareto(table, np.array([], dtype=int), "force", LIGHT, "Title", "source")
    (markers,) = figure.data
    assert markers.marker.color == (LIGHT.tile, LIGHT.tile, LIGHT.muted)  # an open marker is all outline
    assert "Another zero." in markers.hovertext[0]
    labels = [note.text for note in figure.layout.annotations if note.name != "source"]
    assert labels == ["A ‡", "B ‡", "C ‡ (20 of 47)"]


def test_elements_that_cannot_be_compared_are_grey_in_energy_alone(store):
    columns = {"energy": "energy_rmse_mev_per_atom", "force": "force_rmse_mev_per_ang"}
    table = error_metrics.element_metrics("morse")
    figure = periodic_table.periodic_table(table, columns, LIGHT, "Title", "source", grey={"energy": {"Al"}})
    energy, force = (
        dict(zip([row[0] for row in bars.customdata], bars.marker.color, strict=True))
        for bars in figure.data
        if isinstance(bars, go.Bar) and len(bars.customdata) == len(table)
    )
    assert energy["Al"] == LIGHT.tile != energy["Cu"]
    assert LIGHT.tile not in force.values()


def test_the_front_is_drawn_as_steps_to_the_right():
    figure = cost_plots.pareto(_costs(), np.array([0, 1]), "force", LIGHT, "Title", "source")
    assert figure.data[0].line.shape == "hv"
    assert list(figure.data[0].y) == [9.0, 5.0, 5.0]


def test_labels_overlap_neither_points_nor_each_other():
    rng = np.random.default_rng(3)
    x, y = rng.uniform(60, 820, 14), rng.uniform(30, 390, 14)
    labels = [f"model-name-{k}" for k in range(14)]
    shifts = cost_plots.place_labels(x, y, labels, 880, 424)
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


def test_a_label_that_would_cover_another_is_left_out_unless_it_must_be_there():
    x, y, labels = np.full(40, 440.0), np.linspace(200.0, 220.0, 40), ["a-model-with-a-long-name"] * 40
    shifts = cost_plots.place_labels(x, y, labels, 880, 424, always={7, 39})
    placed = {k for k, shift in enumerate(shifts) if shift is not None}
    assert {7, 39} <= placed
    assert 5 < len(placed) < 40


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


def test_an_element_of_the_table_says_how_many_configurations(store):
    bars = dataset_plots.element_table(reference_data.element_counts(AL_CU), LIGHT, "Title", "source").data[0]
    texts = dict(zip(chemical_symbols[1:], bars.text, strict=True))
    assert texts["Cu"] == "<b>Cu</b><br>12"
    assert texts["Fe"] == "Fe"
    assert bars.hovertext[28] == "<b>Copper</b><br>12 configurations of 1 dataset<br>380 atoms"


def test_states_of_compatibility_are_told_by_a_sign_too(store):
    tiles = tile_maps.compatibility(_judged(), LIGHT, "Title", "source").data[0]
    pairs = set(zip(tiles.text, tiles.marker.color, strict=True))
    assert len({text for text, _ in pairs}) == len(pairs)
