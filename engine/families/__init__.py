"""One file per model family: its pins (PEP 723 header), its reach and its `load`. Imports nothing of ours.

A family file is copied from `emt.py`. It gives

- the header: `dependencies` (exact pins), `[tool.uv]` overrides where a package drags in what inference does not
  need, and `[tool.defect-atlas] accelerator`: what is installed last because a CPU and a GPU machine want
  different builds of it,
- `REACH`: how far apart two atoms can be and still share an edge, in Å; vacuum is padded beyond twice of it,
- `load(checkpoint, device, **options)`: an ASE calculator in eV, eV/Å and eV/Å³ (Voigt).
"""
