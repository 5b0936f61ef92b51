"""Changes that people make to conversations: a title, a message, an opinion, and their deletion."""

from __future__ import annotations

import logging
from collections.abc import Callable

from app.errors import ConversationUnknown, InvalidPayload, InvalidState, MessageUnknown, StoreUnavailable
from app.protocol.events import ConversationDeleted, ConversationUpdated, MessageUpdated
from app.protocol.snapshot import MessageView
from app.streaming.checkpoints import Checkpoints
from app.streaming.conversation import Conversation
from app.streaming.library import Library
from app.streaming.ports import Archive, Clock, Rating

logger = logging.getLogger(__name__)

_MAX_TITLE = 200

Deleted = Callable[[str], None]


class Editing:
    """What everybody who watches hears of at once, and the store keeps. Safe to use from several threads or greenlets.

    :param check_content: refuses what no message may be.
    """

    def __init__(
        self,
        library: Library,
        checkpoints: Checkpoints,
        archive: Archive,
        clock: Clock,
        check_content: Callable[[str], None],
    ) -> None:
        self._library = library
        self._checkpoints = checkpoints
        self._archive = archive
        self._clock = clock
        self._check_content = check_content
        self._when_deleted: list[Deleted] = []

    def when_deleted(self, forget: Deleted) -> None:
        """Call this with the id of each conversation that was deleted: whoever remembers it forgets it."""
        self._when_deleted.append(forget)

    def rename(self, conversation: Conversation, title: str, by: str) -> str:
        """Give it another title, of one line; which it has now.

        :raises InvalidPayload: for none, or one that is too long.
        """
        line = " ".join(title.split())
        if not line or len(line) > _MAX_TITLE or not line.isprintable():
            raise InvalidPayload(f"title: one line of 1 to {_MAX_TITLE} characters is needed")
        with conversation.stay():
            conversation.append_event(ConversationUpdated(changes={"title": line}, updated_by=by))
        return line

    def edit(self, conversation: Conversation, message_id: str, content: str, by: str) -> MessageView:
        """Change what a message says; the message as it is now. The next turn reads it so, and the team's own memory,
        which has it otherwise, is dropped.

        :raises ContentEmpty, ContentTooLarge, InvalidPayload, MessageUnknown, StoreUnavailable: nothing has changed.
        :raises InvalidState: while it is still being written.
        """
        self._check_content(content)
        if "\0" in content:
            raise InvalidPayload("the content has a NUL character")
        with conversation.stay():
            view = self._finished(conversation, message_id)
            self._checkpoints.drop(conversation)
            return self._change(conversation, view, {"content": content}, by)

    def rate(self, conversation: Conversation, message_id: str, value: Rating | None, by: str) -> MessageView:
        """Keep what somebody thinks of a message; None takes it back. The message as it is now.

        :raises MessageUnknown, StoreUnavailable: nothing has changed.
        :raises InvalidState: while it is still being written.
        """
        with conversation.stay():
            view = self._finished(conversation, message_id)
            self._archive.write(conversation.id)
            self._archive.rate(conversation.id, message_id, by, value, self._clock.now_iso())
            return self._change(conversation, view, {"feedback": value}, by)

    def _finished(self, conversation: Conversation, message_id: str) -> MessageView:
        view = conversation.read(lambda: conversation.fold.message(message_id))
        if view is None and len(message_id) <= 64 and message_id.isprintable():
            view = self._archive.message(conversation.id, message_id)
        if view is None:
            raise MessageUnknown("there is no such message")
        if view.state == "open":
            raise InvalidState("the message is still being written")
        return view

    def _change(
        self, conversation: Conversation, view: MessageView, changes: dict[str, str | None], by: str
    ) -> MessageView:
        conversation.append_event(
            MessageUpdated(message_id=view.message_id, agent=view.agent, changes=changes, updated_by=by),
            demo=view.demo,
        )
        now = conversation.read(lambda: conversation.fold.message(view.message_id))
        editor = {"updated_by": by} if "content" in changes else {}
        return now or view.model_copy(update={**changes, **editor, "updated_at": conversation.fold.updated_at})

    def delete(self, conversation: Conversation) -> None:
        """Remove a conversation for good: stop its run, delete it from the store, tell who watches, and forget it.

        :raises StoreUnavailable: it is still there, and goes on; where the database left us in the middle, stopped.
        """
        self._archive.write(conversation.id)  # else it cannot be deleted either: its run is not stopped for nothing
        with self._library.lock:
            if conversation.closing:
                raise ConversationUnknown("there is no such conversation")
            conversation.closing = True  # no session begins any more
        record = None
        try:
            session = self._library.session_of(conversation.id)
            if session is not None:
                try:
                    session.stop()
                except InvalidState:  # it has ended by itself, or was never begun
                    session.abort(InvalidState("the conversation was deleted"))
            record = conversation.set_recorder(None)
            self._archive.delete(conversation.id)
        except BaseException:
            if record is not None:
                conversation.set_recorder(record)
            conversation.closing = False
            raise
        self._library.remove(conversation)
        conversation.end(ConversationDeleted(conversation_id=conversation.id))
        for forget in self._when_deleted:
            try:
                forget(conversation.id)
            except Exception:
                logger.exception("something of the deleted conversation %s is still remembered", conversation.id)

    def remove(self, conversation_id: str) -> bool:
        """Delete a conversation whose owner is gone, whether or not it runs or is watched."""
        known = self._library.known(conversation_id)
        if known is None:
            return self.expire(conversation_id)
        try:
            self.delete(known)
        except (ConversationUnknown, StoreUnavailable):
            return False
        return True

    def expire(self, conversation_id: str) -> bool:
        """Delete a conversation whose time is over, unless it runs or somebody watches it."""
        try:
            known = self._library.known(conversation_id)
            if known is not None and (known.watchers or not self._library.let_go(known)):
                return False
            self._archive.delete(conversation_id)
        except StoreUnavailable:
            return False
        for forget in self._when_deleted:
            forget(conversation_id)
        return True
