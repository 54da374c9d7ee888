"""Ready text for a user who chose a model: a Python script for ASE, the lines of a LAMMPS input, and our own commands.

The script is the family's own file (engine/families/), which imports nothing of ours, with the lines that load one
checkpoint behind it, so that it is what this project runs. pair_styles.toml has the lines for LAMMPS.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_numbers

from engine.registry.models import FAMILIES, MATMUL_PRECISIONS, Model
from engine.registry.tables import Registry, build, check_choice, read_tables

PAIR_STYLES_PATH = Path(__file__).with_name("pair_styles.toml")

_ASKS = "Accept"  # how a gate begins that asks for an account; others are conditions of use

STRUCTURE = "structure.vasp"  # the user's file in all snippets


@dataclass(frozen=True)
class PairStyle:
    """How a family runs in LAMMPS.

    Attributes:
        family: Name of the family.
        lines: Of the input, with the fields that pair_styles.toml explains.
        source: Documentation, a URL.
        prepare: Commands before LAMMPS.
        note: What else it needs.
        is_pure: Its files are of one metal each, so that alloys have none.
    """

    family: str
    lines: tuple[str, ...]
    source: str
    prepare: tuple[str, ...] = ()
    note: str = ""
    is_pure: bool = False


@functools.cache
def load_pair_styles(path: Path = PAIR_STYLES_PATH) -> Registry[PairStyle]:
    """Read and check the families that LAMMPS can run.

    Raises:
        RegistryError: An entry is wrong, or is of a family that is not here.
    """
    known = {file.stem for file in FAMILIES.glob("*.py")}
    styles = {}
    for family, table in read_tables(path).items():
        check_choice(family, known, path.name)
        styles[family] = build(PairStyle, table, f"{path.name}, '{family}'", family=family)
    return Registry(styles, "Pair style", f"engine/registry/{path.name}")


def checkpoint_name(model: Model) -> str:
    """File or folder that `load` is given; empty where the family's package carries the weights.

    An archive is unpacked: the checkpoint is then the member that the registry names, or what the archive is named
    after.
    """
    files = [file for file in model.files if file.package_file is None]
    if len(files) != 1:
        return model.model_id if files else ""  # a folder with all of them
    member = files[0].archive_member
    if not member:
        return files[0].name
    return Path(member).name if member != "*" else files[0].name.split(".tar")[0].removesuffix(".zip")


def ase_script(model: Model, device: str = "cpu") -> str:
    """A script that computes energy and forces of a structure with one model.

    Args:
        model: Of a family that can be loaded.
        device: `cpu` or `cuda`.

    Returns:
        Python; empty for a model that nothing here loads. `uv run` installs what its head lists.
    """
    file = FAMILIES / f"{model.family}.py"
    if not model.is_runnable or not file.is_file():
        return ""
    sources = [f"#   {one.name}: {one.url}" for one in model.files if one.url]
    head = ["# Weights:", *sources] if sources else []
    if model.variant_of:
        head.append(f"# Products of matrices were in {MATMUL_PRECISIONS[model.matmul_precision]}; here they are not.")
    options = "".join(f", {name}={value!r}" for name, value in model.options.items())
    lines = [
        "",
        "",
        f'if __name__ == "__main__":  # {model.label}',
        *(f"    {line}" for line in head),
        "    from ase.io import read",
        "",
        f'    atoms = read("{STRUCTURE}")  # POSCAR, CIF or extended XYZ',
        f'    atoms.calc = load("{checkpoint_name(model)}", "{device}"{options})',
        '    print(f"{atoms.get_potential_energy():.6f} eV")',
        '    print(atoms.get_forces(), "eV/Å")',
    ]
    return file.read_text(encoding="utf-8").rstrip() + "\n".join(["", *lines, ""])


def lammps_input(model: Model, elements: Sequence[str]) -> str:
    """Lines of a LAMMPS input for one model, after the commands that prepare its file; empty without a pair style.

    Args:
        model: The model.
        elements: Of the atom types, in their order.
    """
    style = load_pair_styles().get(model.family)
    if style is None or not model.is_runnable or (style.is_pure and len(elements) > 1):
        return ""
    name = checkpoint_name(model)
    fields = {
        "file": name,
        "files": " ".join(sorted(file.name for file in model.files)),
        "stem": Path(name).stem,
        "elements": " ".join(elements),
        "numbers": " ".join(str(atomic_numbers[symbol]) for symbol in elements),
    }
    needed = [one for one in style.prepare if not (model.family == "deepmd" and name.endswith(".pth"))]
    lines = [line.format(**fields) for line in style.lines]
    if model.family == "deepmd" and not needed:
        lines = [line.replace("frozen.pth", name) for line in lines]
    return "\n".join([
        *(f"# first, in a shell: {one.format(**fields)}" for one in needed),
        *([f"# {style.note}"] if style.note else []),
        f"# {style.source}",
        "units metal",
        "atom_style atomic",
        "boundary p p p",
        "newton on",
        "read_data structure.lammps",
        *lines,
    ])  # fmt: skip


def commands(model: Model) -> str:
    """Our own commands that predict a structure with one model; empty for one that nothing here loads."""
    if not model.is_runnable:
        return ""
    fetch = [f"python -m precompute fetch --model {model.model_id}"] if model.files else []
    return "\n".join([
        f"python -m precompute envs {model.family}",
        *fetch,
        f"python -m precompute predict {STRUCTURE} --model {model.model_id}",
    ])  # fmt: skip


def availability(model: Model) -> str:
    """Whether the weights can be downloaded, in a sentence."""
    if not model.is_runnable:
        return f"Cannot be run here. {model.not_runnable}"
    if model.gate:
        return f"Gated. {model.gate}" if model.gate.startswith(_ASKS) else f"Can be downloaded. {model.gate}"
    if any(file.url for file in model.files):
        return "Can be downloaded freely."
    return "Comes with its package." if model.files else "Needs no weights."
