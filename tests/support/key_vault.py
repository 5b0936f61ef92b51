"""An Azure Key Vault on loopback, over TLS, and the identity that Azure gives a server: as Microsoft documents both.

Azure's own libraries are the clients. The vault answers who brings no token with a challenge; the identity is that of
an App Service (IDENTITY_ENDPOINT, IDENTITY_HEADER), which azure-identity asks before it looks for others.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.stand_in import Quiet, StandIn

_TOKEN = "the-access-token"
_TENANT = "11111111-2222-3333-4444-555555555555"


class KeyVaultServer(StandIn):
    """A vault with secrets by name. A context manager.

    :param folder: where its certificate is put, ``certificate``.
    :ivar secrets: name → value; None: it is disabled.
    :ivar asked: the names that were asked for with a good token.
    """

    def __init__(self, folder: Path) -> None:
        self.secrets: dict[str, str | None] = {}
        self.asked: list[str] = []
        self.identity = "the-identity-header"
        self.certificate = folder / "vault.pem"
        self.certificate.write_bytes(_certificate())
        vault = self

        class Handler(Quiet, BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = parse_qs(parts.query)
                if parts.path == "/identity" and self.headers.get("X-IDENTITY-HEADER") == vault.identity:
                    self.say(200, {"access_token": _TOKEN, "expires_on": "4102444800"})
                elif parts.path.startswith("/secrets/") and "api-version" in query:
                    self.tell(parts.path.split("/")[2])
                else:
                    self.say(400, {"error": {"code": "BadParameter", "message": "planted"}})

            def tell(self, name: str) -> None:
                if self.headers.get("Authorization") != f"Bearer {_TOKEN}":
                    authority = f'authorization="{vault.url}/{_TENANT}", resource="{vault.resource}"'
                    refusal = {"error": {"code": "Unauthorized", "message": "AKV10000"}}
                    return self.say(401, refusal, ("WWW-Authenticate", f"Bearer {authority}"))
                vault.asked.append(name)
                if name not in vault.secrets:
                    return self.say(404, {"error": {"code": "SecretNotFound", "message": f"planted {name}"}})
                value = vault.secrets[name]
                if value is None:
                    return self.say(403, {"error": {"code": "Forbidden", "message": "planted: disabled"}})
                return self.say(200, {"value": value, "id": f"{vault.url}/secrets/{name}/0", "attributes": {}})

            def say(self, status: int, body: dict[str, Any], *headers: tuple[str, str]) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(raw)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(raw)

        super().__init__(Handler, self.certificate)

    @property
    def url(self) -> str:
        """AZURE_KEY_VAULT_URL."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def resource(self) -> str:
        """Azure's client insists that the vault's address ends like this, as NAME.vault.azure.net does."""
        return f"https://0.0.1:{self.port}"

    def env(self) -> dict[str, str | None]:
        """The environment of a server that is let in."""
        own = {"AZURE_KEY_VAULT_URL": self.url, "REQUESTS_CA_BUNDLE": str(self.certificate)}
        identity = {"IDENTITY_ENDPOINT": f"{self.url}/identity", "IDENTITY_HEADER": self.identity}
        others = ("AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_TENANT_ID", "AZURE_TOKEN_CREDENTIALS")
        return {**dict.fromkeys(others), **own, **identity}


def _certificate() -> bytes:
    """A key and a certificate for 127.0.0.1 that nobody else has signed, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a vault on loopback")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + made.public_bytes(serialization.Encoding.PEM)
