"""A login through a provider of OpenID Connect, which this file runs on the loopback address."""

import http.server
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from playwright.sync_api import Browser, expect

from tests.whole.serving import PATIENCE, free_port, serve

pytestmark = pytest.mark.browser

CLIENT = {"client_id": "atlas", "client_secret": "a secret"}
NAME = "Ada"


class Provider(http.server.ThreadingHTTPServer):
    """As much of a provider as the flow of authorization codes needs; it logs everybody in as one person."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.nonces: dict[str, str] = {}
        self.secrets: list[str] = []  # that were sent for a token

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def id_token(self, code: str) -> str:
        """Who has logged in, signed."""
        now = int(time.time())
        claims = {
            "iss": self.address,
            "sub": "1",
            "aud": CLIENT["client_id"],
            "iat": now,
            "exp": now + 600,
            "name": NAME,
        }
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims | {"nonce": self.nonces.pop(code)}, self.key)


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Provider

    def do_GET(self) -> None:
        provider, asked = self.server, urllib.parse.urlparse(self.path)
        if asked.path == "/.well-known/openid-configuration":
            self._say({
                "issuer": provider.address,
                "authorization_endpoint": f"{provider.address}/authorize",
                "token_endpoint": f"{provider.address}/token",
                "jwks_uri": f"{provider.address}/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            })  # fmt: skip
        elif asked.path == "/keys":
            self._say({"keys": [provider.key.as_dict(private=False)]})
        elif asked.path == "/authorize":
            query = dict(urllib.parse.parse_qsl(asked.query))
            code = f"code-{len(provider.nonces)}"
            provider.nonces[code] = query.get("nonce", "")
            self.send_response(302)
            words = urllib.parse.urlencode({"code": code, "state": query["state"]})
            self.send_header("Location", f"{query['redirect_uri']}?{words}")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.secrets.append(form.get("client_secret") or self.headers.get("Authorization", ""))
        token = self.server.id_token(form["code"])
        self._say({"access_token": "access", "token_type": "Bearer", "expires_in": 600, "id_token": token})

    def _say(self, answer: object) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def closed_app(provider: Provider, tmp_path: Path, store_folder: Path) -> Iterator[str]:
    port = free_port()
    secrets = tmp_path / "secrets.toml"
    secrets.write_text(
        f"""[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "{"c" * 32}"
client_id = "{CLIENT["client_id"]}"
client_secret = "{CLIENT["client_secret"]}"
server_metadata_url = "{provider.address}/.well-known/openid-configuration"
"""
    )
    with serve(store_folder, "--secrets.files", str(secrets), port=port) as address:
        yield address


def test_a_stranger_logs_in_and_sees_the_pages(closed_app: str, provider: Provider, browser: Browser):
    page = browser.new_context(base_url=closed_app).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto("/ranking")
    button = page.get_by_role("button", name="Log in")
    expect(button).to_be_visible(timeout=PATIENCE)
    assert page.locator(".js-plotly-plot").count() == 0
    button.click()
    expect(page.locator(".js-plotly-plot").first).to_be_visible(timeout=PATIENCE)
    assert page.get_by_role("button", name="Log in").count() == 0
    assert provider.secrets
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{closed_app}/api/v1/models", timeout=30)
