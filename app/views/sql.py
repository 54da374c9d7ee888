"""SQL: one's own question to the store, its tables and columns, and all of it to take home."""

import io

import pandas as pd
import streamlit as st

from app import furniture, selection, tables
from engine.errors import EngineError
from engine.queries import catalog, store_tables
from engine.store.visitor_queries import MAX_ROWS, MAX_SECONDS, Answer, ask

EXAMPLES = {
    "Best models for a kind of structure": """\
select m.label, d.group_name, d.n_force as n, d.force_rmse_mev_per_ang, d.force_rmse_mev_per_ang_lo,
       d.force_rmse_mev_per_ang_hi
from dataset_metrics d join models m using (model_id)
where d.dataset_id = 'w-g' and d.group_name = 'gb' and d.alignment = 'raw'
order by d.force_rmse_mev_per_ang""",
    "Worst configurations of a model": """\
select dataset_id, config_id, group_name, n_atoms, 1000 * force_max_error as largest_force_error_mev_per_ang
from errors where model_id = 'chgnet-0.3.0'
order by force_max_error desc limit 20""",
    "Largest errors of defect energies": """\
select model_id, reaction_id, kind, reference, prediction, error, unit
from reaction_errors where is_converged order by abs(error_mev) desc limit 50""",
    "Cost of models": """\
select model_id, hardware, n_atoms, us_per_atom_step from costs order by us_per_atom_step""",
}

API = "api/v1"
"""Where the server has the HTTP API, below the address of the pages."""


def show() -> None:
    """A box for one statement, its answer, the schema, and downloads."""
    furniture.header("SQL", "Ask the results store yourself, or take it home.")
    furniture.say_unheeded(selection.selection().scope)
    left, right = st.columns([3, 2], gap="large")
    with left:
        statement = _statement()
        st.caption(
            f"One SELECT in DuckDB's SQL; at most {MAX_ROWS:,} rows and {MAX_SECONDS:g} s. Nothing can be changed. "
            'The same on the command line: `python -m precompute sql "select ..."`.'
        )
    with right:
        _schema()
    _answer(statement)
    _downloads()


def _statement() -> str:
    """The statement to answer: that of the address or of an example, as it was changed."""
    st.selectbox(
        "Start from an example", list(EXAMPLES), key="sql_example", index=None, on_change=_take_example,
        placeholder="choose a question",
    )  # fmt: skip
    if "sql" not in st.session_state:
        st.session_state["sql"] = st.query_params.get("sql", next(iter(EXAMPLES.values())))
    with st.form("ask", border=False):
        statement = st.text_area("Statement", key="sql", height=190, max_chars=20_000)
        if st.form_submit_button("Answer", icon=":material/play_arrow:"):
            st.query_params["sql"] = statement
    return statement


def _take_example() -> None:
    if chosen := st.session_state["sql_example"]:
        st.session_state["sql"] = EXAMPLES[chosen]


def _answer(statement: str) -> None:
    try:
        with st.spinner("Asking the store"):
            found = _asked(statement, catalog.store_info().data_version)
    except EngineError as error:
        st.error(str(error), icon=":material/error:")
        return
    more = f"the first {MAX_ROWS:,} rows; there are more" if found.is_cut else f"{len(found.table):,} rows"
    st.caption(f"{more}, {found.seconds:.1f} s")
    st.dataframe(found.table, hide_index=True, key="answer")
    with st.container(horizontal=True):
        st.download_button("CSV", found.table.to_csv(index=False), "answer.csv", "text/csv", disabled=found.table.empty)
        st.download_button(
            "Parquet", _parquet(found.table), "answer.parquet", "application/vnd.apache.parquet",
            disabled=found.table.empty,
        )  # fmt: skip


@st.cache_data(max_entries=32, show_spinner=False)
def _asked(statement: str, _data_version: str) -> Answer:
    """Kept, so that a click on a download asks nothing anew."""
    return ask(statement)


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def _schema() -> None:
    """Tables with their rows and columns."""
    found = store_tables.columns()
    chosen = st.selectbox("Tables of the store", found["table_name"].unique().tolist(), key="sql_table")
    part = found[found["table_name"] == chosen]
    st.caption(f"{int(part['n_rows'].iloc[0]):,} rows")
    tables.table_view(part[["column_name", "data_type"]], key="columns")


def _downloads() -> None:
    st.subheader("Take it home", anchor=False)
    st.markdown(
        f"The whole store is one DuckDB file: [defect-atlas.duckdb]({API}/store.duckdb). Its tables, as Parquet: "
        + ", ".join(f"[{name}]({API}/tables/{name}.parquet)" for name in store_tables.names())
        + f". [The HTTP API]({API}/openapi.json) has models, metrics and predictions too."
    )


show()
