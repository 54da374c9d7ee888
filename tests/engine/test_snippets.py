"""Snippets: scripts run as they are, lines for LAMMPS name the files, and every family's text can be parsed."""

import ast
import subprocess

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.io import write

from engine.data_folder import DataFolder
from engine.registry.models import get_model, load_models
from engine.registry.snippets import ase_script, availability, checkpoint_name, commands, lammps_input, load_pair_styles
from precompute.workers.worker_envs import python_path


@pytest.mark.parametrize("model", [m for m in load_models().values() if m.is_runnable], ids=lambda m: m.model_id)
def test_every_script_loads_its_own_checkpoint_with_its_own_options(model):
    tree = ast.parse(ase_script(model))
    (call,) = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "load"]
    given = [ast.literal_eval(node) for node in call.args]
    assert given == [checkpoint_name(model), "cpu"]
    assert {one.arg: ast.literal_eval(one.value) for one in call.keywords} == model.options
    assert commands(model).endswith(f"--model {model.model_id}")


def test_the_script_of_emt_prints_what_ase_computes(tmp_path):
    python = python_path("emt", DataFolder.default().root)
    if not python.is_file():
        pytest.skip("needs the environment of emt; run: python -m precompute envs emt")
    atoms = bulk("Cu", "fcc", a=3.7, cubic=True)
    write(tmp_path / "structure.vasp", atoms)
    (tmp_path / "emt_script.py").write_text(ase_script(get_model("emt")), encoding="utf-8")
    done = subprocess.run([str(python), "emt_script.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
    atoms.calc = EMT()
    assert done.stdout.splitlines()[0] == f"{atoms.get_potential_energy():.6f} eV"


def test_lines_for_lammps_name_files_and_elements():
    text = lammps_input(get_model("snap-mo-2017"), ["Mo"])
    assert text.splitlines()[-2:] == ["pair_style snap", "pair_coeff * * Mo.snapcoeff Mo.snapparam Mo"]
    text = lammps_input(get_model("mace-mpa-0"), ["W", "Ta"])
    assert "create_lammps_model mace-mpa-0-medium.model --format=mliap" in text
    assert text.splitlines()[-1] == "pair_coeff * * W Ta"
    assert lammps_input(get_model("eam-zhou-2004"), ["W"]).splitlines()[-1] == "pair_coeff * * W.eam.alloy W"
    assert lammps_input(get_model("eam-zhou-2004"), ["W", "Ta"]) == ""  # no cross terms
    assert "pair_coeff * * 74 73" in lammps_input(get_model("pet-oam-xl"), ["W", "Ta"])
    frozen = lammps_input(get_model("dpa3-v2-mptrj"), ["W"])
    assert "pair_style deepmd 2025-03-14-dpa3-mptrj.pth" in frozen
    assert "freeze" not in frozen
    assert lammps_input(get_model("chgnet-0.3.0"), ["W"]) == ""


def test_every_pair_style_has_a_source_and_fields_that_are_known():
    for style in load_pair_styles().values():
        assert style.source.startswith("https://")
        model = next(m for m in load_models().values() if m.family == style.family and m.is_runnable)
        assert "{" not in lammps_input(model, ["W"])


def test_availability_tells_gates_from_downloads():
    assert availability(get_model("mace-mpa-0")) == "Can be downloaded freely."
    assert availability(get_model("mace-omat-0")).startswith("Can be downloaded. Academic Software License")
    assert availability(get_model("eqv2-31m-omat")).startswith("Gated. Accept the licence at https://")
    assert availability(get_model("emt")) == "Needs no weights."
    assert all(availability(model) for model in load_models().values())
