"""A database of its own for each test, quick password hashes, and a server of public keys."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jwt
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.auth.accounts import Accounts
from app.auth.api_tokens import ApiTokens
from app.auth.attempts import Attempts
from app.auth.endings import Endings
from app.auth.passwords import Passwords
from app.auth.people import People
from app.auth.sign_ins import SignIns
from app.concurrency import AsyncMode
from app.store.database import Database

QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse battery"
MODE = AsyncMode("threading")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path / 'people.sqlite3'}", MODE)
    made.prepare()
    return made


@pytest.fixture
def people(database: Database) -> People:
    return people_in(database)


def people_in(database: Database, admins: tuple[str, ...] = ("root@example.com",)) -> People:
    """The people in a database, as another process has them."""
    endings = Endings(database, MODE)
    accounts = Accounts(database, Passwords(MODE, QUICK), admins)
    return People(
        accounts=accounts,
        sign_ins=SignIns(database, accounts, endings, hours=1),
        tokens=ApiTokens(database, accounts, endings, MODE),
        endings=endings,
        attempts=Attempts(10, "too many attempts"),
    )


class Issuer:
    """An issuer of tokens: a private key for each algorithm, and the public ones as JWKS over HTTP."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {}
        self.document: bytes | None = None
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = issuer.document
                self.send_response(200 if body is not None else 503)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/.well-known/jwks.json"

    def publish(self, *kids: str) -> None:
        """Make the keys that are missing (`rsa…` or `ec…`), and publish these and no others."""
        entries = []
        for kid in kids:
            if kid not in self.private:
                made = (
                    rsa.generate_private_key(65537, 2048)
                    if kid.startswith("rsa")
                    else ec.generate_private_key(ec.SECP256R1())
                )
                self.private[kid] = made
            algorithm = jwt.algorithms.RSAAlgorithm if kid.startswith("rsa") else jwt.algorithms.ECAlgorithm
            public = algorithm.to_jwk(self.private[kid].public_key(), as_dict=True)
            entries.append({**public, "kid": kid, "use": "sig"})
        self.document = json.dumps({"keys": entries}).encode()

    def token(self, claims: dict[str, Any], kid: str, **header: Any) -> str:
        """Sign with the private key of an id."""
        algorithm = "RS256" if kid.startswith("rsa") else "ES256"
        return jwt.encode(claims, self.private[kid], algorithm, headers={"kid": kid, **header})


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        running.publish("rsa1", "ec1")
        yield running
