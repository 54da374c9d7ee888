"""How often 90 % intervals of the error hold on left-out clusters, with and without the correction for few clusters.

    python -m benchmarks.intervals [--ensemble liu-11] [--coverage 0.9]

Reads forces from the built store, for every dataset whose atoms are there. The error is that of the ensemble's mean.
`pooled` is what `engine.numerics.conformal` does. `corrected` counts the new cluster as one more, at infinity, as in
hierarchical conformal prediction: it holds at least what it states, and with few clusters much more. `atoms` takes
every atom for independent.
"""

import argparse
import sys

import numpy as np
import pandas as pd

from engine.numerics.conformal import FLOORS, MIN_UNITS, PER_UNIT, Sample, mean_by, scores
from engine.queries import agreement


def main() -> int:
    """Print one line per dataset."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ensemble", default="eqv2-omat", help="whose members count")
    parser.add_argument("--coverage", type=float, default=0.9, help="of the intervals")
    arguments = parser.parse_args()
    found = False
    for dataset_id in agreement.datasets_with_ensembles():
        ensembles = agreement.ensembles_on(dataset_id).set_index("ensemble_id")
        if arguments.ensemble not in ensembles.index:
            continue
        models = tuple(ensembles.loc[arguments.ensemble, "model_ids"])
        samples = agreement.chosen_samples(models, dataset_id).get("force")
        if samples is None or samples["cluster"].nunique() < MIN_UNITS["cluster"]:
            continue
        found = True
        error, deviation = (samples[name].to_numpy(dtype=float) for name in ("error", "standard"))
        print(f"{dataset_id}: {_line(scores(error, deviation, FLOORS['force']), samples, arguments.coverage)}")
    if not found:
        print("No dataset has forces of this ensemble and enough clusters.", file=sys.stderr)
    return 0 if found else 1


def _line(values: np.ndarray, samples: pd.DataFrame, coverage: float) -> str:
    clusters = samples["cluster"].to_numpy()
    n = len(np.unique(clusters))
    wider = 2 * min(0.5 * (1 + coverage) * n / (n - 1), 1.0) - 1
    atoms = Sample(values, np.arange(len(values)), clusters)
    by_cluster = Sample(values, clusters, clusters)
    shares = {
        "pooled": by_cluster.held_out([coverage])[0],
        "corrected": by_cluster.held_out([wider])[0],
        "atoms": atoms.held_out([coverage])[0],
    }
    told = ", ".join(f"{name} {100 * mean_by(inside, clusters).mean():.1f} %" for name, inside in shares.items())
    return f"{n} clusters of at most {PER_UNIT} values: {told}"


if __name__ == "__main__":
    sys.exit(main())
