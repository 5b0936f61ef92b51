"""An issuer of tokens, whose public keys lie at an address of loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa


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
