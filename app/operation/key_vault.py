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
    return f"the secret {name} cannot be fetched from the Key Vault ({type(error).__name__})"


def fetch_from_azure(url: str, name: str) -> str:
    """The current value, as whom the environment says (azure-identity's DefaultAzureCredential).

    :raises KeyUnavailable: when the libraries are missing, or the secret is empty.
    """
    try:
        from azure.identity import DefaultAzureCredential
        from azure.keyvault.secrets import SecretClient
    except ImportError:
        raise KeyUnavailable(
            "the Key Vault needs two more packages: pip install azure-identity azure-keyvault-secrets"
        ) from None
    with DefaultAzureCredential() as credential, SecretClient(url, credential) as client:
        value: str | None = client.get_secret(name).value
    if value is None:
        raise KeyUnavailable(f"the secret {name} in the Key Vault is empty")
    return value
