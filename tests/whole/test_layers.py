"""The architecture as a table: who may import whom. Imports go down only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Module or folder -> modules and folders that it may import beside its own folder. The longest name that fits counts.
RULES = {
    "engine.errors": set(),
    "engine.quantities": set(),
    "engine.version": set(),
    "engine.logs": set(),
    "engine.files": set(),
    "engine.records": {"engine.files"},
    "engine.relaxations": {"engine.records"},
    "engine.relaxed_vacancies": {"engine.records"},
    "engine.learning_curves": {"engine.records"},
    "engine.volume_scans": {"engine.errors", "engine.numerics.equation_of_state", "engine.records"},
    "engine.data_folder": set(),
    "engine.shards": {"engine.records"},
    "engine.families": set(),
    "engine.cells": {"engine.errors", "engine.records"},
    "engine.numerics": {"engine.errors"},
    "engine.numerics.reactions": {"engine.errors", "engine.numerics", "engine.registry.reactions"},
    "engine.readers": {"engine.errors", "engine.files", "engine.records"},
    "engine.registry": {"engine.data_folder", "engine.errors", "engine.readers"},
    "engine.store": {
        "engine.cells.drawings", "engine.data_folder", "engine.errors", "engine.learning_curves", "engine.numerics",
        "engine.quantities", "engine.records", "engine.registry", "engine.relaxed_vacancies",
    },
    "engine.queries": {
        "engine.errors", "engine.learning_curves", "engine.numerics", "engine.records", "engine.registry",
        "engine.relaxed_vacancies", "engine.store.connection",
    },
    "precompute.progress": {"engine.logs", "engine.shards"},
    "precompute.acquire": {
        "engine.data_folder", "engine.errors", "engine.files", "engine.readers", "engine.records", "engine.registry",
        "engine.shards",
    },
    "precompute.workers": {
        "engine.data_folder", "engine.errors", "engine.files", "engine.records", "engine.registry",
        "engine.relaxations", "precompute.acquire",
    },
    # What runs inside a family's environment.
    "precompute.workers.worker": {
        "engine.families", "engine.records", "engine.relaxations", "precompute.workers.evaluation",
        "precompute.workers.relaxation",
    },
    "precompute.workers.confinement": {"engine"},  # the package alone, so that it is found afterwards
    "precompute.workers.relaxation": {"engine.records", "engine.relaxations", "precompute.workers.evaluation"},
    "precompute.workers.evaluation": {"engine.records"},
    "precompute.workers.designing": {"engine.families", "engine.records", "precompute.workers.evaluation"},
    "precompute.dft": {
        "engine.cells", "engine.data_folder", "engine.errors", "engine.files", "engine.records",
        "engine.registry.label_convergence",
    },
    "precompute.dft.gpaw_single_point": set(),
    "precompute.jobs": {"engine", "precompute.acquire", "precompute.progress", "precompute.workers"},
    "precompute.live": {
        "engine.data_folder", "engine.errors", "engine.numerics", "engine.readers", "engine.records",
        "engine.registry", "engine.relaxations", "engine.volume_scans", "precompute.acquire", "precompute.workers",
    },
    "precompute.commands": {
        "engine", "precompute.acquire", "precompute.dft", "precompute.jobs", "precompute.progress",
        "precompute.workers",
    },
    "precompute.__main__": {
        "engine.data_folder", "engine.errors", "engine.files", "engine.quantities", "engine.registry.kinds",
        "engine.registry.reactions", "engine.relaxations", "engine.store.connection", "precompute.acquire",
        "precompute.commands", "precompute.dft",
        "engine.version", "precompute.jobs.archive", "precompute.jobs.doctor", "precompute.jobs.runner",
        "precompute.jobs.train", "precompute.jobs.vacancies", "precompute.jobs.volume_scan", "precompute.progress",
        "precompute.workers.confinement",
    },
    "app.figures": {"engine.numerics", "engine.quantities", "engine.queries", "engine.records"},
    "app.structures": {
        "app.figures", "engine.queries", "engine.readers", "engine.records", "engine.relaxations", "precompute.live",
    },
    "app.address": {"engine.errors", "engine.queries.scope"},
    "app.theme": {"app.figures"},
    "app.report": {"app.figures", "engine.quantities", "engine.queries"},
    "app.report.drawing": set(),  # runs in a process of its own
    "app.export": {"app.figures", "app.report", "app.wording", "engine.queries", "engine.quantities"},
    "app.drawn_figures": {"app.export", "app.figures", "app.report", "engine.store.connection"},
    "app.conditions": {
        "app.wording", "engine.errors", "engine.queries", "engine.registry", "engine.store.connection",
    },
    "app.links": {"app.wording", "engine.queries.scope"},
    "app.wording": {
        "app.figures", "engine.numerics.comparison", "engine.quantities", "engine.queries", "engine.registry",
        "engine.store.connection",
    },
    "app.tables": {"app.links", "app.wording", "engine.quantities"},
    "app.selection": {
        "app.address", "app.conditions", "app.links", "app.wording", "engine.errors", "engine.quantities",
        "engine.queries", "engine.store.connection",
    },
    "app.furniture": {
        "app.drawn_figures", "app.export", "app.figures", "app.links", "app.report", "app.selection", "app.tables",
        "app.theme", "app.wording", "engine.queries", "engine.version",
    },
    "app.sections": {
        "app.address", "app.export", "app.figures", "app.furniture", "app.links", "app.report", "app.selection",
        "app.structures", "app.tables", "app.wording", "engine.numerics", "engine.quantities", "engine.queries",
        "engine.records", "engine.registry", "engine.relaxations", "engine.volume_scans", "precompute.live",
    },
    "app.views": {
        "app.address", "app.conditions", "app.drawn_figures", "app.export", "app.figures", "app.furniture",
        "app.links", "app.report", "app.sections", "app.selection", "app.structures", "app.tables", "app.theme",
        "app.wording", "engine.errors",
        "engine.learning_curves", "engine.numerics", "engine.quantities", "app.live", "engine.queries",
        "engine.readers", "engine.records",
        "engine.registry", "engine.store.connection",
        "engine.store.visitor_queries", "precompute.live",
    },
    "app.search": {"app.links", "engine.queries"},
    "app.live": {"precompute.live"},
    "app.api": {
        "app.live", "engine.errors", "engine.queries", "engine.readers", "engine.relaxations",
        "engine.store.connection", "engine.volume_scans", "precompute.live",
    },
    "app.operations": {"app.live", "app.login", "engine.errors", "engine.numerics", "engine.queries"},
    "app.login": set(),
    "app.logs": {"engine.logs"},
    "app.small_charts": set(),
    "app.small_fonts": set(),
    "app.delivery": {"app.small_charts", "app.small_fonts", "engine.files"},
    "app.server": {
        "app.api", "app.delivery", "app.logs", "app.main", "app.operations", "engine.data_folder",
    },
    "app.commands": {"engine.queries.expressions", "engine.store.connection", "engine.store.statements"},
    "app.main": {
        "app.commands", "app.furniture", "app.login", "app.search", "app.selection", "app.theme", "engine.errors",
        "engine.store.connection",
    },
}  # fmt: skip
SIBLINGS_APART = {"app.views", "engine.families"}  # files of these folders do not import each other
FORBIDDEN_OUTSIDE = {  # package -> the only folder that may import it
    "streamlit": "app",
    "torch": "engine.families",
    "duckdb": "engine.store",
}
OURS = ("engine", "precompute", "app")


def imports(source: str) -> set[str]:
    """Dotted names that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else node.module for name in names}
    return found


