"""Predict: predictions of several potentials for a visitor's own structure, and their disagreement.

The computation runs in worker processes. This page hands a structure over, asks for the progress once a second
while a job is open, and shows the result. A job is a parameter of the address and survives a reload.
"""

import uuid

import numpy as np
import pandas as pd
import streamlit as st
from ase import Atoms
from ase.data import chemical_symbols
from streamlit.delta_generator import DeltaGenerator

from app import export, furniture, selection, wording
from app.live import predictor as shared_predictor
from app.structures import parts
from app.structures.atomview import AtomColors, atomview
from app.structures.live_results import LiveResults, rms
from engine.errors import DatasetError, EngineError
from engine.quantities import significant
from engine.queries import catalog, configurations
from engine.readers import uploads
from engine.readers.checks import check_structure
from engine.readers.example_structures import examples
from engine.readers.readings import MAX_ATOMS, Upload
from engine.readers.sandbox import OverloadError, read_in_sandbox
from engine.records import Configuration
from precompute.live import predictor as live

FIRST_CHOICE = ("chgnet-0.3.0", "sevennet-0", "nequix-mp-1")
POLL_SECONDS = 1.0
COLORS = {"deviation": "Disagreement", "error": "Error", "force": "Force", "element": "Element"}
ICONS = {
    live.QUEUED: ":material/schedule:",
    live.LOADING: ":material/downloading:",
    live.RUNNING: ":material/play_circle:",
    live.DONE: ":material/check_circle:",
    live.FAILED: ":material/error:",
    live.CANCELLED: ":material/cancel:",
}


def show() -> None:
    """Choices at the left, picture at the right, results below."""
    slot = furniture.header(
        "Predict", "What do several potentials predict for your own structure, and where do they disagree?"
    )
    furniture.say_unheeded(selection.selection().scope)
    predictor = shared_predictor()
    job = st.query_params.get("job", "")
    # Not columns: below some width the picture goes under the choices.
    page = st.container(horizontal=True, gap="large")
    left, right = page.container(width=400), page.container(width="stretch")
    with left:
        structure = _structure(predictor.configuration(job))
        configuration = None if structure is None else structure.configuration
        model_ids = _models()
        if structure is not None:
            _checks(structure, model_ids)
        _run_button(predictor, configuration, model_ids, job)
        _progress(predictor, job)
        _limits()
    results = LiveResults.of(predictor, job)
    shown = configuration.geometry_hash if configuration is not None else ""
    if results is not None and results.configuration.geometry_hash == shown:
        _show_results(results, right, slot)
    else:
        with right:
            _preview(configuration)


# Choices


def _structure(predicted: Configuration | None) -> Upload | None:
    """The structure to predict: a file, else that of the address's job or link, or an example."""
    file = st.file_uploader(
        "Your structure: POSCAR, CIF or extended XYZ",
        key="upload",
        max_upload_size=uploads.MAX_BYTES // 1_000_000,
        help="One structure per file. Where extended XYZ carries a reference, errors are shown.",
    )
    made = _from_benchmark() | examples()
    known = [configuration.geometry_hash for configuration in made.values()]
    if predicted is not None and predicted.geometry_hash not in known:
        made = {f"{predicted.config_id}, already predicted": predicted} | made
        known.insert(0, predicted.geometry_hash)
    start = known.index(predicted.geometry_hash) if predicted is not None else 0
    example = st.selectbox("or one of these", list(made), index=start, key="example", disabled=file is not None)
    if file is None:
        return _looked_at(made[example].geometry_hash, made[example])
    try:
        found = _read(file.name, file.getvalue())
    except OverloadError as error:  # not kept: the next try may succeed
        found = str(error)
    if isinstance(found, str):
        st.error(parts.plain(found), icon=":material/error:")
        return None
    return found


def _from_benchmark() -> dict[str, Configuration]:
    """The configuration that a link from the Structure page names, with its reference labels."""
    dataset_id, _, config_id = st.query_params.get("from", "").partition("/")
    found = configurations.configuration(dataset_id, config_id) if config_id else None
    if found is None and (asked := st.query_params.get("from")):
        st.caption(f":material/warning: from={parts.plain(asked)}: the store has no such configuration.")
    return {} if found is None else {f"{config_id} of {wording.dataset_label(dataset_id)}": found}


