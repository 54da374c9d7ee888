"""Claims: what the paper states, measured again on what is here; what disagrees comes first."""

import shlex
from functools import partial

import pandas as pd
import streamlit as st

from app import address, export, furniture, selection, tables
from app.sections.claim_views import view_of
from engine.queries import catalog
from engine.queries.claims import claims
from engine.registry.claims import DIFFERS, INCONSISTENCY, OWN, PAPER, REPRODUCED, UNTESTED, VERDICTS, WITHIN

ALL = "all"
ON_A_PAGE = 10
OURS = "Our own findings"
FIRST = ("Paper", "Here", "Data", "Why not")
"""Lines of a card; the others are a click away."""

MARKS = {
    DIFFERS: ":red-badge[:material/close: Differs]",
    WITHIN: ":orange-badge[:material/unfold_more: Within bounds]",
    REPRODUCED: ":green-badge[:material/check: Reproduced]",
    UNTESTED: ":gray-badge[:material/block: Cannot be tested]",
}

MEANINGS = (
    "**Reproduced**: the number measured here supports the statement. **Within bounds**: the number does not, but its "
    "95 % bounds reach values that would. **Differs**: neither number nor bounds do. **Cannot be tested**: data, "
    "weights "
    "or numbers are not here; the reason is given. A statement of several parts has the verdict of its worst part. "
    "Most "
    "data are not the paper's: each verdict names the data that stand in for them."
)


def show() -> None:
    """The paper's statements with verdicts, our own findings, and where the paper contradicts itself."""
    furniture.header(
        "Claims",
        "Statements of Shuang et al., [arXiv:2502.03578](https://arxiv.org/abs/2502.03578) (2025), in our words and "
        "with "
        "their numbers, measured again on this build. Those that disagree come first.",
    )
    furniture.say_unheeded(selection.selection().scope)
    table = claims(PAPER)
    if table.empty:
        furniture.empty("No statement was measured", "This build has none. Run: python -m precompute build")
        return
    _numbers(table)
    with st.expander("What the verdicts mean"):
        st.markdown(MEANINGS)
    shown = _chosen(table)
    if shown.empty:
        furniture.empty("No statement fits", "Choose other filters, or empty the search.")
    else:
        _page_of(shown)
    _table(shown, table)
    tables.drawers(
        [(OURS, "ours", (), _ours), ("Where the paper contradicts itself", "contradictions", (), _contradictions)]
    )


def _numbers(table: pd.DataFrame) -> None:
    """How many statements have which verdict."""
    counts = table["verdict"].value_counts()
    tested = len(table) - int(counts.get(UNTESTED, 0))
    said = [(name.capitalize(), f"{counts.get(name, 0)}", f"of {tested} tested") for name in VERDICTS[:3]]
    furniture.numbers([*said, ("Cannot be tested", f"{len(table) - tested}", f"of {len(table)} statements")])


def _chosen(table: pd.DataFrame) -> pd.DataFrame:
    """The statements that fit filters and search; the filters are in the address."""
    with furniture.controls():
        verdict = _filter("Verdict", [name for name in VERDICTS if name in set(table["verdict"])], "verdict")
        section = _filter("Section", table.sort_values("claim_id")["section"].unique().tolist(), "section")
        figures = [name for name in table["figure"].unique() if name]
        figure = _filter("Figure or table", sorted(figures, key=lambda name: (name[0], len(name), name)), "figure")
        words = st.text_input("Search", key="find", bind="query-params", placeholder="model, dataset, word", width=220)
    for column, value in (("verdict", verdict), ("section", section), ("figure", figure)):
        table = table if value == ALL else table[table[column] == value]
    text = table[["claim_id", "text", "found", "reason", "stand_in", "data_needed"]].fillna("").agg(" ".join, axis=1)
    is_found = [all(word in one.lower() for word in words.lower().split()) for one in text] if len(table) else []
    return table[pd.Series(is_found, index=table.index, dtype=bool)]


def _filter(label: str, options: list[str], key: str) -> str:
    """A choice of one value or all."""
    address.heed(key, [ALL, *options])
    return st.selectbox(label, [ALL, *options], key=key, bind="query-params", width=170)


