"""Predicted forces of several models on a visitor's structure: picture, disagreement, errors to expect, tables."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from ase.data import chemical_symbols
from streamlit.delta_generator import DeltaGenerator

from app import export, furniture, wording
from app.report import basket
from app.sections import expected_errors, flagged_atoms, nearest_environments, structure_report
from app.sections.expected_errors import AtomErrors
from app.structures import parts
from app.structures.atomview import AtomColors, atomview
from app.structures.live_results import LiveResults, rms
from engine.quantities import significant
from engine.records import Configuration
from precompute.live.tasks import LiveModel

_COLORS = {
    "expected": "Expected error", "deviation": "Disagreement", "error": "Error", "force": "Force", "element": "Element",
}  # fmt: skip


def show(
    results: LiveResults,
    models: Mapping[str, LiveModel],
    kind: str,
    origin: export.Provenance,
    right: DeltaGenerator,
    slot: DeltaGenerator,
) -> None:
    """Picture at the right, all else below.

    Args:
        results: With a model that is done.
        models: All of the registry by id.
        kind: Of the structure, or `all`.
        origin: Of the results.
        right: Where the picture goes.
        slot: Where the Export menu goes.
    """
    labels = {name: model.label for name, model in models.items()}
    elements, done = results.elements, [task.model_id for task in results.done]
    with right:
        of, errors, colors = _picture(results, labels, elements, kind)
        promised = expected_errors.show(done, labels, elements, kind)
    _headline(results)
    table = results.model_table(models)
    st.subheader("Models", anchor=False)
    _show_models(table)
    _energy_note(results, models)
    atoms = expected_errors.with_atoms(results.atom_table(), errors)
    st.subheader("Atoms", anchor=False)
    _show_atoms(atoms, labels.get(of, of))
    _downloads(results, table, atoms, origin, slot, partial(_report_item, results, colors, atoms, origin, promised))
    chosen = parts.selected_atom(results.configuration.n_atoms)
    nearest_environments.show(results.configuration, _worst(results) if chosen is None else chosen, done, labels)
    flagged_atoms.show(results, of or done[0], labels)


def _worst(results: LiveResults) -> int:
    """The atom of the largest disagreement, or of the largest force where one model is done."""
    values = results.deviation
    return int(np.argmax(np.linalg.norm(results.mean, axis=1) if values is None else values))


def _picture(
    results: LiveResults, labels: Mapping[str, str], elements: tuple[str, ...], kind: str
) -> tuple[str, AtomErrors | None, AtomColors | None]:
    """The structure in colours; returns a model with the expected errors of its atoms where they are known."""
    done = [task.model_id for task in results.done]
    known = {name: expected_errors.by_atom(results, name, elements, kind) for name in done}
    of = next((name for name, errors in known.items() if errors is not None), None)
    color = _color_choice(results, has_expected=of is not None)
    if color == "expected" and of is not None:
        names = [name for name, errors in known.items() if errors is not None]
        of = st.selectbox("Error of", names, format_func=labels.__getitem__, key="expected-of", width=300)
    errors = None if of is None else known[of]
    if color == "expected" and errors is not None and of is not None:
        colors = AtomColors(1000 * errors.high, f"|ΔF| of {labels[of]}, upper end", "meV/Å")
        viewer(results.configuration, colors, f"coloured by the error to expect of {labels[of]}")
        st.caption(expected_errors.atom_note(errors, labels[of], len(done)))
        return of, errors, colors
    shown = results.atom_colors(color)
    viewer(results.configuration, shown, f"coloured by {shown.label}" if shown else "coloured by element")
    if color == "deviation":
        st.caption(wording.within_here())
    return of or "", errors, shown


def _color_choice(results: LiveResults, *, has_expected: bool) -> str:
    available = {
        "deviation": results.deviation is not None,
        "expected": has_expected,
        "error": results.error is not None,
        "force": True,
        "element": True,
    }
    options = [name for name, is_there in available.items() if is_there]
    return st.segmented_control(
        "Colour atoms by",
        options,
        default=options[0],
        required=True,
        format_func=_COLORS.__getitem__,
        key=f"live-color-{len(options)}",  # the best choice anew when a second model is done
        label_visibility="collapsed",
    )


def viewer(configuration: Configuration, colors: AtomColors | None, what: str) -> None:
    """The structure; the page runs again when an atom is picked, for its nearest environments."""
    atomview(
        configuration.numbers,
        configuration.positions,
        configuration.cell,
        key="predict-view",
        alt=f"{configuration.config_id}, {configuration.n_atoms} atoms, {what}.",
        colors=colors,
        selected=parts.selected_atom(configuration.n_atoms),
        on_pick=parts.select_atom,
        filename=f"{configuration.config_id}.png",
        height=480,
    )


def _headline(results: LiveResults) -> None:
    deviation = results.deviation
    fastest = min((t.prediction.wall_seconds or 0.0) for t in results.done if t.prediction is not None)
    values = [("Models", f"{len(results.done)} of {len(results.tasks)}", f"fastest {fastest:.2f} s")]
    if deviation is not None:
        worst = int(np.argmax(deviation))
        symbol = chemical_symbols[int(results.configuration.numbers[worst])]
        largest, mean = (significant(1000 * float(value)) for value in (deviation[worst], deviation.mean()))
        values += [
            ("Largest disagreement (meV/Å)", largest, f"{symbol}, atom {worst}"),
            ("Mean disagreement (meV/Å)", mean, "over all atoms"),
        ]
    strongest = float(np.linalg.norm(results.mean, axis=1).max())
    values.append(("Largest mean force (eV/Å)", significant(strongest), "of the models' mean"))
    reference = results.configuration.forces
    if reference is not None:
        rmse = rms(results.mean - reference)
        values.append(("Force RMSE of the mean (meV/Å)", significant(rmse), "against the reference"))
    furniture.numbers(values)


def _show_models(table: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        table,
        hide_index=True,
        key="live-table",
        height="content",
        column_config={
            "model": st.column_config.TextColumn("Model", width="medium"),
            "energy": number("Energy (eV)", format="%.3f"),
            "energy_per_atom": number("Energy (eV/atom)", format="%.4f"),
            "largest_force": number("Largest |F| (eV/Å)", format="%.3f"),
            "from_mean": number("RMS from the mean force (meV/Å)", format="%.1f"),
            "energy_error": number("Energy error, raw (meV/atom)", format="%+.1f"),
            "force_rmse": number("Force RMSE (meV/Å)", format="%.1f"),
            "energy_reference": st.column_config.TextColumn(
                "Zero of energy", help="DFT set-up whose elemental energies the model was trained on."
            ),
            "training": "Training data",
            "seconds": number(
                "Time (s)",
                format="%.2f",
                help="The first computation of a compiled model includes its compilation.",
            ),
            "device": "Device",
        },
    )


def _energy_note(results: LiveResults, models: Mapping[str, LiveModel]) -> None:
    references = {models[task.model_id].energy_reference for task in results.done}
    if len(references) > 1:
        st.info(
            f"These models have different zeros of energy ({', '.join(sorted(references))}). Compare their "
            "forces, or energy differences of one model between structures. Do not compare their energies.",
            icon=":material/info:",
        )
    elif len(results.done) > 1:
        st.caption(
            "Energies count from each model's own zero. Forces need no common zero, so the disagreement is that "
            "of forces: dev(F) of an atom is the largest distance of any model's force from the mean."
        )


def _show_atoms(table: pd.DataFrame, of: str) -> None:
    st.dataframe(
        table,
        hide_index=True,
        key="live-atoms",
        height=parts.table_height(table),
        column_config=parts.atom_columns()
        | {
            "expected_low": st.column_config.NumberColumn(f"|ΔF| of {of} to expect from (meV/Å)", format="%.1f"),
            "expected_high": st.column_config.NumberColumn("to (meV/Å, 90 %)", format="%.1f"),
        },
    )


def _downloads(
    results: LiveResults,
    table: pd.DataFrame,
    atoms: pd.DataFrame,
    origin: export.Provenance,
    slot: DeltaGenerator,
    item: Callable[[], basket.Item],
) -> None:
    save = export.download
    with slot, st.popover("Export", icon=":material/download:", help="Save the results, or add them to the report"):
        save("Extended XYZ, forces of every model", results.to_extxyz, origin.file_name("extxyz"))
        save("CSV, models", lambda: export.to_csv(table, origin), origin.file_name("models.csv"))
        save("CSV, atoms", lambda: export.to_csv(atoms, origin), origin.file_name("atoms.csv"))
        export.report_button(item, "predict")


def _report_item(
    results: LiveResults, colors: AtomColors | None, atoms: pd.DataFrame, origin: export.Provenance,
    promised: Sequence[str],
) -> basket.Item:  # fmt: skip
    """The structure as it lies in the report, with the errors to expect in its caption."""
    shown = "coloured by element" if colors is None else f"coloured by {colors.label}"
    words = " ".join(line.replace("**", "") for line in promised)
    return structure_report.item(
        results.configuration, colors, atoms, dataclasses.replace(origin, title=f"{origin.title}, {shown}"),
        results.to_extxyz(), f"Error to expect: {words}",
    )  # fmt: skip