@st.cache_data(max_entries=64, show_spinner="Reading the file")
def _read(name: str, data: bytes) -> Upload | str:
    """What was read, or why it was refused: both are kept, so that no file is read twice."""
    try:
        return read_in_sandbox(name, data)
    except OverloadError:
        raise
    except DatasetError as error:
        return str(error)


@st.cache_data(max_entries=64, show_spinner=False)
def _looked_at(geometry_hash: str, _configuration: Configuration) -> Upload:
    """A structure that was read before, with its checks; kept by its geometry."""
    return Upload(_configuration, "", tuple(check_structure(_configuration)))


@st.cache_data(ttl=60.0, show_spinner=False)
def _live_models() -> list[live.LiveModel]:
    """Checked once a minute: it hashes weights on disk."""
    return shared_predictor().models()


def _labels() -> dict[str, str]:
    return {model.model_id: model.label for model in _live_models()}


def _models() -> list[str]:
    models = {model.model_id: model for model in _live_models()}
    ready = [model_id for model_id, model in models.items() if not model.why_not]
    chosen = st.multiselect(
        "Models",
        ready,
        default=[model_id for model_id in FIRST_CHOICE if model_id in ready],
        format_func=lambda model_id: models[model_id].label,
        key="live-models",
        max_selections=live.MAX_MODELS_PER_JOB,
        placeholder="choose at least one",
        help="Two or more models give a spread, which is this page's measure of uncertainty.",
    )
    absent = [model for model in models.values() if model.why_not]
    if absent:
        with st.expander(f"{len(absent)} registered models cannot run on this server"):
            table = pd.DataFrame({"Model": [m.label for m in absent], "Reason": [m.why_not for m in absent]})
            st.dataframe(table, hide_index=True, key="absent-models", height=240)
    if not ready:
        furniture.empty("No model can run here yet", "Build a worker environment: `python -m precompute envs chgnet`.")
    return chosen


def _checks(structure: Upload, model_ids: list[str]) -> None:
    """What was understood and looked at before any computing, one line each."""
    configuration = structure.configuration
    lines = [(check.is_fine, check.name, parts.plain(check.text)) for check in structure.checks]
    models = {model.model_id: model for model in _live_models()}
    unknown = {model_id: live.uncovered_elements(model_id, configuration) for model_id in model_ids}
    missing = [f"{models[m].label} does not know {', '.join(e)}" for m, e in unknown.items() if e]
    covered = "".join(f"; {models[m].label} knows {_coverage(models[m])}" for m in model_ids)
    formula = Atoms(configuration.numbers).get_chemical_formula("metal")
    lines.append((not missing, "Elements", "; ".join(missing) or f"{formula}: covered by every chosen model{covered}"))
    if configuration.forces is not None or configuration.energy is not None:
        lines.append((True, "Reference", "the structure carries reference labels: errors will be shown"))
    st.markdown(
        "  \n".join(
            f"{':green[:material/check:]' if fine else ':orange[:material/warning:]'} **{name}** {text}"
            for fine, name, text in lines
        )
    )


def _coverage(model: live.LiveModel) -> str:
    """Elements of a model in a few words: by name while they are few."""
    return f"{len(model.elements)} elements" if len(model.elements) > 16 else ", ".join(model.elements)


def _limits() -> None:
    st.caption(
        f"Limits: {uploads.MAX_BYTES // 1_000_000} MB, {MAX_ATOMS} atoms, "
        f"{live.LIMIT_SECONDS:.0f} s per model (loading it excluded), "
        f"{live.MAX_JOBS_PER_SESSION} open jobs per visitor. Files are read in memory and not kept."
    )


# Running


def _run_button(
    predictor: live.LivePredictor,
    configuration: Configuration | None,
    model_ids: list[str],
    job: str,
) -> None:
    is_open = any(task.is_open for task in predictor.tasks(job))
    with st.container(horizontal=True):
        if st.button(
            "Predict",
            type="primary",
            icon=":material/play_arrow:",
            disabled=configuration is None or not model_ids,
            key="predict",
        ):
            assert configuration is not None
            _submit(predictor, configuration, model_ids)
        if st.button("Cancel", disabled=not is_open, key="cancel", icon=":material/close:"):
            predictor.cancel(job)


