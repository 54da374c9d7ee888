"""Pages and API of a server whose secrets ask for a login; without such secrets all is open."""

from pathlib import Path

import pytest
import streamlit as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest

from app import login

MAIN = str(Path(__file__).parents[2] / "app" / "main.py")
PROVIDER = {
    "redirect_uri": "http://localhost:8501/oauth2callback", "cookie_secret": "x" * 32, "client_id": "atlas",
    "client_secret": "y", "server_metadata_url": "http://127.0.0.1:1/.well-known/openid-configuration",
}  # fmt: skip


def test_without_secrets_pages_are_open(store):
    at = AppTest.from_file(MAIN, default_timeout=60).run()
    assert not at.exception
    assert "Log in" not in [button.label for button in at.button]
    assert len(at.main) > 1


def test_with_a_provider_a_stranger_sees_the_login_and_nothing_else(store):
    at = AppTest.from_file(MAIN, default_timeout=60)
    at.secrets["auth"] = PROVIDER
    at.run()
    assert not at.exception
    assert [button.label for button in at.button] == ["Log in"]
    assert not at.dataframe
    assert not at.sidebar.children


@pytest.fixture
def client():
    routes = [Route("/api/v1/models", lambda request: PlainTextResponse("models")),
              Route("/healthz", lambda request: PlainTextResponse("ok"))]  # fmt: skip
    with TestClient(Starlette(routes=routes, middleware=[Middleware(login.ClosedInterface)])) as made:
        yield made


@pytest.mark.parametrize(
    ("secrets", "headers", "status"),
    [
        ({}, {}, 200),
        ({"auth": PROVIDER}, {}, 401),
        ({"auth": PROVIDER}, {"Authorization": "Bearer "}, 401),  # no token is set, so none is right
        ({"auth": PROVIDER, "api": {"token": "t0ken"}}, {"Authorization": "Bearer other"}, 401),
        ({"auth": PROVIDER, "api": {"token": "t0ken"}}, {"Authorization": "Bearer t0ken"}, 200),
    ],
    ids=["open", "closed", "empty token", "wrong token", "right token"],
)
def test_the_api_is_closed_with_the_pages_but_for_its_token(client, monkeypatch, secrets, headers, status):
    monkeypatch.setattr(st, "secrets", secrets)
    assert client.get("/api/v1/models", headers=headers).status_code == status
    assert client.get("/healthz").status_code == 200
