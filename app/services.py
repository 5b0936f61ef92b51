"""What the doors may use: made by ``create_app``, kept in ``app.extensions["colloquy"]``."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from app.auth.audit import AuditLog
from app.auth.entrance import Entrance
from app.auth.gatekeeper import Gatekeeper
from app.auth.in_force import LimitsInForce
from app.auth.live import Live
from app.auth.people import People
from app.auth.request_rate import RequestRate
from app.auth.seats import Seats
from app.auth.shares import Shares
from app.concurrency import AsyncMode, LatenessMonitor, SystemClock
from app.connections import ClientTasks, Connections
from app.namespaces.layer import SocketLayer
from app.operation.operation import Operation
from app.runner.models import ModelDirectory
from app.runner.supervisor import Supervisor
from app.settings import Settings
from app.store.archive import StoredArchive
from app.store.base import ConversationStore
from app.store.database import Database
from app.store.recorder import Recorder
from app.streaming.conversation import Conversation
from app.streaming.manager import StreamingManager
from app.streaming.recovery import Recovery
from app.streaming.retention import Retention
from app.teams.directory import TeamDirectory

_SHUTDOWN_S = 2.5
_LAST_S = 0.5  # of it: for the child processes, where the database does not answer
_RECOVERY_S = 2.0


@dataclass(slots=True)
class Services:
    """The application's parts, wired."""

    settings: Settings
    version: str
    manager: StreamingManager
    supervisor: Supervisor
    models: ModelDirectory
    teams: TeamDirectory
    operation: Operation
    database: Database
    store: ConversationStore
    recorder: Recorder
    archive: StoredArchive
    people: People
    audit: AuditLog
    limits: LimitsInForce
    seats: Seats
    requests: RequestRate
    gate: Gatekeeper
    live: Live
    shares: Shares
    entrance: Entrance[Conversation]
    mode: AsyncMode
    clock: SystemClock
    lateness: LatenessMonitor
    sockets: SocketLayer
    connections: Connections
    clients: ClientTasks
    recovery: Recovery
    retention: Retention
    started_at: float = field(default_factory=time.monotonic)

    def prepare_store(self) -> None:
        """Make the database ready, before serving. One that cannot be had now is tried again in the background.

        :raises SchemaDiffers: when somebody has to migrate it first.
        """
        self.recorder.prepare()

    def start(self, *, recover: bool) -> None:
        """Start what works in the background: housekeeping, the runners, the bundled model.

        :param recover: go on with what a server has died under. False: another server lives, and it is that one's.
        """
        self.mode.spawn(self.recorder.run)
        self.mode.spawn(self.audit.run)
        self.mode.spawn(self.manager.run_ticker)
        self.mode.spawn(self.lateness.run)
        self.mode.spawn(self.gate.watch_endings)
        self.mode.spawn(self.live.run, self.mode.sleep)
        self.operation.refresh()  # before the bundled model is loaded: what is stored may make it needless
        self.mode.spawn(self.operation.watch)
        self.models.start()
        self.supervisor.warm_up()
        self.mode.spawn(self.supervisor.watch)
        if recover:
            self.mode.spawn(self.recovery.run)
            self.recovery.tried.wait(_RECOVERY_S)  # who comes back at once finds his conversation running, not ended
        self.mode.spawn(self.retention.run)

    def active_connections(self) -> int:
        """How many connections there are, at all doors."""
        return self.sockets.connections() + len(self.connections)

    def shutdown(self) -> None:
        """End all runs, tell their rooms, and end the child processes; takes less than 3 s."""
        deadline = time.monotonic() + _SHUTDOWN_S
        self.recovery.stop()
        self.retention.stop()
        self.manager.shutdown(deadline)
        self.sockets.disconnect_everybody()
        self.connections.close_all()
        self.recorder.flush_all(deadline - _LAST_S)
        self.audit.close(deadline)
        self.supervisor.close(deadline)
        self.models.close(deadline)


def services() -> Services:
    """The parts of the application that handles the present request."""
    return cast(Services, current_app.extensions["colloquy"])
