"""One file per model family: its pins (PEP 723 header), its reach and its `load`. Imports nothing of ours.

A family file is copied from `emt.py`. It gives

- the header: `dependencies` (exact pins), `[tool.uv]` overrides where a package drags in what inference does not
  need, and `[tool.defect-atlas] accelerator`: what is installed last because a CPU and a GPU machine want
  different builds of it,
- `REACH`: how far apart two atoms can be and still share an edge, in Å; vacuum is padded beyond twice of it,
- `load(checkpoint, device, **options)`: an ASE calculator in eV, eV/Å and eV/Å³ (Voigt); `checkpoint` is a local
  file or directory, empty where the package carries the weights; the options are those of the registry entry,
- where the package can evaluate several systems at once, `batch(calculator, systems)`: for every `Atoms` of
  `systems`, in order, a dict with `energy`, `forces` and `stress` as the calculator's `results` would hold them.
  It must give what the calculator gives one system at a time; the worker decides how many systems go in. Helpers
  of `batch` have names that begin with `_batch`: neither counts for the fingerprint of a prediction,
- where graphs are built on the CPU before the package's model computes, `batch_graphs(calculator, systems)`, whose
  result `batch` takes as its third argument `graphs`: on a GPU those of the next batch are built in a thread while the
  model computes this one, so it must not change anything that the model reads,
- where potentials of the family can be fitted here, `design(checkpoint, systems)`: for each system what its energy and
  forces are linear in (see `snap.py`). It does not count for the fingerprint either.
"""
