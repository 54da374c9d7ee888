"""Predict: predictions of several potentials for a visitor's own structure, and their disagreement.

The computation runs in worker processes. This page hands a structure over, asks for the progress once a second
while a job is open, and shows the result. A job is a parameter of the address and survives a reload.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st
from ase import Atoms
from streamlit.delta_generator import DeltaGenerator

from app import export, furniture, selection, wording
from app.live import predictor as shared_predictor
from app.sections import (
    calculation_choice,
    crystal_beside,
    live_progress,
    model_choice,
    predicted_forces,
    relaxed_paths,
    volume_curves,
)
from app.structures import parts
from app.structures.live_results import LiveResults, elements_of
from engine.errors import DatasetError, EngineError
from engine.queries import catalog, configurations
from engine.queries.scope import ALL
from engine.readers import uploads
from engine.readers.checks import check_structure
from engine.readers.example_structures import examples
from engine.readers.readings import MAX_ATOMS, Upload
from engine.readers.sandbox import OverloadError, read_in_sandbox
from engine.records import Configuration
from precompute.live.calculations import CALCULATION_SECONDS, EQUATION_OF_STATE, RELAX, SINGLE_POINT, Calculation
from precompute.live.predictor import LIMIT_SECONDS, LivePredictor, uncovered_elements
from precompute.live.shares import MAX_JOBS_PER_SESSION
from precompute.live.tasks import DONE, Job, LiveModel

POLL_SECONDS = 1.0
LAST = "last-job"


def show() -> None:
    """Choices at the left, picture at the right, results below."""
    slot = furniture.header(
        "Predict", "What do several potentials predict for your own structure, how far off may they be, and where do "
        "they disagree?"
    )  # fmt: skip
    furniture.say_unheeded(selection.selection().scope)
    predictor = shared_predictor()
    name = _job_of_address(predictor)
    job = predictor.job(name)
    if job is not None:
        _begin_as(job)
    # Not columns: below some width the picture goes under the choices.
    page = st.container(horizontal=True, gap="large")
    left, right = page.container(width=400), page.container(width="stretch", key="picture")
    furniture.least_width("picture", 440)
    with left:
        structure = _structure(job.configuration if job else None)
        configuration = None if structure is None else structure.configuration
        choices, action, notes = st.container(), st.container(), st.container()  # the button above what is long
        with choices:
            kind, asked = _asked(configuration, notes)
        with action:
            _run_button(predictor, configuration, asked, name)
            _progress(predictor, name)
            if structure is not None:
                _checks(structure, asked.model_ids, is_compared=asked.calculation.task == SINGLE_POINT)
        with notes:
            _limits()
    shown = "" if configuration is None else configuration.geometry_hash
    if job is not None and job.configuration.geometry_hash == shown:
        _show_results(predictor, name, job, kind, right, slot)
    else:
        with right:
            _preview(configuration)


@dataclass(frozen=True)
class Asked:
    """What a visitor has chosen to compute."""

    model_ids: list[str]
    calculation: Calculation
    crystal: Configuration | None


def _asked(configuration: Configuration | None, notes: DeltaGenerator) -> tuple[str, Asked]:
    """Kind of the structure, and the calculation, models and perfect crystal that are chosen.

    Args:
        configuration: The structure; None where there is none.
        notes: Where the known errors of the models go.
    """
    elements = () if configuration is None else elements_of(configuration)
    kind = ALL
    if configuration is not None:
        kind = model_choice.kind_of_structure(elements, configuration.config_id, _known_kind(configuration))
    calculation = calculation_choice.choose()
    model_ids = model_choice.choose(_live_models(), elements, kind, notes)
    return kind, Asked(model_ids, calculation, None if calculation.task == EQUATION_OF_STATE else _crystal())


def _known_kind(configuration: Configuration) -> str:
    """Kind of a structure that came by a link from the benchmark; empty for any other."""
    dataset_id, _, config_id = st.query_params.get("from", "").partition("/")
    return configurations.kind_of(dataset_id, config_id) if config_id == configuration.config_id else ""


def _crystal() -> Configuration | None:
    """The perfect crystal that a visitor gives beside a defect."""
    with st.expander("Perfect crystal, for the energy of a defect"):
        file = st.file_uploader(
            "Perfect crystal", key="crystal", max_upload_size=uploads.MAX_BYTES // 1_000_000,
            help="It gets the same calculation by the same models. The elements must be in the same ratio.",
        )  # fmt: skip
        if file is None:
            return None
        found = _read_or_say(file.name, file.getvalue())
        if found is None:
            return None
        formula = Atoms(found.configuration.numbers).get_chemical_formula("metal")
        st.caption(f"{parts.plain(file.name)}: {formula}")
        return found.configuration


def _job_of_address(predictor: LivePredictor) -> str:
    """The job of the address, or the last one of this visitor, so that it survives leaving the page."""
    name = st.query_params.get("job", "")
    last = st.session_state.get(LAST, "")
    if not name and "from" not in st.query_params and predictor.job(last) is not None:
        name = st.query_params["job"] = last
    return name


def _begin_as(job: Job) -> None:
    """Let the choices begin with those of a job, where its page is opened and the address says nothing else.

    Else a link to a relaxation would show it beside a single point by other models.
    """
    if calculation_choice.is_drawn():
        return
    model_ids = [task.model.model_id for task in job.tasks]
    asked = calculation_choice.to_address(job.calculation) | model_choice.to_address(model_ids)
    if new := {name: value for name, value in asked.items() if name not in st.query_params}:
        st.query_params.update(new)
        st.rerun()


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
    return _read_or_say(file.name, file.getvalue())


def _read_or_say(name: str, data: bytes) -> Upload | None:
    """A file that was read; None where it is refused, which is said."""
    try:
        found = _read(name, data)
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
def _live_models() -> list[LiveModel]:
    """Checked once a minute: it hashes weights on disk."""
    return shared_predictor().models()


def _labels() -> dict[str, str]:
    return {model.model_id: model.label for model in _live_models()}


def _checks(structure: Upload, model_ids: list[str], *, is_compared: bool) -> None:
    """What was understood and looked at before any computing, one line each."""
    configuration = structure.configuration
    lines = [(check.is_fine, check.name, parts.plain(check.text)) for check in structure.checks]
    models = {model.model_id: model for model in _live_models()}
    unknown = {model_id: uncovered_elements(model_id, configuration) for model_id in model_ids}
    missing = [f"{models[m].label} does not know {', '.join(e)}" for m, e in unknown.items() if e]
    covered = "".join(f"; {models[m].label} knows {_coverage(models[m])}" for m in model_ids)
    formula = Atoms(configuration.numbers).get_chemical_formula("metal")
    lines.append((not missing, "Elements", "; ".join(missing) or f"{formula}: covered by every chosen model{covered}"))
    if is_compared and (configuration.forces is not None or configuration.energy is not None):
        lines.append((True, "Reference", "the structure carries reference labels: errors will be shown"))
    st.markdown(
        "  \n".join(
            f"{':green[:material/check:]' if fine else ':orange[:material/warning:]'} **{name}** {text}"
            for fine, name, text in lines
        )
    )


def _coverage(model: LiveModel) -> str:
    """Elements of a model in a few words: by name while they are few."""
    return f"{len(model.elements)} elements" if len(model.elements) > 16 else ", ".join(model.elements)


def _limits() -> None:
    st.caption(
        f"Limits: {uploads.MAX_BYTES // 1_000_000} MB, {MAX_ATOMS} atoms, {LIMIT_SECONDS:.0f} s for a single point and "
        f"{CALCULATION_SECONDS:.0f} s for a relaxation or a scan (loading the model excluded), "
        f"{MAX_JOBS_PER_SESSION} open jobs per visitor. Files are read in a process of their own "
        "and not kept; a structure stays with its job in memory, until newer jobs need the room."
    )


# Running


def _run_button(predictor: LivePredictor, configuration: Configuration | None, asked: Asked, job: str) -> None:
    found = predictor.job(job)
    with st.container(horizontal=True):
        if st.button(
            "Predict",
            type="primary",
            icon=":material/play_arrow:",
            disabled=configuration is None or not asked.model_ids,
            key="predict",
        ):
            assert configuration is not None
            _submit(predictor, configuration, asked)
        visitor = st.session_state.get("visitor", "")
        is_mine = found is not None and found.session == visitor  # whoever opens a shared address may look at it only
        if st.button(
            "Cancel",
            disabled=found is None or not found.is_open or not is_mine,
            key="cancel",
            icon=":material/close:",
            help=None if is_mine or found is None else "The tab that asked for this job can cancel it.",
        ):
            predictor.cancel(job, visitor)


def _submit(predictor: LivePredictor, configuration: Configuration, asked: Asked) -> None:
    visitor = st.session_state.setdefault("visitor", uuid.uuid4().hex)
    try:
        job = predictor.submit(
            visitor, configuration, asked.model_ids, asked.calculation, asked.crystal,
            address=st.context.ip_address or "",
        )  # fmt: skip
    except EngineError as error:
        st.error(parts.plain(str(error)), icon=":material/error:")
        return
    st.query_params["job"] = st.session_state[LAST] = job
    st.query_params.pop("atom", None)
    st.rerun()


def _progress(predictor: LivePredictor, job: str) -> None:
    """One line per model, drawn again every second while a job is open and never otherwise."""
    found = predictor.job(job)
    if job and found is None:
        st.caption("The results of this address are no longer kept. Predict again.")
    if found is not None:
        n_open = sum(task.is_open for task in found.all_tasks)
        st.fragment(_progress_lines, run_every=POLL_SECONDS if n_open else None)(predictor, job, n_open)


def _progress_lines(predictor: LivePredictor, name: str, n_open: int) -> None:
    """The lines; the whole page runs again when a model is done, so that its result appears."""
    job = predictor.job(name)
    if job is None:
        return
    tasks, crystals = predictor.tasks(name), predictor.crystal_tasks(name)
    n_atoms = job.configuration.n_atoms
    with st.container(key="progress"):
        st.markdown("  \n".join(live_progress.lines(tasks, crystals, _labels(), job.calculation.task, n_atoms)))
    if sum(task.is_open for task in [*tasks, *crystals]) < n_open:
        st.rerun()


# Results


def _preview(configuration: Configuration | None) -> None:
    if configuration is None:
        furniture.empty("No structure", "The file could not be read; choose another one at the left.")
        return
    predicted_forces.viewer(configuration, None, "coloured by element")


def _show_results(
    predictor: LivePredictor, name: str, job: Job, kind: str, right: DeltaGenerator, slot: DeltaGenerator
) -> None:
    """What is there of a job, by what it computes."""
    done = [task for task in predictor.tasks(name) if task.state == DONE]
    if not done:
        with right:
            _preview(job.configuration)
        return
    origin = _origin(job, [task.model_id for task in done])
    _show_done(predictor, name, job, kind, right, slot, origin)
    with st.expander("The same on your own machine", icon=":material/terminal:"):
        st.code(calculation_choice.command(job.calculation, origin.models), language="bash", wrap_lines=True)


def _show_done(
    predictor: LivePredictor, name: str, job: Job, kind: str, right: DeltaGenerator, slot: DeltaGenerator,
    origin: export.Provenance,
) -> None:  # fmt: skip
    """The results of a job with a model that is done."""
    tasks, labels = predictor.tasks(name), _labels()
    with right:
        _heading(job, [task.model_id for task in tasks], labels)
    if job.calculation.task == EQUATION_OF_STATE:
        with right:
            _preview(job.configuration)
        volume_curves.show(tasks, labels, origin, slot)
        return
    if job.crystal is not None:
        crystal_beside.show(job, tasks, predictor.crystal_tasks(name), labels)
    if job.calculation.task == RELAX:
        relaxed_paths.show(job, tasks, labels, origin, right, slot)
    else:
        models = {model.model_id: model for model in _live_models()}
        predicted_forces.show(LiveResults(job.configuration, tasks), models, kind, origin, right, slot)


def _heading(job: Job, model_ids: list[str], labels: Mapping[str, str]) -> None:
    """What the results are of, since the choices beside them may have changed."""
    what = calculation_choice.LABELS[job.calculation.task]
    formula = Atoms(job.configuration.numbers).get_chemical_formula("metal")
    st.subheader("Result", anchor=False)
    by = wording.listed([labels[name] for name in model_ids])
    st.markdown(f"{what} of **{parts.plain(job.configuration.config_id)}** ({formula}) by {by}")


def _origin(job: Job, model_ids: list[str]) -> export.Provenance:
    name = job.configuration.config_id
    what = calculation_choice.LABELS[job.calculation.task].lower()
    return export.Provenance(
        "predict",
        f"Live {what} of {name}",
        tuple(model_ids),
        (name,),
        f"{job.configuration.n_atoms} atoms",
        catalog.store_info().data_version,
        subject="Structure",
    )


show()
