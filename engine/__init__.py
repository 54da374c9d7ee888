"""What things are and how they are computed; no Streamlit, no potential."""