def _page_of(shown: pd.DataFrame) -> None:
    """Some statements as text, since a table would cut them; the others are a click away."""
    n_pages = -(-len(shown) // ON_A_PAGE)
    page = 1
    if n_pages > 1:
        key = f"page-{n_pages}"
        address.heed(key, map(str, range(1, n_pages + 1)))
        page = st.segmented_control(
            f"{len(shown)} statements", range(1, n_pages + 1), default=1, required=True, key=key, bind="query-params"
        )
    for _, claim in shown.iloc[(page - 1) * ON_A_PAGE : page * ON_A_PAGE].iterrows():
        _card(claim)


def _card(claim: pd.Series) -> None:
    """One statement: what the paper has, what is here, on which data, where to see it and how to repeat it."""
    place = ", ".join(filter(None, [f"section {claim['section']}", str(claim["figure"] or "").lower()]))
    with st.container(border=True):
        st.markdown(f"{MARKS[claim['verdict']]} **{claim['text']}**")
        lines = _lines(claim)
        st.markdown("  \n".join(line for name, line in lines if name in FIRST))
        st.caption(f"{claim['claim_id']} · {place}" if claim["paper_text"] is not None else str(claim["claim_id"]))
        with st.container(horizontal=True, vertical_alignment="center"):
            view = view_of(claim)
            st.page_link(
                view.page,
                label=view.label,
                icon=":material/open_in_new:",
                query_params=view.parameters,
                width="content",
            )
            if more := [line for name, line in lines if name not in FIRST]:
                with st.popover(
                    "More", icon=":material/notes:", type="tertiary", help="The test, why it ended so, notes"
                ):
                    st.markdown("  \n".join(more))
            if claim["verdict"] == UNTESTED:
                return
            with st.popover("Repeat", icon=":material/terminal:", type="tertiary"):
                _commands(claim)


def _lines(claim: pd.Series) -> list[tuple[str, str]]:
    """What is known of a statement: name and text of each line."""
    is_counted = not pd.isna(claim["n"]) and claim["kind"] != "registry"
    n = f" (n = {claim['n']:,.0f} {claim['n_what']})" if is_counted else ""
    allowed = claim["allowed"] if claim["allowed"] != claim["paper_text"] else ""
    lines = [
        ("Paper", claim["paper_text"]),
        ("Here", f"{claim['found']}{n}" if claim["found"] else ""),
        ("Borne out by", allowed),
        ("Data", claim["stand_in"]),
        ("Why so", claim["why"]),
        ("Note" if claim["found"] else "Why not", claim["reason"]),
        ("It would need", "" if claim["found"] else claim["data_needed"]),
    ]
    return [(name, f"**{name}:** {_plain(str(text))}") for name, text in lines if text and not pd.isna(text)]


def _plain(text: str) -> str:
    """Text without Markdown's dollars and tildes."""
    return text.replace("$", r"\$").replace("~", r"\~")


def _commands(claim: pd.Series) -> None:
    """Commands that give the numbers again."""
    if not len(claim["commands"]):
        st.markdown("Two places of text were compared; there is nothing to compute.")
    for sql in claim["commands"]:
        st.code(f"python -m precompute sql {shlex.quote(sql)}", language="bash", wrap_lines=True)


def _table(shown: pd.DataFrame, table: pd.DataFrame) -> None:
    """The statements as a table and a file."""
    version = catalog.store_info().data_version
    columns = ["claim_id", "verdict", "section", "figure", "text", "paper_text", "found", "stand_in", "reason"]
    heads = {
        "claim_id": st.column_config.TextColumn("Id", pinned=True),
        "verdict": "Verdict",
        "section": "Section",
        "figure": "Figure or table",
        "text": st.column_config.TextColumn("Statement", width="large"),
        "paper_text": "Paper",
        "found": st.column_config.TextColumn("Here", width="large"),
        "stand_in": "Data",
        "reason": "Note",
    }
    tables.view_data(shown[columns], "claims", heads, label="View as a table")
    export.download("All statements (CSV)", partial(_csv, table), f"claims_{version}.csv", width="content")


def _csv(table: pd.DataFrame) -> bytes:
    return str(table.to_csv(index=False)).encode()


def _ours() -> None:
    """Our own findings, which the paper does not have."""
    st.caption("These are not in the paper. They are measured in the same way and can fail in the same way.")
    for _, claim in claims(OWN).iterrows():
        _card(claim.where(claim.index != "paper_text", None))


def _contradictions() -> None:
    """Where the paper contradicts itself or what it cites."""
    for claim in claims(INCONSISTENCY).itertuples():
        st.markdown(f"- {claim.text} :gray[Section {claim.section}. {claim.found}]")


show()
