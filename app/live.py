"""The one predictor of a server: its queue and its warm models are shared by all visitors of the pages and the API."""

import streamlit as st

from precompute.live.predictor import LivePredictor


@st.cache_resource(show_spinner=False, on_release=lambda predictor: predictor.close())
def predictor() -> LivePredictor:
    """One queue and one set of warm models for all visitors."""
    return LivePredictor.default()
