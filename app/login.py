"""Who may see the pages: everyone, or, where `.streamlit/secrets.toml` has a section `auth`, those who have logged in.

The section is Streamlit's own for a provider of OpenID Connect (Keycloak, GitLab, Microsoft, Google; `docs/threats.md`
has an example), and needs the package Authlib. The API is then closed but for callers that send the token of the
section `api`, since a program cannot log in.
"""

import hmac
from typing import Any

import streamlit as st
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.errors import StreamlitSecretNotFoundError

API = "/api/"


def section(name: str) -> dict[str, Any]:
    """A section of the secrets; empty where there is none."""
    try:
        return dict(st.secrets.get(name, {}))
    except StreamlitSecretNotFoundError:
        return {}


def ask() -> None:
    """Go on where the visitor may see pages; else offer the login and end the run."""
    if not section("auth") or getattr(st.user, "is_logged_in", False):  # a stranger may have no such attribute
        return
    st.title("Defect Atlas", anchor=False)
    st.write("This server shows its pages to people who have logged in.")
    st.button("Log in", type="primary", icon=":material/login:", on_click=st.login)
    st.stop()


class ClosedInterface:
    """Refuses requests to the API without its token, where visitors must log in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 401."""
        if scope["type"] == "http" and str(scope["path"]).startswith(API) and section("auth"):
            token = str(section("api").get("token", ""))
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not token or not hmac.compare_digest(given, f"Bearer {token}".encode()):
                detail = "This server asks for a login. Send the token of its secrets: Authorization: Bearer TOKEN"
                await JSONResponse({"detail": detail}, 401)(scope, receive, send)
                return
        await self._app(scope, receive, send)
