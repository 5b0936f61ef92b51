"""The way to a conversation: nobody gets a hold of one without having been asked who they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from app.auth.identity import Principal
from app.auth.permissions import Action, Guarded, authorise
from app.auth.shares import Shares
from app.errors import ConversationUnknown
from app.streaming.access import Access

Found = TypeVar("Found", bound=Guarded, covariant=True)


class Conversations(Protocol[Found]):
    """What there is: what it takes of :class:`app.streaming.manager.StreamingManager`."""

    def get(self, conversation_id: str) -> Found: ...

    def in_memory(self, conversation_id: str) -> Found | None: ...


@dataclass(frozen=True, slots=True)
class _Stored:
    access: Access


class Entrance(Generic[Found]):
    """Asks before a conversation is brought from the store: a stranger who tries ids moves nothing into memory.

    What they can measure is the same, too: every refusal costs one look into the store, whether there is a
    conversation of that id in memory, only in the store, or nowhere.
    """

    def __init__(self, conversations: Conversations[Found], shares: Shares) -> None:
        self._conversations = conversations
        self._shares = shares

    def find(self, principal: Principal, action: Action, conversation_id: str) -> Found:
        """A conversation, if the action is for them. May wait for the database.

        :raises ConversationUnknown: there is none, or they are no part of it.
        :raises NotPermitted, Unauthenticated, StoreUnavailable, LimitExceeded:
        """
        known = self._conversations.in_memory(conversation_id)
        if known is None:
            access = self._shares.access_of(conversation_id)
            authorise(principal, action, _Stored(access) if access is not None else None)
        try:
            found = self._conversations.get(conversation_id)
            authorise(principal, action, found)
        except ConversationUnknown:
            if known is not None:
                self._shares.access_of(conversation_id)
            raise
        return found
