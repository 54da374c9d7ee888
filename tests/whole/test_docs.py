"""What the documentation says is so: commands exist, snippets print what they show, links lead somewhere.

`make docs` builds the site, and checks its links and headings once more.
"""

import doctest
import re
import shlex
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from docs import generated
from engine.data_folder import ROOT, DataFolder
from engine.registry.models import MODELS_PATH, get_model, load_models
from precompute.__main__ import make_parser
from precompute.workers import worker_envs

PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "data/README.md"]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
MODULES = re.compile(r"python -m (benchmarks\.\w+)")
TARGETS = re.compile(r"^(?:    |`|)(?:PORT=\d+ )?make ([a-z-]+)\b", re.MULTILINE)
COMMAND = re.compile(r"(?:^\s*|`)(?:srun )?(python -m precompute [^`\n]*)", re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text()) if language in languages]


def without_comment(command: str) -> list[str]:
    return shlex.split(command.replace("|", " ").partition(" \\\n")[0], comments=True)


def refusal(words: list[str], capsys) -> str:
    """Why the command line would not take these words; a command may be named without what it must be given."""
    try:
        make_parser().parse_args(words)
    except SystemExit as error:
        said = capsys.readouterr().err
        return said if error.code and "arguments are required" not in said else ""
    return ""


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_of_a_page_is_one_that_there_is(page, capsys):
    for command in COMMAND.findall(page.read_text()):
        words = without_comment(command)[3:]
        if words and re.fullmatch(r"[A-Z]+|\.\.\.", words[0]):
            continue  # COMMAND in general
        assert refusal(words, capsys) == "", command
    text = page.read_text()
    places = {name: ROOT / name.replace(".", "/") for name in MODULES.findall(text)}
    runs = {name for name, at in places.items() if Path(f"{at}.py").is_file() or (at / "__main__.py").is_file()}
    assert places.keys() == runs
    known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert [name for name in TARGETS.findall(text) if name not in known and not name.startswith("family")] == []


def test_a_planted_command_is_found(tmp_path, capsys):
    (tmp_path / "page.md").write_text("```sh\npython -m precompute fetch --datasets all\n```\n")
    with pytest.raises(AssertionError, match="--datasets"):
        test_every_command_of_a_page_is_one_that_there_is(tmp_path / "page.md", capsys)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_snippets_print_what_they_show(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in blocks(page, "python"):
        exec(compile(text, str(page), "exec"), {})
    runner, names = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE), {}
    for text in blocks(page, "pycon"):
        test = doctest.DocTestParser().get_doctest(text, names, page.name, str(page), 0)
        said: list[str] = []
        runner.run(test, out=said.append, clear_globs=False)
        names = test.globs
        assert not said, "".join(said)


def test_the_model_that_is_shown_is_the_registrys(tmp_path):
    (text,) = blocks(ROOT / "docs/howto/model.md", "toml")
    (tmp_path / "mace.toml").write_text(text)
    shown, known = load_models(tmp_path)["mace-mpa-0"], get_model("mace-mpa-0")
    assert (shown.files, shown.level, shown.license) == (known.files, known.level, known.license)


def test_the_commands_of_the_tutorial_print_its_numbers(tmp_path):
    if not worker_envs.is_built("emt", DataFolder.default().root):
        pytest.skip("worker environment 'emt' is not built; run: python -m precompute envs emt")
    page = ROOT / "docs/tutorial.md"
    commands = [line for text in blocks(page, "sh") for line in text.splitlines() if "--model emt" in line]
    (wanted,) = blocks(page, "text")
    (snippet,) = blocks(page, "python")
    subprocess.run([sys.executable, "-c", snippet], cwd=tmp_path, check=True)
    found = []
    for command in commands:
        argv = [sys.executable, *without_comment(command)[1:]]
        argv = [str(tmp_path / word) if word.endswith((".vasp", ".extxyz")) else word for word in argv]
        done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(re.split(r"   (?:[\d.]+ s$|largest displacement)", done.stdout.rstrip("\n"))[0])
    assert found == wanted.splitlines()


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_files_lead_to_one(page):
    made = {ROOT / "docs" / name for name in generated.pages()} if page.is_relative_to(ROOT / "docs") else set()
    for link in LINK.findall(re.sub(r"```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)):
        if re.match(r"[a-z]+:|#", link):
            continue
        target = (page.parent / link.partition("#")[0]).resolve()
        assert target.exists() or target in made, link


def test_the_reference_has_every_command_and_every_table_with_its_columns():
    pages = generated.pages()
    for name in ("fetch", "run", "add-dataset", "archive"):
        assert f"\n## {name}\n" in pages["reference/commands.md"]
    with duckdb.connect() as connection:
        connection.execute((ROOT / "engine/store/schema.sql").read_text())
        known = connection.sql(
            "select table_name, column_name from duckdb_columns() join duckdb_tables() using (table_name)"
        ).fetchall()
    shown = {
        (table, column)
        for table, text in re.findall(r"(?ms)^## (\w+)$(.*?)(?=^## |\Z)", pages["reference/store.md"])
        for column in re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    }
    assert shown == set(known)


def test_every_model_has_a_card_with_its_licence():
    cards = generated.pages()["cards/models.md"]
    for model in load_models(MODELS_PATH).values():
        assert f"| id | `{model.model_id}` |" in cards
    card = cards.partition("### CHGNet 0.3.0\n")[2].partition("\n###")[0]
    assert f"| licence | {get_model('chgnet-0.3.0').license}" in card


def test_the_navigation_drops_what_is_missing_and_ends_with_what_it_does_not_name():
    nav = [{"Home": "index.md"}, {"Measured": [{"A": "a.md"}, {"B": "b.md"}]}, {"Gone": [{"C": "c.md"}]}]
    here = {"index.md", "b.md", "z.md"}
    assert generated.fitted(nav, here) == [{"Home": "index.md"}, {"Measured": [{"B": "b.md"}]}, {"More": ["z.md"]}]
