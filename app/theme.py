"""The browser's theme: charts are drawn on the server, so the page runs again when the theme changes.

Streamlit tells the server the theme with each run of a page, and starts none when the visitor or the system changes
between light and dark (streamlit/streamlit#11920). Without this, charts stay light on a dark page until the next click.
"""

import streamlit as st

from app.figures import base

_WATCH_MS = 700

# Streamlit writes white on the primary colour, which is a light one on a dark page.
_STYLE = """
<style>
.stMultiSelect [data-tag], .stMultiSelect [data-tag] *,
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"] * { color: light-dark(#ffffff, #0f1418); }
</style>
"""

_component = st.components.v2.component(
    "theme-watch",
    js=f"""
    export default function ({{ parentElement, setTriggerValue }}) {{
      const host = parentElement.host ?? parentElement;
      if (host.watched) return;
      const colour = () => getComputedStyle(host).getPropertyValue("--st-background-color");
      let known = colour();
      host.watched = setInterval(() => {{
        if (colour() === known) return;
        known = colour();
        setTriggerValue("changed", known);
      }}, {_WATCH_MS});
      return () => {{ clearInterval(host.watched); host.watched = null; }};
    }}
    """,
)


def watch() -> None:
    """Run the page again when the theme of the browser changes, and write legibly on the primary colour."""
    st.html(_STYLE)
    _component(key="theme-watch", height=1, on_changed_change=lambda: None)


def ink() -> base.Ink:
    """Colours of the theme that the browser shows now."""
    return base.ink_of(st.context.theme.type)