def ours(source: str) -> set[str]:
    """Our own modules among the imports of a source."""
    return {name for name in imports(source) if name.partition(".")[0] in OURS and is_module(name)}


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def is_below(module: str, name: str) -> bool:
    """Whether a module is the named one, or lies in the named folder."""
    return module == name or module.startswith(name + ".")


def rule(module: str) -> str:
    """Key of the table that holds for a module."""
    return max((name for name in RULES if is_below(module, name)), key=len, default=module)


def breaches(module: str, source: str) -> list[str]:
    """Imports of a module that the table does not allow."""
    key = rule(module)
    own = set() if key in SIBLINGS_APART else {key}
    return sorted(
        name for name in ours(source) - {module} if not any(is_below(name, one) for one in RULES.get(key, set()) | own)
    )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def absent(source: str) -> set[str]:
    """What a source imports of us that is not there; a folder that Python takes as a package counts."""
    found = {name for name in imports(source) if name.partition(".")[0] in OURS and not is_module(name)}
    return {name for name in found if not (ROOT / name.replace(".", "/")).is_dir()}


FILES = {module_name(p): p for folder in OURS for p in sorted((ROOT / folder).rglob("*.py"))}


@pytest.mark.parametrize("module", FILES)
def test_imports_go_down_only(module):
    assert breaches(module, FILES[module].read_text()) == []


