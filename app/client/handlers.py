"""Handlers by name, called one after the other in a thread of their own, so that they may block and give commands."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from app.client.errors import ClientError
from app.client.happenings import Happening, Replaced
from app.client.mailbox import Mailbox
from app.protocol.events import Event

logger = logging.getLogger(__name__)

Handler = Callable[[Happening], Any]
EventName = str | type[Event] | type[Replaced]

EVERYTHING = "*"


class Handlers:
    """Who hears what. A handler that raises is reported and harms no other.

    :param make_mailbox: makes the mailbox that is read from, once there is a handler.
    """

    def __init__(self, name: str, changed: threading.Condition, make_mailbox: Callable[[], Mailbox]) -> None:
        self._name = name
        self._changed = changed
        self._make_mailbox = make_mailbox
        self._handlers: dict[str | type, list[Handler]] = {}
        self._thread: threading.Thread | None = None

    def on(self, event: EventName, handler: Handler) -> Callable[[], None]:
        """Hear an event, by its class or its name; ``"*"`` hears everything. Returns what stops it."""
        with self._changed:
            self._handlers.setdefault(event, []).append(handler)
            self.start()
        return lambda: self.off(event, handler)

    def start(self) -> None:
        """Begin to call them, where there are any; once begun, this changes nothing."""
        with self._changed:
            if self._thread is None and any(self._handlers.values()):
                mailbox = self._make_mailbox()
                self._thread = threading.Thread(target=self._run, args=(mailbox,), name=self._name, daemon=True)
                self._thread.start()

    def off(self, event: EventName, handler: Handler) -> None:
        """Hear it no longer; unknown ones are no error."""
        with self._changed:
            if handler in self._handlers.get(event, ()):
                self._handlers[event].remove(handler)

    def join(self) -> None:
        """Wait until the mailbox, which must be closed, has been read. From a handler: returns at once."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self, mailbox: Mailbox) -> None:
        while True:
            try:
                item = mailbox.get()
            except ClientError:
                return
            if item is None:
                return
            happening = item[0]
            with self._changed:
                keys = (happening.name, type(happening.body), EVERYTHING)
                handlers = [handler for key in keys for handler in self._handlers.get(key, ())]
            for handler in handlers:
                try:
                    handler(happening)
                except Exception:
                    logger.exception("a handler of %s failed", happening.name)
