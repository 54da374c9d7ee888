"""The architecture as a table: who may import whom. Imports go down only."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ENGINE = {
    "errors": set(),
    "quantities": set(),
    "records": set(),
    "metrics": {"errors"},
    "alignment": {"errors"},
    "uncertainty": {"errors"},
    "pareto": {"errors"},
    "structures": {"errors", "records"},
    "pair_relaxation": {"structures"},
    "stacked_structures": {"pair_relaxation", "structures"},
    "defect_structures": {"pair_relaxation", "stacked_structures", "structures"},
    "alloy_structures": {"errors", "pair_relaxation", "stacked_structures", "structures"},
    "registry": {"errors"},
    "ingestion": {"errors", "records"},
    "vasp_readers": {"errors", "ingestion", "records"},
    "database_readers": {"errors", "ingestion", "records"},
    "readers": {"database_readers", "errors", "ingestion", "records", "vasp_readers"},
    "plausibility": {"records"},
    "models": {"errors", "registry"},
    "datasets": {"errors", "readers", "registry", "results"},
    "ensembles": {"errors", "models", "registry"},
    "shards": {"records"},
    "claims": {"uncertainty"},
    "store": {"alignment", "datasets", "ensembles", "errors", "metrics", "models", "records", "results", "uncertainty"},
    "results": {"errors"},
    "comparison": {"alignment", "metrics"},
    "interactions": {"alignment", "errors", "metrics"},
    "queries": {"comparison", "errors", "interactions", "records", "results"},
    "compatibility": set(),
    "dataset_queries": {"compatibility", "queries", "results"},
}
WORKER_SIDE = {
    "precompute.worker": {"engine.records", "precompute.evaluation"},
    "precompute.evaluation": {"engine.records"},
    "precompute.gpaw_single_point": set(),
}
APP_SEES = {
    "engine.dataset_queries",
    "engine.errors",
    "engine.pareto",
    "engine.quantities",
    "engine.queries",
    "engine.results",
    "precompute.client",
    "precompute.uploads",
}
FORBIDDEN_OUTSIDE = {  # package -> the only folder that may import it
    "streamlit": "app",
    "torch": "engine/families",
    "duckdb": "engine",
}


def imports(source: str) -> set[str]:
    """Dotted names that a module imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(source: str, package: str) -> set[str]:
    """Modules of one of our packages that a source imports."""
    return {".".join(name.split(".")[:2]) for name in imports(source) if name.startswith(package + ".")}


def breaches(module: str, source: str) -> list[str]:
    """Imports of a module that the table does not allow."""
    package, _, rest = module.partition(".")
    if package == "engine" and rest.startswith("families"):
        allowed: set[str] = set()
    elif package == "engine":
        allowed = {f"engine.{name}" for name in ENGINE.get(rest, set())}
    elif module in WORKER_SIDE:
        allowed = WORKER_SIDE[module] | {"engine.families"}
    elif package == "app":
        allowed = APP_SEES
    else:
        allowed = {f"engine.{name}" for name in ENGINE} | ours(source, "precompute")
    found = ours(source, "engine") | ours(source, "precompute")
    found = {name for name in found if is_module(name)}
    return sorted(found - allowed)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or path.is_dir()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


FILES = [p for folder in ("engine", "precompute", "app") for p in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_go_down_only(path):
    assert breaches(module_name(path), path.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_packages_stay_where_they_belong(path):
    relative = path.relative_to(ROOT).as_posix()
    used = {name.partition(".")[0] for name in imports(path.read_text())}
    for package, home in FORBIDDEN_OUTSIDE.items():
        if relative == "precompute/worker.py" and package == "torch":
            continue  # asks torch for its device, inside the family's environment
        assert package not in used or relative.startswith(home), f"{relative} imports {package}"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("engine.metrics", "from engine.store import publish"),
        ("engine.families.emt", "from engine import errors"),
        ("app.views.overview", "import engine.store"),
        ("precompute.worker", "from engine.models import Model"),
    ],
)
def test_a_planted_breach_is_found(module, source):
    assert breaches(module, source)


def test_the_table_names_every_module_of_the_engine():
    assert set(ENGINE) == {p.stem for p in (ROOT / "engine").glob("*.py") if p.stem != "__init__"}


def test_no_page_folder_is_called_pages():
    # Streamlit would skip the router on a deep link to a fresh server.
    assert not (ROOT / "app" / "pages").exists()