def test_no_two_modules_import_each_other_by_any_way_round():
    left = {name: ours(path.read_text()) & FILES.keys() - {name} for name, path in FILES.items()}
    while free := {name for name, wanted in left.items() if not wanted}:  # take away what imports nothing that is left
        left = {name: wanted - free for name, wanted in left.items() if name not in free}
    assert left == {}


@pytest.mark.parametrize("module", FILES)
def test_heavy_packages_stay_where_they_belong(module):
    used = {name.partition(".")[0] for name in imports(FILES[module].read_text())}
    for package, home in FORBIDDEN_OUTSIDE.items():
        if module == "precompute.workers.worker" and package == "torch":
            continue  # asks torch for its device, inside the family's environment
        assert package not in used or is_below(module, home), f"{module} imports {package}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine.numerics.metrics", "from engine.store.builder import publish"),
        ("engine.families.emt", "from engine import errors"),
        ("engine.families.emt", "from engine.families import mace"),
        ("engine.queries.catalog", "from engine.store import builder"),
        ("app.views.overview", "import engine.store.builder"),
        ("app.views.overview", "from app.views import model"),
        ("app.figures.base", "from app import furniture"),
        ("app.wording", "from precompute.jobs import runner"),
        ("precompute.acquire.weights", "from precompute.workers import process"),
        ("precompute.jobs.runner", "from precompute import commands"),
        ("precompute.workers.worker", "from engine.registry.models import Model"),
    ],
)
def test_a_planted_breach_is_found(module, source):
    assert breaches(module, source)


def test_every_module_has_a_rule():
    packages = {"engine", "precompute"}  # their own files say only what they are
    assert [name for name in FILES if name not in packages and not any(is_below(name, key) for key in RULES)] == []


def defined_elsewhere(module: str) -> set[str]:
    """Names at the top of one of our modules that it imports and does not define."""
    statements = [node for node in source_of(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return {alias.asname or alias.name.partition(".")[0] for node in statements for alias in node.names}


def source_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


def taken_second_hand(tree: ast.Module) -> list[str]:
    """Names that a source takes from one of our modules that only imports them."""
    found, modules = [], {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if name in FILES:
                    modules[alias.asname or alias.name] = name
                elif node.module in FILES and alias.name in defined_elsewhere(node.module):
                    found.append(name)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            module = modules[node.value.id]
            found += [f"{module}.{node.attr}"] if node.attr in defined_elsewhere(module) else []
    return sorted(found)


@pytest.mark.parametrize("module", [name for name in FILES if not is_below(name, "engine")])
def test_names_are_imported_from_where_they_are_defined(module):
    assert taken_second_hand(source_of(module)) == []


@pytest.mark.parametrize(
    "source",
    [
        "from engine.readers.formats import Configuration",
        "from engine.queries import catalog\ncatalog.connection.version()",
    ],
)
def test_a_planted_second_hand_name_is_found(source):
    assert taken_second_hand(ast.parse(source))


def test_no_page_folder_is_called_pages():
    # Streamlit would skip the router on a deep link to a fresh server.
    assert not (ROOT / "app" / "pages").exists()


@pytest.mark.parametrize("folder", [*OURS, "tests", "benchmarks"])
def test_whatever_is_imported_of_ours_is_there(folder):
    assert {str(p): found for p in (ROOT / folder).rglob("*.py") if (found := absent(p.read_text()))} == {}
    assert absent("from app.figures.gone import COLOURS") == {"app.figures.gone"}
