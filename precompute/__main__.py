"""Fill and build the results store: python -m precompute COMMAND."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pyarrow import ArrowInvalid

from engine.data_folder import DataFolder, using
from engine.errors import EngineError
from engine.files import remove_abandoned
from engine.quantities import ALIGNMENTS
from engine.registry.kinds import load_kinds
from engine.registry.reactions import KINDS
from engine.relaxations import CELLS, OPTIMIZERS
from engine.store.connection import DatabaseError
from engine.version import VERSION
from precompute.acquire import user_datasets, user_models
from precompute.commands import (
    bench,
    build,
    describe,
    embed,
    envs,
    fetch,
    import_,
    models,
    predict,
    relax,
    sql,
    status,
    table,
)
from precompute.dft import run as dft
from precompute.jobs import archive, doctor, runner, train, vacancies, volume_scan
from precompute.progress import say
from precompute.workers.confinement import TRUST


def main() -> int:
    """Parse, run one command, turn our errors into one sentence."""
    arguments = make_parser().parse_args()
    folder = DataFolder(Path(arguments.data)) if arguments.data else DataFolder.default()
    if arguments.trust:
        os.environ[TRUST] = "1"
    try:
        with using(folder):  # so that datasets added to that folder are known
            for written in folder.written:  # by commands that were killed; a run looks among its predictions
                remove_abandoned(written)
            code = int(arguments.command(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except EngineError as error:
        say(f"error: {error}")
        return 1
    except (OSError, ArrowInvalid, DatabaseError) as error:
        say(f"error: {' '.join(str(error).split())}; what was finished is kept")
        return 1
    except KeyboardInterrupt:
        say("interrupted; what was finished is kept, run the same command again to go on")
        return 130


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands, from which the documentation is made too."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", metavar="DIR", help="data folder (DEFECT_ATLAS_DATA; default: data)")
    common.add_argument("--mirror", metavar="DIR", help="take files from here (DEFECT_ATLAS_MIRROR)")
    common.add_argument("--dataset", metavar="ID", action="append", default=[], help="repeatable; or all")
    common.add_argument("--model", metavar="ID", action="append", default=[], help="repeatable; or all")
    common.add_argument(
        "--trust", action="store_true", help="let workers do what you may do: no confinement, no refusal of weights"
    )
    common.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser = argparse.ArgumentParser(prog="python -m precompute", description=__doc__)
    parser.add_argument("--version", action="version", version=f"Defect Atlas {VERSION}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int], name: str = "") -> argparse.ArgumentParser:
        text = (function.__doc__ or "").partition("\n")[0]
        sub = commands.add_parser(name or function.__name__, parents=[common], help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    command(fetch)
    sub = command(models)
    sub.add_argument("--json", action="store_true")
    sub = command(envs)
    sub.add_argument("family", nargs="*", help="default: every family")
    sub.add_argument("--lock", action="store_true", help="resolve the pins anew and write the lock files")
    runner.add_arguments(command(runner.main, "run"))
    sub = command(import_, "import")
    sub.add_argument("file", nargs="?", metavar="FILE", help="parquet or extended XYZ; without it, all published ones")
    sub.add_argument(
        "--energy-key", metavar="KEY", default="", help="name of the predicted energies, none for none (default: found)"
    )
    sub.add_argument("--forces-key", metavar="KEY", default="", help="name of the predicted forces; or none")
    sub.add_argument("--source", metavar="TEXT", default="", help="who computed them (default: the file's name)")
    user_models.add_arguments(sub)
    command(describe)
    sub = command(build)
    sub.add_argument("--full", action="store_true", help="take over nothing from the store before")
    sub = command(bench)
    user_models.add_precision_argument(sub)
    sub.add_argument("--again", action="store_true", help="measure again what was measured")
    sub.add_argument(
        "--cells", type=int, default=5, metavar="N", help="N x N x N primitive cells (default 5: the paper's 125 atoms)"
    )
    sub.add_argument("--sizes", action="store_true", help="1 to 4,096 atoms, as far as they fit and --seconds reaches")
    sub.add_argument(
        "--seconds", type=float, default=20.0, metavar="S", help="longest step after which --sizes goes on (default 20)"
    )
    sub.add_argument("--threads", type=int, default=1, metavar="N", help="threads of each worker (default 1)")
    sub.add_argument("--queue", action="store_true", help="64 systems at once, in batches that the worker chooses")
    sub.add_argument("--drift", action="store_true", help="also the drift of the energy in 0.9 ps of dynamics (NVE)")
    sub = command(predict)
    sub.add_argument("file", metavar="FILE", help="POSCAR, CIF or extended XYZ")
    sub.add_argument("--json", action="store_true")
    _add_relaxation(command(relax))
    volume_scan.add_arguments(command(volume_scan.main, "equation-of-state"))
    vacancies.add_arguments(command(vacancies.main, "vacancies"))
    train.add_arguments(command(train.main, "train"))
    sub = command(embed)
    sub.add_argument("--summary", action="store_true", help="errors, metrics and ranks of datasets without their atoms")
    sub.add_argument(
        "--without-vectors", action="store_true", help="with --summary: leave out the SOAP vectors, most of its size"
    )
    sub.add_argument("--add", action="store_true", help="with --summary: keep models that the store does not have")
    sub.add_argument("--learning", action="store_true", help="learning curves of datasets")
    sub.add_argument("--vacancies", action="store_true", help="vacancies that models relaxed")
    archive.add_arguments(command(archive.main, "archive"))
    _add_tables(command(table))
    command(sql).add_argument("statement", metavar="SELECT", help="one statement on the tables of the store")
    sub = command(dft.main, "reference")
    dft.add_arguments(sub)
    user_datasets.add_arguments(command(user_datasets.main, "add-dataset"))
    doctor.add_arguments(command(doctor.main, "doctor"))
    sub = command(status)
    sub.add_argument("--json", action="store_true")
    return parser


def _add_tables(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--matrix", action="store_true", help="force RMSE of every model on every dataset")
    sub.add_argument("--query", metavar="QUERY", help="what a query of the app finds, as the pages print it")
    sub.add_argument(
        "--kind", action="append", default=[], choices=(*load_kinds(), "all"), metavar="KIND",
        help="errors and ranks by kind of structures, pooled over the datasets; repeatable; or all",
    )  # fmt: skip
    sub.add_argument(
        "--only", action="append", default=[], metavar="NAME=VALUE",
        help="of --kind: a condition as in addresses of the app, such as elements=W, atoms=8:64 or energy=:0.5",
    )  # fmt: skip
    sub.add_argument("--align", choices=ALIGNMENTS, default="raw", help="energies of --kind (default raw)")
    sub.add_argument(
        "--reactions", choices=KINDS, help="defect energies of a kind; with --model one by one, else ranks"
    )
    sub.add_argument(
        "--labels", choices=("shown", "all"), default="shown", help="all: unconverged labels count in ranks"
    )


def _add_relaxation(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", help="POSCAR, CIF or extended XYZ")
    sub.add_argument(
        "--fmax", type=float, default=0.01, metavar="F", help="largest force when relaxed, eV/Å (default 0.01)"
    )
    sub.add_argument("--steps", type=int, default=200, metavar="N", help="largest number of steps (default 200)")
    sub.add_argument("--cell", choices=CELLS, default="fixed", help="free: lengths and angles follow the stress")
    sub.add_argument("--optimizer", choices=OPTIMIZERS, default="fire")
    sub.add_argument("--output", metavar="FILE", help="extended XYZ of the relaxed structures, one per model")
    sub.add_argument("--json", action="store_true")


if __name__ == "__main__":
    sys.exit(main())
