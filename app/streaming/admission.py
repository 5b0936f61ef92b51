"""What may be asked for: the words themselves, and what their owner and the server can bear."""

from __future__ import annotations

from app.errors import ContentEmpty, ContentTooLarge, Interrupted, InvalidPayload, InvalidState, LimitExceeded
from app.streaming.access import Person
from app.streaming.bounds import Bounds
from app.streaming.budgets import Budgets, Spending
from app.streaming.library import Library
from app.streaming.ports import Allowance
from app.streaming.session import StreamingSession


class Admission:
    """Refuses what cannot be taken, and changes nothing. Safe to use from several threads or greenlets.

    ``closing``: no session is taken any more; the library's lock guards it.

    :param allowance: what one person may have; None: as much as the bounds allow.
    """

    def __init__(self, bounds: Bounds, library: Library, allowance: Allowance | None) -> None:
        self.closing = False
        self._bounds = bounds
        self._library = library
        self._allowance = allowance
        self._budgets = Budgets(allowance)

    def check_content(self, content: str) -> None:
        """:raises ContentEmpty, ContentTooLarge, InvalidPayload:"""
        if not content.strip():
            raise ContentEmpty("the content is empty")
        self.check_size(content)

    def check_size(self, content: str) -> None:
        """:raises ContentTooLarge, InvalidPayload:"""
        try:
            size, limit = len(content.encode()), self._bounds.max_content_bytes
        except UnicodeEncodeError:
            raise InvalidPayload("the content is not Unicode text: it has half a surrogate pair") from None
        if size > limit:
            raise ContentTooLarge(f"the content has {size} bytes; at most {limit} are taken")

    def check_tokens(self, person: Person) -> None:
        """May wait for the store.

        :raises LimitExceeded: when they have spent what they may spend on a day.
        :raises StoreUnavailable: when nobody can say.
        """
        if self._allowance is None:
            return
        running = [session for session in self._sessions_of(person) if not session.ended]
        spent = sum(max(each.metrics.tokens_received, self._budgets.spent_by(person, each.id)) for each in running)
        self._allowance.check_tokens(person, spent, self._just_ended(person))

    def check_running(self, person: Person, latest: StreamingSession | None) -> None:
        """The library's lock is held.

        :param latest: the conversation's last session; None: it has none.
        :raises InvalidState: when that one runs.
        :raises LimitExceeded: when too many others do.
        :raises Interrupted: when the server shuts down.
        """
        if self.closing:
            raise Interrupted("the server is shutting down")
        if latest is not None and not latest.ended:
            raise InvalidState(f"the conversation is {latest.status}; with send_message a message waits for its end")
        most = self._bounds.max_running_sessions if self._allowance is None else self._allowance.most_running()
        if self._library.running() >= most:
            raise LimitExceeded(f"{most} conversations are running; try again later")
        theirs = self._allowance.most_running_of(person[1]) if self._allowance is not None else 0
        if theirs and self._library.running(person) >= theirs:
            raise LimitExceeded(f"{theirs} conversations of one person are running; stop one first")

    def most_tokens(self, session: StreamingSession) -> int | None:
        """What its run may spend of what its conversation has left; None: unlimited."""
        return self._budgets.of_conversation(session.conversation.fold.usage, session.run_request.options.max_tokens)

    def meter(self, session: StreamingSession) -> Spending | None:
        """Enter a run that is about to begin into its owner's account; see :meth:`Budgets.meter`.

        :raises StoreUnavailable: nobody can say what they have spent.
        """
        person = session.conversation.access.owned_by
        return self._budgets.meter(person, session.id, self._just_ended(person))

    def _sessions_of(self, person: Person) -> list[StreamingSession]:
        return [each for each in self._library.sessions() if each.conversation.access.owned_by == person]

    def _just_ended(self, person: Person) -> list[str]:
        return [session.conversation.id for session in self._sessions_of(person) if session.ended]
