"""A newcomer's five minutes, by clicks and typing alone: from the first page to a model, an atom, a prediction, a ZIP.

The store holds real numbers that come with the repository: the summary of W-g, and two models on the tungsten of Open
Defects. CHGNet alone can run, as after `make demo`. `DEFECT_ATLAS_FULL_STORE=DIR` walks the same way on the store of
that data folder. `pytest -s` prints clicks and seconds of each step.
"""

import csv
import io
import os
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ase.build import bulk
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from engine.data_folder import EMBEDDED, DataFolder, embedded_predictions, embedded_summary
from engine.readers.extxyz import read_extxyz
from engine.records import read_predictions, read_run_record
from engine.registry.datasets import get_dataset
from engine.registry.models import load_models
from engine.store.builder import StoreBuilder, publish
from engine.store.rows import Results, Run
from engine.store.summary import read_summary
from precompute.workers import worker_envs
from tests.whole.serving import PATIENCE, serve, settle, visit
from tests.whole.test_page_widths import FULL_STORE

pytestmark = pytest.mark.browser

MOST_SECONDS = 180.0  # of the whole walk, on a machine that does other work
MOST_CLICKS = 20
MODEL = "chgnet-0.3.0"


def build_tungsten_store(folder: Path) -> Path:
    """Write a store of the summary of W-g, and of the tungsten of Open Defects with two models, and publish it."""
    tungsten = [c for c in read_extxyz(EMBEDDED / "open-defects.extxyz") if set(c.numbers.tolist()) == {74}]
    known = {c.config_id for c in tungsten}
    builder = StoreBuilder(folder / "results-newcomer.duckdb")
    builder.add_models(load_models().values())
    results = []
    dataset = get_dataset("open-defects")
    for model_id in (MODEL, "nequix-omat-1"):
        path = embedded_predictions("open-defects", model_id)
        record = read_run_record(path)
        run = Run(
            f"run-{model_id}", model_id, "open-defects", record.origin, record.device, record.hardware,
            record.packages, record.checkpoint_sha256, record.started_at or None, "Defect Atlas", None, 1,
        )  # fmt: skip
        builder.add_runs([run])
        rows = [(p, run.run_id) for p in read_predictions(path) if p.config_id in known]
        results.append(Results(model_id, rows))
    builder.add_dataset(dataset, tungsten)
    builder.add_results(dataset, tungsten, results)
    builder.add_summary(get_dataset("w-g"), read_summary(embedded_summary("w-g")), "Fetch its atoms.")
    builder.finish()
    publish(folder / "results-newcomer.duckdb", folder / "results.duckdb")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app with tungsten in its store, where CHGNet alone runs."""
    built = DataFolder.default().root
    if not worker_envs.is_built("chgnet", built):
        pytest.skip("worker environment 'chgnet' is not built; run: python -m precompute envs chgnet")
    if full := os.environ.get(FULL_STORE):
        with serve(Path(full)) as address:
            yield address
        return
    data = build_tungsten_store(tmp_path_factory.mktemp("newcomer"))
    (data / "worker_envs").mkdir()
    (data / "worker_envs" / "chgnet").symlink_to((built / "worker_envs" / "chgnet").resolve())
    with serve(data) as address:
        yield address


class Visitor:
    """Someone who clicks and types, and counts it.

    Attributes:
        page: The window.
        steps: Name, clicks, typed texts and seconds of each step.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps: list[tuple[str, int, int, float]] = []
        self._n_clicks = self._n_typed = 0
        self._since = time.monotonic()

    def click(self, target: Locator) -> None:
        """Click on what can be seen."""
        target.click()
        self._n_clicks += 1

    def goes_back(self) -> None:
        """The browser's own button."""
        self.page.go_back()
        self._n_clicks += 1

    def choose(self, label: str, typed: str) -> None:
        """Type into a box of choices and take the first one that fits."""
        box = self.page.get_by_role("combobox", name=re.compile(label)).first
        self.click(box)
        self.page.keyboard.type(typed)
        self.page.keyboard.press("Enter")
        self._n_typed += 1
        settle(self.page)

    def ends(self, name: str) -> None:
        """Close a step: no script runs and no page shows an exception."""
        settle(self.page)
        assert self.page.get_by_test_id("stException").all_inner_texts() == []
        now = time.monotonic()
        self.steps.append((name, self._n_clicks, self._n_typed, now - self._since))
        print(f"{name:60} {self._n_clicks:3} clicks {self._n_typed:3} typed {now - self._since:6.1f} s")
        self._n_clicks, self._n_typed, self._since = 0, 0, now

    def sees(self, target: Locator, patience: float = PATIENCE) -> None:
        """Wait for what the step is about."""
        expect(target).to_be_visible(timeout=patience)


