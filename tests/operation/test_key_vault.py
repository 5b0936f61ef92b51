"""Keys from a Key Vault. The vault itself is an injected function: Azure's libraries are not installed here, but for
``tests/integration/test_extras.py``.
"""

from __future__ import annotations

import importlib.util
import logging

import pytest

from app.operation.key_vault import KeyUnavailable, KeyVault, secret_name
from tests.support.clock import HandClock

URL = "https://vault.example"


class FakeAzure:
    """What it answers, or raises; and what it was asked."""

    def __init__(self) -> None:
        self.answer: str | Exception = "sk-from-the-vault"
        self.asked: list[tuple[str, str]] = []

    def __call__(self, url: str, name: str) -> str:
        self.asked.append((url, name))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def azure() -> FakeAzure:
    return FakeAzure()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def vault(azure: FakeAzure, clock: HandClock) -> KeyVault:
    return KeyVault(URL, azure, clock.monotonic)


def test_a_secret_is_kept_for_some_minutes(vault: KeyVault, azure: FakeAzure, clock: HandClock) -> None:
    """Then it is asked for again: it may have been changed."""
    assert vault.get("NAME") == vault.get("NAME") == "sk-from-the-vault"
    assert azure.asked == [(URL, "NAME")]
    azure.answer = "sk-new"
    clock.now += 301
    assert vault.get("NAME") == "sk-new"


def test_who_may_not_wait_gets_what_is_remembered(vault: KeyVault, azure: FakeAzure) -> None:
    """And a sentence where nothing is."""
    with pytest.raises(KeyUnavailable, match="is being fetched"):
        vault.get("NAME", "never")
    assert not azure.asked
    vault.get("NAME")
    assert vault.get("NAME", "never") == "sk-from-the-vault"


def test_while_the_vault_fails_the_last_value_counts(vault: KeyVault, azure: FakeAzure, clock: HandClock) -> None:
    """It is asked again after half a minute, not each time. Who asks for now is told the truth."""
    vault.get("NAME")
    azure.answer = OSError("no network")
    clock.now += 301
    assert vault.get("NAME") == vault.get("NAME") == "sk-from-the-vault"
    assert len(azure.asked) == 2
    with pytest.raises(KeyUnavailable, match="OSError"):
        vault.get("NAME", "now")
    clock.now += 31
    azure.answer = "sk-new"
    assert vault.get("NAME") == "sk-new"


def test_nothing_of_what_the_library_says_is_shown(
    vault: KeyVault, azure: FakeAzure, caplog: pytest.LogCaptureFixture
) -> None:
    """Its messages carry whole answers of the service."""
    azure.answer = RuntimeError("the answer was: planted secret")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(KeyUnavailable) as failure:
        vault.get("NAME")
    assert "planted" not in str(failure.value) + caplog.text


class ServiceRequestError(Exception):
    """As azure-core's, by its name."""


class CertificateRefused(ServiceRequestError):
    """One that derives from it."""


class HttpResponseError(Exception):
    """As azure-core's: the vault has answered."""

    def __init__(self, status_code: int | None) -> None:
        self.status_code = status_code


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (HttpResponseError(404), "no secret of this name"),
        (HttpResponseError(403), "may not read it"),
        (HttpResponseError(None), r"fails \(HttpResponseError\)"),
        (CertificateRefused(), "cannot be reached .*CertificateRefused"),
        (OSError(), "OSError"),
    ],
)
def test_the_sentence_says_what_to_mend(vault: KeyVault, azure: FakeAzure, error: Exception, reason: str) -> None:
    """By what the libraries raise."""
    azure.answer = error
    with pytest.raises(KeyUnavailable, match=reason):
        vault.get("NAME")


@pytest.mark.parametrize("answer", ["", " \n", "sk-\N{SNOWMAN}"])
def test_a_secret_that_is_no_key_is_refused(vault: KeyVault, azure: FakeAzure, answer: str) -> None:
    """Empty, or with characters that no header takes."""
    azure.answer = answer
    with pytest.raises(KeyUnavailable, match="no key"):
        vault.get("NAME")


def test_without_a_vault_the_sentence_names_the_setting() -> None:
    """AZURE_KEY_VAULT_URL."""
    with pytest.raises(KeyUnavailable, match="AZURE_KEY_VAULT_URL"):
        KeyVault(None).get("NAME")


@pytest.mark.skipif(importlib.util.find_spec("azure") is not None, reason="the libraries are installed here")
def test_without_the_libraries_the_sentence_names_what_installs_them() -> None:
    """As it can be typed."""
    with pytest.raises(KeyUnavailable, match="pip install azure-identity azure-keyvault-secrets"):
        KeyVault(URL).get("NAME")


@pytest.mark.parametrize(
    ("reference", "name"),
    [("keyvault:My-Key-1", "My-Key-1"), ("keyvault:", None), ("keyvault:a/b", None), ("My-Key", None)],
)
def test_references(reference: str, name: str | None) -> None:
    """Only what Azure takes as a name: no path that leads elsewhere."""
    assert secret_name(reference) == name
