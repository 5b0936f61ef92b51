"""Nobody gets a hold of a conversation without having been asked who they are."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from app.auth.entrance import Entrance
from app.auth.identity import Principal
from app.auth.permissions import Action
from app.errors import ConversationUnknown, NotPermitted, StoreUnavailable
from app.streaming.access import Access, Role

ANNA, BERT, MALLORY = (Principal(name, "user") for name in ("anna", "bert", "mallory"))


@dataclass
class Talk:
    """A conversation in memory."""

    access: Access


@dataclass
class House:
    """Conversations in memory, and others in the store; both note who asks."""

    memory: dict[str, Talk] = field(default_factory=dict)
    stored: dict[str, Access] = field(default_factory=dict)
    brought: list[str] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    down: bool = False

    def in_memory(self, conversation_id: str) -> Talk | None:
        return self.memory.get(conversation_id)

    def get(self, conversation_id: str) -> Talk:
        if conversation_id not in self.memory:
            if conversation_id not in self.stored:
                raise ConversationUnknown("there is no such conversation")
            self.brought.append(conversation_id)
            self.memory[conversation_id] = Talk(self.stored[conversation_id])
        return self.memory[conversation_id]

    def access_of(self, conversation_id: str) -> Access | None:
        if self.down:
            raise StoreUnavailable("the database does not answer")
        self.looked.append(conversation_id)
        return self.stored.get(conversation_id)


@pytest.fixture
def house() -> House:
    access = Access("anna", None, {"bert": Role.VIEWER})
    return House(memory={"open": Talk(access)}, stored={"open": access, "shelved": access})


def entrance(house: House) -> Entrance[Talk]:
    return Entrance(house, house)  # type: ignore[arg-type]  # it is asked for access_of alone


def test_a_stranger_brings_nothing_into_memory_and_learns_nothing_from_what_it_costs(house: House) -> None:
    """In memory, in the store, nowhere: one look into the store each, and the same words."""
    told = set()
    for conversation_id in ("open", "shelved", "nowhere"):
        with pytest.raises(ConversationUnknown) as refused:
            entrance(house).find(MALLORY, Action.WATCH, conversation_id)
        told.add(refused.value.message)
    assert len(told) == 1
    assert house.looked == ["open", "shelved", "nowhere"]
    assert house.brought == []


def test_who_may_is_let_in_and_what_is_open_costs_no_look(house: House) -> None:
    """The owner from the store; a viewer, who may not steer."""
    assert entrance(house).find(BERT, Action.WATCH, "open") is house.memory["open"]
    assert house.looked == []
    with pytest.raises(NotPermitted):
        entrance(house).find(BERT, Action.STEER, "shelved")
    assert house.brought == [], "a refusal brings nothing in either"
    entrance(house).find(ANNA, Action.MANAGE, "shelved")
    assert house.brought == ["shelved"]


def test_without_the_store_nobody_learns_more(house: House) -> None:
    """Who is in, goes on; strangers are told of the outage, whatever they ask for."""
    house.down = True
    assert entrance(house).find(ANNA, Action.STEER, "open")
    for conversation_id in ("open", "shelved", "nowhere"):
        with pytest.raises(StoreUnavailable):
            entrance(house).find(MALLORY, Action.WATCH, conversation_id)
