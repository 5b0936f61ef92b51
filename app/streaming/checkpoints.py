"""Each conversation's newest checkpoint: the state of its team at the end of a turn, and what it belongs to."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from app.errors import StoreUnavailable
from app.protocol.commands import RunOptions
from app.protocol.snapshot import MessageView
from app.runner.wire import BEGINS_AGAIN, StartRun
from app.streaming.conversation import Conversation
from app.streaming.ports import Archive
from app.streaming.taken import NO_WISHES, options_from

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A team's state.

    :param state: as the adapter has sent it; never empty.
    :param answers: the message that the run answers: where another one was said since, the state is from before it.
    :param said: the newest message that the state knows of; None: not known.
    :param options: what its caller has wished for.
    """

    team: str
    state: dict[str, Any]
    answers: str | None = None
    said: str | None = None
    options: RunOptions = NO_WISHES

    @property
    def in_the_middle(self) -> bool:
        """Whether its team can go on from here; else it begins again with what was said."""
        return self.state != BEGINS_AGAIN

    def to_json(self) -> dict[str, Any]:
        """As the store keeps it."""
        options = self.options.model_dump(exclude_unset=True)
        return {"state": self.state, "answers": self.answers, "said": self.said, "options": options}

    @classmethod
    def from_json(cls, team: str, kept: dict[str, Any]) -> Checkpoint | None:
        """None for what is none, or another version's."""
        state, answers, said = kept.get("state"), kept.get("answers"), kept.get("said")
        if not isinstance(state, dict) or not state:
            return None
        return cls(
            team,
            state,
            answers if isinstance(answers, str) else None,
            said if isinstance(said, str) else None,
            options_from(kept.get("options")),
        )


class Checkpoints:
    """Saves and finds them. Those of conversations in memory that had a run here are known without the store.

    ``refused`` counts the states that were too large to be kept.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._known: WeakKeyDictionary[Conversation, Checkpoint | None] = WeakKeyDictionary()
        self._stale: WeakKeyDictionary[Conversation, str | None] = WeakKeyDictionary()  # → the session that has read
        self.refused = 0  # what was edited since

    def begin(self, conversation: Conversation) -> None:
        """A conversation is new: the store need not be asked."""
        self._known[conversation] = None

    def save(self, conversation: Conversation, run: StartRun, state: dict[str, Any]) -> None:
        """Keep a run's state; an empty one, of a runner that found it too large, drops what was kept. Does not wait."""
        self.refused += not state
        asked, said = conversation.fold.last_user_message(), conversation.fold.last_message_id()
        checkpoint = None
        if state and self._stale.get(conversation) != run.session:
            checkpoint = Checkpoint(run.team.name, state, asked.message_id if asked else None, said, run.options)
        self._keep(conversation, run.team.name, checkpoint)

    def drop(self, conversation: Conversation) -> None:
        """What was said is no longer what the team remembers: its next turn begins with the messages."""
        self._stale[conversation] = conversation.fold.session_id
        self._keep(conversation, conversation.fold.team, None)

    def _keep(self, conversation: Conversation, team: str, checkpoint: Checkpoint | None) -> None:
        self._known[conversation] = checkpoint
        self._archive.save_checkpoint(conversation.id, team, checkpoint.to_json() if checkpoint else {})

    def find(self, conversation: Conversation, team: str) -> Checkpoint | None:
        """The newest of this team. May ask the store; where that does not answer, there is none this time."""
        if conversation in self._known:
            found = self._known[conversation]
            return found if found is not None and found.team == team else None
        try:
            kept = self._archive.checkpoint(conversation.id, team)
        except StoreUnavailable as error:
            logger.warning("the checkpoint of %s cannot be read: %s", conversation.id, error.message)
            return None
        return Checkpoint.from_json(team, kept) if kept else None

    def unfinished_business(self, conversation: Conversation, team: str) -> Checkpoint | None:
        """The state to go on from without a new word; None where what was said last came after it."""
        found, said = self.find(conversation, team), conversation.fold.last_user_message()
        return found if found is not None and said is not None and found.answers == said.message_id else None


def said_since(conversation: Conversation, checkpoint: Checkpoint) -> list[MessageView]:
    """The whole messages of which a checkpoint knows nothing: whoever goes on from it says them again."""
    if not checkpoint.in_the_middle:
        return []
    messages = conversation.read(conversation.fold.messages)
    known = next((place for place, each in enumerate(messages, 1) if each.message_id == checkpoint.said), len(messages))
    return [each for each in messages[known:] if each.state == "complete"]
