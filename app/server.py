"""The server: the pages of `main.py` and the HTTP API behind one port.

Run it with `python -m streamlit run app/server.py`.
"""

import gc
import sys
from pathlib import Path

# Until `operations.warm_start`: what is imported stays, and to look through it for garbage takes 9 % of the imports.
if gc.isenabled():
    gc.disable()

# `streamlit run` puts only this folder on the import path; `python -m streamlit run` adds the root itself.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Mount

from app import logs, operations
from app.api import make_api
from app.delivery import Delivery
from app.main import PAGES
from engine.data_folder import DataFolder

logs.configure()
app = st.App(
    str(Path(__file__).with_name("main.py")),
    routes=[*operations.ROUTES, Mount("/api/v1", app=make_api())],
    middleware=[
        Middleware(logs.RequestLog),
        *operations.MIDDLEWARE,
        Middleware(
            Delivery,
            folder=DataFolder.default().compressed,
            titles={entry.url_path: entry.title for entry in PAGES},
            with_charts=frozenset(entry.url_path for entry in PAGES if entry.has_charts),
        ),
    ],
    lifespan=operations.warm_start,
)