@pytest.fixture
def visitor(browser: Browser, server: str) -> Iterator[Visitor]:
    """A visitor with an empty window."""
    context = browser.new_context(
        base_url=server, viewport={"width": 1440, "height": 900}, accept_downloads=True, color_scheme="light"
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    yield Visitor(page)
    context.close()


@pytest.fixture
def vacancy(tmp_path: Path) -> Path:
    """A file with a vacancy in bcc tungsten, as ASE writes it."""
    atoms = bulk("W", cubic=True) * (2, 2, 2)
    del atoms[0]
    atoms.rattle(0.05, seed=1)
    atoms.write(tmp_path / "w-vacancy.vasp", format="vasp")
    return tmp_path / "w-vacancy.vasp"


def test_five_minutes_lead_from_the_first_page_to_a_figure_in_a_zip(visitor: Visitor, vacancy: Path):
    _asks_for_a_model(visitor)
    _looks_at_the_worst_atom(visitor)
    label = _predicts(visitor, vacancy)
    names, files = _takes_the_figure(visitor)
    _is_complete(names, files, label)
    n_clicks = sum(clicks for _, clicks, _, _ in visitor.steps)
    seconds = sum(step[-1] for step in visitor.steps)
    print(f"in all: {n_clicks} clicks, {seconds:.0f} s")
    assert n_clicks <= MOST_CLICKS
    assert seconds < MOST_SECONDS


def _asks_for_a_model(visitor: Visitor) -> None:
    """The first page leads to the Advisor, whose first paragraphs say which model, how far off, and why."""
    page = visitor.page
    visit(page, "/", ".js-plotly-plot")
    visitor.ends("the first page")
    visitor.click(page.get_by_role("link", name="Which model for my metal and defect?"))
    visitor.sees(page.get_by_role("heading", name="Advisor", exact=True))
    visitor.choose("Kind of structure", "grain")
    answer = page.get_by_text(re.compile("^For grain boundary of W: "))
    visitor.sees(answer)
    best = re.match(r"For grain boundary of W: ([^,]+), ", answer.inner_text())
    assert best is not None
    assert re.search(r"Expected force error: 0 to [\d.]+ meV/Å for 90 % of configurations", answer.inner_text())
    visitor.sees(
        page.get_by_text(re.compile(r"nearest evidence, .*the \d+ configurations of W-g .*independent cluster"))
    )
    visitor.sees(page.get_by_role("heading", name=f"1. {best[1]}", exact=True))
    visitor.ends("the best model, its interval and its evidence")


def _looks_at_the_worst_atom(visitor: Visitor) -> None:
    """One click shows the atom of the largest error in 3D, marked and with its error."""
    page = visitor.page
    said = page.get_by_text(re.compile(r"^The worst atom: \d+ meV/Å of ")).inner_text()
    visitor.click(page.get_by_role("link", name="The worst atom in 3D"))
    page.wait_for_selector(".av-gl[data-ready]")
    visitor.sees(page.locator(".av-ring"))
    error = re.match(r"The worst atom: (\d+ meV/Å)", said)
    assert error is not None
    expect(page.locator(".av-status")).to_contain_text(error[1], timeout=PATIENCE)
    visitor.ends("the worst atom in 3D")


def _predicts(visitor: Visitor, path: Path) -> str:
    """Upload, one button that stands in the window, and the interval beside the picture; returns the model."""
    page = visitor.page
    visitor.goes_back()
    visitor.click(page.get_by_role("link", name="Try your own structure"))
    visitor.sees(page.get_by_role("heading", name="Predict", exact=True))
    settle(page)
    with page.expect_file_chooser() as chooser:
        visitor.click(page.get_by_role("button", name="Upload", exact=True).first)
    chooser.value.set_files(path)
    visitor.sees(page.get_by_text("15 atoms of at most 1000"))
    settle(page)
    button = page.get_by_role("button", name="Predict", exact=True)
    expect(button).to_be_in_viewport(ratio=1.0, timeout=PATIENCE)
    visitor.ends("the own file is read")
    visitor.click(button)
    interval = page.get_by_text(re.compile(r"^[^:]+: expect [\d.]+ to [\d.]+ meV/Å here, 90 % of atoms")).first
    visitor.sees(interval, 4 * PATIENCE)
    label = interval.inner_text().partition(":")[0]
    can_run = {model.label for model in load_models().values() if model.family == load_models()[MODEL].family}
    assert label in can_run or FULL_STORE in os.environ
    visitor.sees(page.get_by_text("Single point of w-vacancy.vasp (W15)"))
    visitor.ends("the interval of the own structure")
    return label


def _takes_the_figure(visitor: Visitor) -> tuple[list[str], zipfile.ZipFile]:
    """The picture goes into the report, and the report into a ZIP."""
    page = visitor.page
    visitor.click(page.get_by_role("button", name="Export").first)
    visitor.click(page.get_by_role("button", name="Add to report"))
    visitor.sees(page.get_by_text("Added to the report, which has 1 now. The page Report makes a ZIP of it."))
    page.keyboard.press("Escape")
    visitor.ends("the figure is in the report")
    visitor.click(page.get_by_test_id("stSidebarNav").get_by_role("link", name="Report"))
    visitor.click(page.get_by_role("button", name="Build the ZIP"))
    save = page.get_by_role("button", name=re.compile("Save the ZIP"))
    visitor.sees(save, 4 * PATIENCE)
    with page.expect_download() as download:
        visitor.click(save)
    found = zipfile.ZipFile(download.value.path())
    visitor.ends("the ZIP")
    return found.namelist(), found


def _is_complete(names: list[str], files: zipfile.ZipFile, label: str) -> None:
    """Every kind of file is in the ZIP and holds what its ending says."""
    [stem] = {name.rpartition(".")[0] for name in names if name.startswith("report/structures/01-")}
    read = {name.rpartition(".")[2]: files.read(name) for name in names if name.startswith(f"{stem}.")}
    assert read.keys() == {"svg", "pdf", "png", "csv", "txt", "extxyz"}
    assert read["svg"].startswith(b"<svg")
    assert read["pdf"].startswith(b"%PDF")
    with Image.open(io.BytesIO(read["png"])) as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=1)
    lines = [line for line in read["csv"].decode().splitlines() if not line.startswith("#")]
    rows = list(csv.DictReader(lines))
    assert len(rows) == 15
    assert {"x_ang", "mean_force_ev_per_ang"} <= rows[0].keys()
    told = rf"Error to expect: {re.escape(label)}: expect [\d.]+ to [\d.]+ meV/Å"
    assert re.search(told, read["txt"].decode())
    [model_id] = [one.model_id for one in load_models().values() if one.label == label]
    assert f"@misc{{model:{model_id}," in files.read("report/references.bib").decode()
    assert f"{label}: " in files.read("report/LICENCES.txt").decode()
    assert "report/captions.md" in names and "report/report.html" in names
