import dataclasses

import pytest

from engine.registry.compatibility import CARE, NO, YES, Compatibility, DatasetLabels, ModelLabels, judge
from engine.registry.datasets import load_datasets
from engine.registry.models import load_models

MP = ModelLabels("PBE", "mp", d3=False)
MODELS = {
    "mp": MP,
    "omat24": ModelLabels("PBE", "omat24", d3=False),
    "matpes": ModelLabels("PBE", "matpes", d3=False),
    "d3": ModelLabels("PBE", "mp-d3", d3=True),
    "r2scan": ModelLabels("r2SCAN", "mp-r2scan", d3=False),
    "own-zero": ModelLabels("PBE", "none", d3=False),
    "empirical": ModelLabels("none", "none", d3=False),
}
VASP = DatasetLabels("PBE", "VASP", "mp", True, "Fits.", frozenset({"W"}))
DATASETS = {
    "vasp": VASP,
    "vasp-cu": dataclasses.replace(VASP, elements=frozenset({"Cu", "W"})),
    "castep": dataclasses.replace(VASP, code="CASTEP", energy_reference="own", comparable=False),
    "matpes-zr": dataclasses.replace(VASP, energy_reference="matpes", comparable=False, elements=frozenset({"Zr"})),
    "matpes-fe": dataclasses.replace(VASP, energy_reference="matpes", comparable=False, elements=frozenset({"Fe"})),
    "matpes-fe-spin": dataclasses.replace(
        VASP, energy_reference="matpes", comparable=False, elements=frozenset({"Fe"}), spin="polarised"
    ),
    "fe": dataclasses.replace(VASP, elements=frozenset({"Fe"})),
    "fe-no-spin": dataclasses.replace(VASP, elements=frozenset({"Fe"}), spin="unpolarised"),
    "w-no-spin": dataclasses.replace(VASP, spin="unpolarised"),
    "oxide": dataclasses.replace(VASP, elements=frozenset({"O", "W"})),
    "oxide-u": dataclasses.replace(VASP, elements=frozenset({"O", "W"}), hubbard_u=True),
    "oxide-no-u": dataclasses.replace(VASP, elements=frozenset({"O", "W"}), hubbard_u=False),
    "w-no-u": dataclasses.replace(VASP, hubbard_u=False),
    "pbe-d3": dataclasses.replace(VASP, functional="PBE-D3"),
    "unknown": dataclasses.replace(VASP, functional="unknown"),
    "pbesol": dataclasses.replace(VASP, functional="PBEsol"),
    "off": dataclasses.replace(VASP, comparable=False, comparable_note="Lies 0.2 eV off."),
    "claimed": dataclasses.replace(VASP, comparable_note="As its owner says; not checked."),
}


@pytest.mark.parametrize(
    ("model", "dataset", "state", "said"),
    [
        ("mp", "vasp", YES, "Fits."),
        ("mp", "castep", NO, "a zero of its own"),
        ("omat24", "castep", NO, "CASTEP"),
        ("omat24", "vasp", CARE, "OMat24 (model), the Materials Project (dataset)"),
        ("matpes", "vasp", CARE, "pseudopotentials"),
        ("omat24", "vasp-cu", NO, "Cu +350"),
        ("mp", "vasp-cu", YES, ""),
        ("matpes", "matpes-zr", YES, ""),
        ("mp", "matpes-zr", NO, "MatPES (dataset)"),
        ("omat24", "matpes-fe", CARE, "no large shift"),
        ("matpes", "matpes-fe", CARE, "spins of Fe"),
        ("matpes", "matpes-fe-spin", YES, ""),
        ("mp", "fe", YES, ""),
        ("mp", "fe-no-spin", NO, "Spins of Fe are not polarised"),
        ("mp", "w-no-spin", YES, ""),
        ("d3", "vasp", CARE, "D3"),
        ("d3", "pbe-d3", CARE, "PBE-D3"),
        ("mp", "pbe-d3", CARE, "those of the model do not"),
        ("r2scan", "vasp", NO, "r2SCAN (model), PBE (dataset)"),
        ("mp", "pbesol", NO, "PBEsol"),
        ("mp", "unknown", CARE, "not known"),
        ("mp", "oxide", CARE, "+U on W"),
        ("matpes", "oxide", CARE, "no +U"),
        ("mp", "oxide-u", YES, ""),
        ("mp", "oxide-no-u", NO, "+U on W, unlike the dataset"),
        ("matpes", "oxide-u", NO, "no +U on W, unlike the dataset"),
        ("matpes", "oxide-no-u", CARE, "pseudopotentials"),
        ("mp", "w-no-u", YES, ""),
        ("mp", "off", NO, "Lies 0.2 eV off."),
        ("mp", "claimed", CARE, "not checked"),
        ("own-zero", "vasp", NO, "zero of its own"),
        ("empirical", "vasp", NO, "not fitted to one DFT functional"),
    ],
)
def test_a_pair_is_judged_with_a_reason(model, dataset, state, said):
    found = judge(MODELS[model], DATASETS[dataset])
    assert found.state == state
    assert said in found.reason


def test_a_model_with_a_zero_of_its_own_is_not_said_to_have_learnt_plus_u():
    assert "+U" not in judge(MODELS["own-zero"], DATASETS["oxide-no-u"]).reason


def test_the_gravest_reason_comes_first():
    reason = judge(MODELS["d3"], DATASETS["castep"]).reason
    assert reason.index("zero of its own") < reason.index("D3")


def test_the_known_sets_get_the_verdicts_that_their_notes_ask_for():
    models, datasets = load_models(), load_datasets()

    def judged(model_id: str, dataset_id: str) -> Compatibility:
        m, d = models[model_id], datasets[dataset_id]
        labels = DatasetLabels(
            d.functional, d.code, d.energy_reference, d.comparable, d.comparable_note, frozenset(d.elements), d.spin,
            d.hubbard_u,
        )  # fmt: skip
        return judge(ModelLabels(m.functional, m.energy_reference, m.d3), labels)

    def state(model_id: str, dataset_id: str) -> str:
        return judged(model_id, dataset_id).state

    assert state("sevennet-0", "w-g") == YES
    assert state("mace-omat-0", "w-g") == CARE
    assert state("nequix-omat-1", "mo-snap") == NO  # its raw RMSE there is 92 meV/atom, and 34 aligned
    assert {state("sevennet-0", name) for name in ("open-defects", "zr-gb-castep", "cu-fhiaims", "fe-fitsnap")} == {NO}
    assert "spins of" in judged("mace-omat-0", "hea25").reason  # its source is silent
    assert "spins of" not in judged("mace-omat-0", "crconi").reason
    assert "spins of" not in judged("sevennet-0", "ni-snap").reason  # silent, but its zero was measured
