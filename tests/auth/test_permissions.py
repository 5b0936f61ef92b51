"""The one gate."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from app.auth.identity import LOCAL, Principal
from app.auth.permissions import Action, authorise
from app.errors import ColloquyError, ConversationUnknown, NotPermitted


@dataclass
class Owned:
    """Stands in for a conversation."""

    owner: str


@pytest.mark.parametrize("action", Action)
def test_the_local_user_may_do_everything_with_what_is_its_own(action: Action) -> None:
    """Until people exist."""
    authorise(LOCAL, action)
    authorise(LOCAL, action, Owned("local"))


@pytest.mark.parametrize("action", Action)
def test_somebody_elses_conversation_does_not_exist(action: Action) -> None:
    """The same answer as for an unknown id, to the letter."""
    with pytest.raises(ConversationUnknown) as caught:
        authorise(LOCAL, action, Owned("somebody"))
    assert caught.value.to_payload() == ConversationUnknown("there is no such conversation").to_payload()


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("owner", [None, "local", "mallory", ""])
def test_unknown_principals_may_do_nothing(action: Action, owner: str | None) -> None:
    """Not even with what they are said to own."""
    with pytest.raises(ColloquyError) as caught:
        authorise(Principal("mallory"), action, None if owner is None else Owned(owner))
    assert isinstance(caught.value, NotPermitted)
