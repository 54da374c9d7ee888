"""`python -m precompute doctor`: what this machine has, what lacks, and the command that adds it."""

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from engine.data_folder import DataFolder
from engine.registry.models import families, load_models
from precompute.acquire.weights import Checkpoint
from precompute.workers import worker_envs
from precompute.workers.devices import Gpu, gpus
from precompute.workers.worker_envs import has_nvidia_driver

LOW_DISK_GB = 20.0  # a store at the paper's size took 11 GB, and stands beside its successor for a while
MOST_TAKEN = 0.5  # of a GPU's memory, by others
TOKEN = "HF_TOKEN"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What it is.
        is_fine: Whether nothing needs to be done.
        text: What was found, in one sentence.
        todo: What to do; empty where nothing.
    """

    name: str
    is_fine: bool
    text: str
    todo: str = ""


def main(arguments: argparse.Namespace) -> int:
    """Say what this machine has: GPUs, cores, memory, disk, worker environments, weights, tokens; and what to do."""
    found = list(findings(DataFolder.default()))
    if arguments.json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return 0
    for one in found:
        print(f"{'ok  ' if one.is_fine else 'todo'}  {one.name:20} {one.text}")
        if one.todo:
            print(f"{'':27}{one.todo}")
    return 0


def add_arguments(sub: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    sub.add_argument("--json", action="store_true")


def findings(folder: DataFolder) -> Iterator[Finding]:
    """Everything that a run depends on, from the hardware up to the store.

    Args:
        folder: The data folder.
    """
    cards = gpus()
    yield _driver(cards)
    for card in cards:
        yield _gpu(card)
    yield _machine()
    yield _disk(folder)
    yield _uv()
    yield from _environments(folder, "cuda" if cards else "cpu")
    yield _weights(folder)
    yield _token()
    yield _store(folder)


def _driver(cards: tuple[Gpu, ...]) -> Finding:
    if cards:
        return Finding("NVIDIA driver", True, f"version {cards[0].driver}, {len(cards)} GPU(s) visible")
    if has_nvidia_driver():
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        return Finding(
            "NVIDIA driver", False, f"there, but CUDA_VISIBLE_DEVICES={hidden!r} shows none of its GPUs",
            "unset CUDA_VISIBLE_DEVICES, or name GPUs that `nvidia-smi -L` lists",
        )  # fmt: skip
    return Finding("NVIDIA driver", True, "none (nvidia-smi is absent or fails); everything runs on the CPU")


def _gpu(card: Gpu) -> Finding:
    is_free = card.free_gb > MOST_TAKEN * card.total_gb
    text = f"{card.name}, {card.free_gb:.1f} of {card.total_gb:.1f} GB free, {card.uuid}"
    todo = "" if is_free else "somebody else computes there: `nvidia-smi` says who"
    return Finding(f"GPU {card.index}", is_free, text, todo)


def _machine() -> Finding:
    cores, there = len(os.sched_getaffinity(0)), os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Finding("cores and memory", True, f"{cores} of {there} cores may be used, {memory:.0f} GB")


def _disk(folder: DataFolder) -> Finding:
    root = folder.root if folder.root.exists() else folder.root.parent
    free = shutil.disk_usage(root).free / 1e9
    is_enough = free >= LOW_DISK_GB
    todo = "" if is_enough else f"free some space, or take another folder: --data DIR ({LOW_DISK_GB:.0f} GB)"
    return Finding("disk", is_enough, f"{free:.0f} GB free in {folder.root}", todo)


def _uv() -> Finding:
    program = worker_envs.uv_program()
    return Finding("uv", program is not None, program or "absent", "" if program else "pip install -r requirements.txt")


def _environments(folder: DataFolder, kind: str) -> Iterator[Finding]:
    """Environments by state: built for this machine's kind of device, for another, absent or outdated."""
    states = {family: worker_envs.built_for(family, folder.root) for family in families()}
    wanted = {family: kind if worker_envs.uses_gpu(family) else "cpu" for family in states}
    ready = [family for family, state in states.items() if state == wanted[family]]
    absent = [family for family, state in states.items() if not state]
    other = [family for family in states if family not in ready and family not in absent]
    yield Finding("worker environments", bool(ready), f"{len(ready)} ready: {', '.join(ready) or 'none'}")
    if other:
        text = f"{len(other)} built for another device: {', '.join(other)}"
        yield Finding("", False, text, f"python -m precompute envs --device {kind} {' '.join(other)}")
    if absent:
        text = f"{len(absent)} not built, or from an older lock: {', '.join(absent)}"
        yield Finding("", bool(ready), text, f"python -m precompute envs {' '.join(absent)}")


def _weights(folder: DataFolder) -> Finding:
    runnable = [model for model in load_models().values() if model.is_runnable]
    n_missing = sum(bool(Checkpoint(model, folder).why_not) for model in runnable)
    n_here = len(runnable) - n_missing
    text = f"of {n_here} models here or in their packages, of {n_missing} missing"
    todo = "python -m precompute models  # says for each model what lacks" if n_missing else ""
    return Finding("weights", n_here > 0, text, todo)


def _token() -> Finding:
    gated = sorted(model.model_id for model in load_models().values() if model.is_runnable and model.gate)
    is_set = bool(os.environ.get(TOKEN))
    text = f"{'set' if is_set else 'not set'}; {len(gated)} gated models need it and their licence to be accepted"
    todo = "" if is_set else f"export {TOKEN}=... for {', '.join(gated[:3])} ..."
    return Finding(TOKEN, is_set or not gated, text, todo)


def _store(folder: DataFolder) -> Finding:
    if folder.store.exists():
        return Finding("store", True, f"{folder.store.resolve().name}, {folder.store.stat().st_size / 1e6:.0f} MB")
    return Finding("store", False, f"none in {folder.root}", "python -m precompute build")
