"""Learning curves: the same potential trained on more and more of a dataset, and tested on what it did not see.

Every configuration is tested by a potential that saw none of its cluster (`engine.numerics.clusters`): five parts
without a cluster in common are left out in turn, for several seeds of the split and of the order in which
configurations are taken in. Beside this stand the usual random split, where near-copies of the test are trained on;
whole groups of structures left out; and training on crystals near equilibrium alone. Weights and ridges are chosen by
cross-validation inside the training part, over two halves that share no cluster either.

Quadratic SNAP with 2J = 6 was chosen on every sixth configuration of W-g, five parts by cluster, in meV/Å and meV/atom,
with the time that one atom's rows take on one core: SNAP 2J = 8, 55 coefficients: 250 and 14, 1.5 ms; linear ACE of 100
functions: 229 and 17, 2.0 ms (499 functions: 30 ms); quadratic SNAP 2J = 6, 495: 205 and 8.1, 1.5 ms; 2J = 8, 1,595:
174 and 5.7, 5.7 ms, but each of its thousands of fits takes 33 times as long.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.learning_curves import CLUSTERS, NEAR_EQUILIBRIUM, OTHER_GROUPS, RANDOM, ClusterError, Fit
from engine.numerics.learning import folds
from engine.numerics.linear_fit import RIDGES, WEIGHTS, FloatArray, Sums, choose, fit, total
from precompute.jobs.potentials import Design, Labels

SHARES = (0.01, 0.03, 0.1, 0.3, 0.6, 1.0)
N_FOLDS = 5
N_SEEDS = 5
NEAR = 0.2
"""eV/atom above the lowest energy: 1,550 K of a harmonic crystal by equipartition, well below the melting of W."""

NEAR_KINDS = ("bulk", "strained", "displaced")
TRUTH = "dft"


@dataclass(frozen=True)
class Data:
    """Configurations of one dataset and what a fit needs of them; all arrays have the shape (n_configs,).

    Attributes:
        dataset_id: The dataset.
        config_ids: Of each configuration.
        groups: Its group; configurations of one cluster have that of the first.
        kinds: Its kind of structures.
        clusters: Label of its cluster, numbered by first appearance.
        design: Rows of the fit.
        labels: By name, those that are learnt and `dft`, the truth of every test.
        learnt: Names of labels to learn.
        potential: Name of the form of the potential.
    """

    dataset_id: str
    config_ids: Sequence[str]
    groups: NDArray[np.str_]
    kinds: NDArray[np.str_]
    clusters: NDArray[np.int64]
    design: Design
    labels: Mapping[str, Labels]
    learnt: Sequence[str]
    potential: str

    @property
    def near_equilibrium(self) -> NDArray[np.bool_]:
        """Crystals without a defect whose energy is little above the lowest."""
        energies = self.labels[TRUTH].energies
        return np.asarray(np.isin(self.kinds, NEAR_KINDS) & (energies <= energies.min() + NEAR))


def curve(
    data: Data, seed: int, *, is_random: bool = False, shares: Sequence[float] = SHARES
) -> Iterator[tuple[list[ClusterError], list[Fit]]]:
    """Learning curves of one seed, one for each kind of labels: errors of each cluster, and the fits.

    Args:
        data: The dataset.
        seed: Of the split and of the order.
        is_random: Parts are random configurations instead of whole clusters.
        shares: Of what may be trained on, rising.
    """
    n = len(data.config_ids)
    order = np.random.default_rng([seed, int(is_random)]).permutation(n)
    part = folds(order if is_random else data.clusters, N_FOLDS, seed)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    # A configuration enters with the first share that takes it in, whichever part is left out.
    stage = np.searchsorted(np.ceil(np.array(shares) * n), place + 1)
    cells = list(zip(stage.tolist(), part.tolist(), strict=True))
    found = data.design.sums(cells, _learnt(data))
    training = RANDOM if is_random else CLUSTERS
    for name in data.learnt:
        parts: dict[int, Sums] = {}
        fits: list[Fit] = []
        chosen: dict[tuple[int, int], FloatArray] = {}
        for k, share in enumerate(shares):
            for number in range(N_FOLDS):
                if (new := found.get(((k, number), name))) is not None:
                    parts[number] = parts[number] + new if number in parts else new
            for number in range(N_FOLDS):
                coefficients, settings = _fitted([one for key, one in sorted(parts.items()) if key != number])
                chosen[number, k] = coefficients
                trained = (stage <= k) & (part != number)
                fits.append(_fit_row(data, trained, settings, (name, training, seed, share, str(number))))
        held_out = [
            (np.flatnonzero(part == number), np.column_stack([chosen[number, k] for k in range(len(shares))]))
            for number in range(N_FOLDS)
        ]
        yield _cluster_errors(data, held_out, (name, training, seed), shares), fits


def other_groups(data: Data) -> Iterator[tuple[list[ClusterError], list[Fit]]]:
    """Errors on each group of structures of a potential that was trained on all others, for each kind of labels."""
    found = data.design.sums(data.groups.tolist(), _learnt(data))
    groups = sorted(set(data.groups.tolist()))
    for name in data.learnt:
        held_out, fits = [], []
        for group in groups:
            coefficients, settings = _fitted([found[other, name] for other in groups if other != group])
            held_out.append((np.flatnonzero(data.groups == group), coefficients[:, None]))
            fits.append(_fit_row(data, data.groups != group, settings, (name, OTHER_GROUPS, 0, 1.0, group)))
        yield _cluster_errors(data, held_out, (name, OTHER_GROUPS, 0), (1.0,)), fits


def near_equilibrium(data: Data) -> Iterator[tuple[list[ClusterError], list[Fit]]]:
    """Errors of a potential that was trained on crystals near equilibrium alone, on all other clusters."""
    trained = data.near_equilibrium
    cells = [label if inside else None for label, inside in zip(data.clusters.tolist(), trained, strict=True)]
    found = data.design.sums(cells, _learnt(data))
    seen = np.isin(data.clusters, data.clusters[trained])
    if not trained.any() or seen.all():
        return
    for name in data.learnt:
        coefficients, settings = _fitted([one for (_, label), one in found.items() if label == name])
        fits = [_fit_row(data, trained, settings, (name, NEAR_EQUILIBRIUM, 0, 1.0, "the rest"))]
        held_out = [(np.flatnonzero(~seen), coefficients[:, None])]
        yield _cluster_errors(data, held_out, (name, NEAR_EQUILIBRIUM, 0), (1.0,)), fits


def trained_on_all(data: Data, name: str) -> tuple[FloatArray, tuple[float, float]]:
    """Coefficients of a potential that learnt all labels of one kind, and its weight and ridge."""
    part = folds(data.clusters, N_FOLDS, 0)
    found = data.design.sums(part.tolist(), {name: data.labels[name]})
    return _fitted(list(found.values()))


def _learnt(data: Data) -> dict[str, Labels]:
    return {name: data.labels[name] for name in data.learnt}


def _fitted(parts: Sequence[Sums]) -> tuple[FloatArray, tuple[float, float]]:
    """Coefficients with the weight and ridge that cross-validation chooses; the last ones where there is one part.

    The parts make two halves of like size, each of which is left out in turn.
    """
    if len(parts) < 2:
        return fit(parts[0], WEIGHTS[-1], RIDGES[-1]), (WEIGHTS[-1], RIDGES[-1])
    first, second, *rest = sorted(parts, key=lambda one: -one.n_components)
    halves = [first, second]
    for part in rest:
        smaller = int(halves[1].n_components < halves[0].n_components)
        halves[smaller] = halves[smaller] + part
    settings = choose(halves)
    return fit(total(halves), *settings), settings


def _fit_row(
    data: Data, trained: NDArray[np.bool_], settings: tuple[float, float], key: tuple[str, str, int, float, str]
) -> Fit:
    """What a potential was trained on."""
    sizes = data.design.n_atoms[trained].astype(float)
    weight, ridge = settings
    name, training, seed, share, held_out = key
    return Fit(
        dataset_id=data.dataset_id,
        potential=data.potential,
        labels=name,
        training=training,
        seed=seed,
        share=share,
        held_out=held_out,
        n_configs=int(trained.sum()),
        n_clusters=len(np.unique(data.clusters[trained])),
        n_atoms=int(sizes.sum()),
        atoms_squared=float((sizes**2).sum()),
        atoms_cubed=float((sizes**3).sum()),
        weight=weight,
        ridge=ridge,
    )


def _cluster_errors(
    data: Data,
    held_out: Sequence[tuple[NDArray[np.int64], FloatArray]],
    key: tuple[str, str, int],
    shares: Sequence[float],
) -> list[ClusterError]:
    """Errors by cluster, from the configurations of each part and the potentials that did not see it."""
    n = len(data.config_ids)
    energies, forces = (np.full((n, len(shares)), np.nan) for _ in range(2))
    for places, coefficients in held_out:
        energies[places], forces[places] = data.design.errors(places, coefficients, data.labels[TRUTH])
    rows = []
    for label in np.unique(data.clusters):
        places = np.flatnonzero((data.clusters == label) & np.isfinite(energies[:, 0]))
        if not len(places):
            continue
        first = int(np.flatnonzero(data.clusters == label)[0])
        for k, share in enumerate(shares):
            name, training, seed = key
            rows.append(
                ClusterError(
                    dataset_id=data.dataset_id,
                    potential=data.potential,
                    labels=name,
                    training=training,
                    seed=seed,
                    share=share,
                    config_id=data.config_ids[first],
                    group_name=str(data.groups[first]),
                    n_configs=len(places),
                    n_atoms=int(data.design.n_atoms[places].sum()),
                    energy_sum=float(energies[places, k].sum()),
                    energy_square=float((energies[places, k] ** 2).sum()),
                    force_square=float(forces[places, k].sum()),
                )
            )
    return rows