def _submit(predictor: live.LivePredictor, configuration: Configuration, model_ids: list[str]) -> None:
    visitor = st.session_state.setdefault("visitor", uuid.uuid4().hex)
    try:
        st.query_params["job"] = predictor.submit(visitor, configuration, model_ids)
    except EngineError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.query_params.pop("atom", None)
    st.rerun()


def _progress(predictor: live.LivePredictor, job: str) -> None:
    """One line per model, drawn again every second while a job is open and never otherwise."""
    tasks = predictor.tasks(job)
    if job and not tasks:
        st.caption("The results of this address are no longer kept. Predict again.")
        return
    every = POLL_SECONDS if any(task.is_open for task in tasks) else None
    st.fragment(_progress_lines, run_every=every)(predictor, job, every is not None)


def _progress_lines(predictor: live.LivePredictor, job: str, was_open: bool) -> None:
    tasks = predictor.tasks(job)
    labels = _labels()
    with st.container(key="progress"):
        st.markdown("  \n".join(_progress_line(labels[task.model_id], task) for task in tasks))
    if was_open and not any(task.is_open for task in tasks):
        st.rerun()


def _progress_line(label: str, task: live.TaskState) -> str:
    line = f"{ICONS[task.state]} **{label}** {task.state}"
    if task.is_cached:
        line += ", known already"
    elif task.seconds:
        line += f", {task.seconds:.0f} s"
    return f"{line}: {task.message}" if task.message else line


# Results


def _preview(configuration: Configuration | None) -> None:
    if configuration is None:
        furniture.empty("No structure", "The file could not be read; choose another one at the left.")
        return
    _viewer(configuration, None, "coloured by element")


def _show_results(results: LiveResults, right: DeltaGenerator, slot: DeltaGenerator) -> None:
    origin = _origin(results)
    with right:
        color = _color_choice(results)
        _picture(results, color)
    _headline(results)
    table = results.model_table({model.model_id: model for model in _live_models()})
    st.subheader("Models", anchor=False)
    _show_models(table)
    _energy_note(results)
    atoms = results.atom_table()
    st.subheader("Atoms", anchor=False)
    _show_atoms(atoms)
    _downloads(results, table, atoms, origin, slot)


def _color_choice(results: LiveResults) -> str:
    available = {
        "deviation": results.deviation is not None,
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
        format_func=COLORS.__getitem__,
        key="live-color",
        label_visibility="collapsed",
    )


def _picture(results: LiveResults, color: str) -> None:
    colors = results.atom_colors(color)
    what = f"coloured by {colors.label}" if colors else "coloured by element"
    _viewer(results.configuration, colors, what)
    if color == "deviation":
        st.caption(wording.within_here())


@st.fragment
def _viewer(configuration: Configuration, colors: AtomColors | None, what: str) -> None:
    """Only the picture runs again when an atom is picked."""
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


def _energy_note(results: LiveResults) -> None:
    models = {model.model_id: model for model in _live_models()}
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


def _show_atoms(table: pd.DataFrame) -> None:
    st.dataframe(
        table,
        hide_index=True,
        key="live-atoms",
        height=parts.table_height(table),
        column_config=parts.atom_columns(),
    )


def _origin(results: LiveResults) -> export.Provenance:
    name = results.configuration.config_id
    models = [task.model_id for task in results.done]
    return export.Provenance(
        "predict",
        f"Live prediction of {name}",
        tuple(models),
        (name,),
        f"{results.configuration.n_atoms} atoms",
        catalog.store_info().data_version,
    )


def _downloads(
    results: LiveResults,
    table: pd.DataFrame,
    atoms: pd.DataFrame,
    origin: export.Provenance,
    slot: DeltaGenerator,
) -> None:
    save = export.download
    with slot, st.popover("Export", icon=":material/download:", help="Save the results"):
        save("Extended XYZ, forces of every model", results.to_extxyz, origin.file_name("extxyz"))
        save("CSV, models", lambda: export.to_csv(table, origin), origin.file_name("models.csv"))
        save("CSV, atoms", lambda: export.to_csv(atoms, origin), origin.file_name("atoms.csv"))


show()
