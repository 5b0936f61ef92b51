"""Provider keys at rest."""

from __future__ import annotations

import pytest

from app.operation.keys import KeyBox, KeyUnreadable, hint_of

SECRET, OTHER = "one signing key", "another signing key"


def test_a_key_comes_back_and_does_not_stand_in_what_is_stored() -> None:
    """Encrypted, and differently each time."""
    box = KeyBox(SECRET)
    cipher = box.close("prv_1", "sk-planted")
    assert box.open("prv_1", cipher) == "sk-planted"
    assert b"planted" not in cipher
    assert cipher != box.close("prv_1", "sk-planted")


def test_another_secret_cannot_read_it() -> None:
    """Nor one whose first secret is another; a further secret that is the old one can."""
    cipher = KeyBox(SECRET).close("prv_1", "sk-planted")
    with pytest.raises(KeyUnreadable):
        KeyBox(OTHER).open("prv_1", cipher)
    assert KeyBox(OTHER, SECRET).open("prv_1", cipher) == "sk-planted"


@pytest.mark.parametrize("cipher", [b"", b"nonsense", b"\xff\x00"])
def test_what_is_no_cipher_cannot_be_read(cipher: bytes) -> None:
    """It is an unreadable key, not a crash."""
    with pytest.raises(KeyUnreadable):
        KeyBox(SECRET).open("prv_1", cipher)


def test_a_key_belongs_to_its_provider() -> None:
    """Moved to the row of another one, who sends it elsewhere, it is of no use."""
    box = KeyBox(SECRET)
    with pytest.raises(KeyUnreadable):
        box.open("prv_2", box.close("prv_1", "sk-planted"))


@pytest.mark.parametrize(("key", "hint"), [("123456789012", None), ("1234567890123", "0123"), ("", None)])
def test_only_long_keys_have_a_hint(key: str, hint: str | None) -> None:
    """Four characters of a short key would be much of it."""
    assert hint_of(key) == hint
