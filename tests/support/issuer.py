"""An issuer of tokens, whose public keys lie at an address of loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.support.stand_in import Quiet, StandIn


class Issuer(StandIn):
    """An issuer of tokens: a private key for each algorithm, and the public ones as JWKS over HTTP."""

    def __init__(self) -> None:
        self.private: dict[str, Any] = {}
        self.document: bytes | None = None
        self.asked = 0
        issuer = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = issuer.document
                self.send_response(200 if body is not None else 503)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

        super().__init__(Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/.well-known/jwks.json"

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
