"""Provider keys that lie in an Azure Key Vault, as an option: `keyvault:NAME` stands where a key would.

The libraries (the extra `azure` of `setup.cfg`) are imported when the first secret is fetched, and not before. They use
sockets and sleeps of the standard library, so in the greenlet modes a fetch lets others run by itself; it must not run
in a native thread, since they log.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Literal

logger = logging.getLogger(__name__)

PREFIX = "keyvault:"
_NAME = re.compile(r"[0-9A-Za-z-]{1,127}")  # what Azure takes as the name of a secret
_FRESH_S = 300.0
_AGAIN_AFTER_S = 30.0
_BOUNDS = {"connection_timeout": 4, "read_timeout": 4, "retry_total": 0}
"""For Azure's libraries, which would wait 300 s, four times: who waits here asks again by itself."""
_REASONS = {
    401: "it takes none of the identities that this server has; the server's log says which were tried",
    403: "whom it takes this server for may not read it, or it is disabled",
    404: "there is no secret of this name",
    429: "it was asked too often",
    "ClientAuthenticationError": "this server has no identity for it; the server's log says which were tried",
    "ServiceRequestError": "it cannot be reached by https at AZURE_KEY_VAULT_URL",
    "ServiceResponseTimeoutError": "it does not answer",
}
"""What Azure's errors mean, by their HTTP status, or their kind or one that it derives from."""

Ask = Literal["never", "due", "now"]
Fetch = Callable[[str, str], str]
"""From (the vault's address, a secret's name) to its value. Raises whatever it likes."""


class KeyUnavailable(Exception):
    """A secret cannot be had. The message is a sentence for administrators, without anything of the secret."""


def secret_name(reference: str) -> str | None:
    """The name in `keyvault:NAME`; None where it is none."""
    name = reference.removeprefix(PREFIX)
    return name if reference.startswith(PREFIX) and _NAME.fullmatch(name) else None


class KeyVault:
    """Secrets by name, kept for some minutes. While the vault does not answer, what was fetched last still counts.

    Safe to use from several greenlets or threads: at worst, a secret is fetched twice.

    :param url: AZURE_KEY_VAULT_URL; None: there is no vault.
    """

    def __init__(
        self, url: str | None, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.url = url
        self._fetch = fetch or fetch_from_azure
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}  # name → (asked again when, value)
        self._failed: dict[str, tuple[float, str]] = {}  # name → (asked again when, why not)

    def get(self, name: str, ask: Ask = "due") -> str:
        """A secret's value. May wait for the network.

        :param ask: ``never``: only what is remembered; ``due``: when it was fetched some minutes ago; ``now``: anew.
        :raises KeyUnavailable:
        """
        if self.url is None:
            raise KeyUnavailable("its key lies in a Key Vault, and AZURE_KEY_VAULT_URL is not set")
        now = self._clock()
        kept, failed = self._kept.get(name), self._failed.get(name)
        last = failed or kept
        if ask == "never" or (ask == "due" and last is not None and now < last[0]):
            if kept is not None:
                return kept[1]
            raise KeyUnavailable(failed[1] if failed else "its key is being fetched from the Key Vault")
        try:
            value = self._fetch(self.url, name).strip()
            if not value or not value.isascii():
                raise KeyUnavailable(f"the secret {name} in the Key Vault is no key")
        except Exception as error:  # noqa: BLE001  # whatever the libraries raise: the vault does not give it
            why = str(error) if isinstance(error, KeyUnavailable) else _why(name, error)
            self._failed[name] = (self._clock() + _AGAIN_AFTER_S, why)
            logger.warning("%s", why)
            if kept is not None and ask != "now":
                return kept[1]
            raise KeyUnavailable(why) from None
        self._kept[name] = (self._clock() + _FRESH_S, value)
        self._failed.pop(name, None)
        return value


def _why(name: str, error: Exception) -> str:
    """Only the kind of what went wrong: the libraries' messages carry whole answers."""
    kinds = [each.__name__ for each in type(error).__mro__]
    reasons = (_REASONS.get(each) for each in (getattr(error, "status_code", None), *kinds))
    reason = next((each for each in reasons if each), "it fails")
    return f"the secret {name} cannot be fetched from the Key Vault: {reason} ({kinds[0]})"


def fetch_from_azure(url: str, name: str) -> str:
    """The current value, as whom the environment says (azure-identity's DefaultAzureCredential). Takes some seconds.

    :raises KeyUnavailable: when the libraries are missing, or the secret is empty.
    """
    try:
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.secrets import SecretClient
    except ImportError:
        raise KeyUnavailable(
            "the Key Vault needs two more packages: pip install azure-identity azure-keyvault-secrets"
        ) from None
    with (
        DefaultAzureCredential(process_timeout=4, **_BOUNDS) as credential,
        SecretClient(url, credential, **_BOUNDS) as client,
    ):
        value: str | None = client.get_secret(name).value
    if value is None:
        raise KeyUnavailable(f"the secret {name} in the Key Vault is empty")
    return value
