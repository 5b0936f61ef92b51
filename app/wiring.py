"""Puts the application together, from the settings."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.auth.allowance import PersonsAllowance
from app.auth.audit import AuditLog
from app.auth.cookies import prepare_sessions, session_in
from app.auth.entrance import Entrance
from app.auth.guard import LocalGuard
from app.auth.in_force import LimitsInForce
from app.auth.live import Live
from app.auth.origins import Origins, OtherOrigins
from app.auth.people import gate_of, people_of
from app.auth.request_rate import RequestRate
from app.auth.seats import Seats
from app.auth.shares import Shares
from app.concurrency import AsyncMode, LatenessMonitor, SystemClock
from app.connections import ClientTasks, Connections
from app.http.account_pages import account_pages
from app.http.accounts import accounts
from app.http.agui.door import agui
from app.http.artifacts import artifacts
from app.http.audit import audit
from app.http.caller import recognise_first
from app.http.conversations import conversations
from app.http.csrf import prepare_csrf
from app.http.errors import register_errors
from app.http.export import export
from app.http.front import LimitRequests, LogFailures, RefuseCompression, SafeRefusals, TakeShareLink
from app.http.health import health
from app.http.messages import messages
from app.http.operation import operation
from app.http.pages import add_security_headers, pages
from app.http.protocol import protocol
from app.http.shares import shares
from app.http.sign_in import prepare_sign_in
from app.http.sockets.front import SocketDoors
from app.http.sse import sse
from app.http.steering import steering
from app.http.teams import teams as teams_routes
from app.http.websocket import websocket
from app.namespaces.layer import SocketLayer
from app.operation.operation import operation_of
from app.runner.models import ModelDirectory
from app.runner.supervisor import Supervisor
from app.runner.workshop import opened
from app.services import Services
from app.settings import Settings, SettingsError, load_settings
from app.store.archive import StoredArchive
from app.store.database import Database
from app.store.recorder import Recorder
from app.store.sql import SqlStore
from app.store.state import StoreState
from app.streaming.bounds import Bounds
from app.streaming.config import StreamingConfig
from app.streaming.manager import StreamingManager
from app.streaming.recovery import Recovery
from app.streaming.retention import Retention
from app.teams.descriptions import Descriptions
from app.teams.directory import TeamDirectory
from app.teams.folder import TeamFolder

logger = logging.getLogger(__name__)

_PROJECT = Path(__file__).resolve().parents[1]
_BLUEPRINTS = (
    pages,
    conversations,
    messages,
    steering,
    artifacts,
    export,
    shares,
    teams_routes,
    sse,
    websocket,
    health,
    audit,
    operation,
    protocol,
    agui,
    accounts,
    account_pages,
)


def wire(settings: Settings | None, version: str) -> Flask:
    """See :func:`app.create_app`.

    :raises SettingsError:
    """
    settings = settings or load_settings()
    app = Flask("colloquy", root_path=str(_PROJECT), static_folder="static", template_folder="templates")
    app.config.update(MAX_CONTENT_LENGTH=settings.max_frame_bytes)
    prepare_sessions(app, settings)
    parts = _parts(app, settings, version)
    app.extensions["colloquy"] = parts
    parts.gate.on_ended(parts.live.ended)
    for blueprint in _BLUEPRINTS:
        app.register_blueprint(blueprint)
    register_errors(app)
    prepare_sign_in(app)
    recognise_first(app)
    prepare_csrf(app)
    app.after_request(add_security_headers)
    try:
        _open_sockets(app, parts)
    except Exception as error:
        logger.exception("the socket layer could not start; only HTTP is served")
        parts.sockets.failed(error)
    app.wsgi_app = SocketDoors(app.wsgi_app, parts)  # type: ignore[method-assign]
    app.wsgi_app = LimitRequests(app.wsgi_app, parts.requests)  # type: ignore[method-assign]
    if not settings.websocket_compression:
        app.wsgi_app = RefuseCompression(app.wsgi_app)  # type: ignore[method-assign]
    origins = Origins(settings.cors_allowed_origins)
    app.wsgi_app = OtherOrigins(app.wsgi_app, origins)  # type: ignore[method-assign]
    app.wsgi_app = LocalGuard.of(settings, app.wsgi_app, origins)  # type: ignore[method-assign]
    app.wsgi_app = SafeRefusals(app.wsgi_app)  # type: ignore[method-assign]
    if proxies := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, proxies, proxies, proxies, 0, 0)  # type: ignore[method-assign]
    app.wsgi_app = LogFailures(app.wsgi_app)  # type: ignore[method-assign]
    app.wsgi_app = TakeShareLink(app.wsgi_app)  # type: ignore[method-assign]
    return app


def _parts(app: Flask, settings: Settings, version: str) -> Services:
    limits = LimitsInForce.of(settings)
    mode, clock, sockets = AsyncMode(settings.async_mode), SystemClock(), SocketLayer()
    database = _database(settings, mode)
    people = people_of(settings, database, mode)
    shared = Shares(database)
    supervisor = Supervisor(
        mode, settings.runners, per_team=settings.runners_per_team, silence_s=settings.runner_silence_s
    )
    models = ModelDirectory(settings, mode)
    teams = TeamDirectory(
        settings.teams,
        settings.abandoned_rules(),
        folder=TeamFolder(settings.teams_folder(_PROJECT), allow_code=settings.allow_team_code),
        descriptions=Descriptions(
            partial(opened, supervisor, settings.team_load_timeout_s), mode.spawn, clock.monotonic
        ),
    )
    store = SqlStore(database, mode)
    connections = Connections(
        mode,
        max_connections=settings.max_connections,
        slow_client_timeout_s=settings.slow_client_timeout_s,
        elsewhere=sockets.connections,
    )

    def tell_everybody(state: StoreState) -> None:
        event, timestamp = state.event(), clock.now_iso()
        sockets.broadcast(event, timestamp)
        connections.broadcast(event.name, {**event.to_wire(), "timestamp": timestamp})

    def news() -> tuple[str, dict[str, Any]] | None:
        event = recorder.news()
        return None if event is None else (event.name, {**event.to_wire(), "timestamp": clock.now_iso()})

    recorder = Recorder(
        store,
        mode,
        clock,
        max_unsaved_bytes=settings.max_unsaved_bytes,
        prepare=database.prepare,
        check=database.ping,
        changed=tell_everybody,
    )
    connections.greet_with = news
    archive = StoredArchive(
        store,
        recorder,
        load_access=shared.load_access,
        max_messages=settings.max_messages_per_conversation,
        max_chars=settings.max_conversation_chars,
    )
    manager = StreamingManager(
        config=StreamingConfig(
            buffer_tokens=settings.stream_buffer_tokens,
            tokens_per_s=settings.stream_tokens_per_s,
            high_water=settings.stream_high_water,
            low_water=settings.stream_low_water,
            session_timeout_s=settings.session_timeout_s,
            heartbeat_s=settings.heartbeat_s,
        ),
        bounds=Bounds(**{name: getattr(settings, name) for name in Bounds.__dataclass_fields__}),
        limits=settings.run_limits(),
        runners=supervisor,
        models=models,
        teams=teams,
        archive=archive,
        transport=sockets,
        concurrency=mode,
        clock=clock,
        record=recorder,
        allowance=PersonsAllowance(limits, store.spent_today, recorder.flush),
    )

    def apply(name: str, value: float) -> None:
        if name == "stream_tokens_per_s":  # of what begins from now on
            manager.config = replace(manager.config, tokens_per_s=value)
            return
        limits.set(name, int(value))

    clients = ClientTasks(settings.max_conversations)
    manager.editing.when_deleted(clients.forget)
    return Services(
        settings=settings,
        version=version,
        manager=manager,
        supervisor=supervisor,
        models=models,
        teams=teams,
        operation=operation_of(settings, str(app.config["SECRET_KEY"]), database, models, mode, apply),
        database=database,
        store=store,
        recorder=recorder,
        archive=archive,
        people=people,
        gate=gate_of(settings, people, mode, partial(session_in, app), shared),
        shares=shared,
        entrance=Entrance(manager, shared),
        audit=AuditLog(database, mode, clock, keep_days=settings.audit_days),
        limits=limits,
        seats=Seats(limits),
        requests=RequestRate(limits),
        live=Live(clock, time.time, warn_s=settings.auth_expiring_s),
        mode=mode,
        clock=clock,
        lateness=LatenessMonitor(mode),
        sockets=sockets,
        connections=connections,
        clients=clients,
        recovery=Recovery(manager, archive, mode, resume=settings.resume_after_crash),
        retention=Retention(
            manager.editing, archive, clock, mode, days=settings.retention_days, most=settings.retention_conversations
        ),
    )


def _database(settings: Settings, mode: AsyncMode) -> Database:
    try:
        return Database(settings.database_address(), mode)
    except ValueError as error:
        raise SettingsError(f"DATABASE_URL: {error}") from None


def _open_sockets(app: Flask, parts: Services) -> None:
    from app.extensions import SocketIO
    from app.namespaces.conversations import ConversationsNamespace
    from app.namespaces.transport import SocketTransport

    settings = parts.settings
    namespace = ConversationsNamespace(
        parts.manager,
        parts.gate,
        parts.live,
        parts.entrance,
        parts.seats,
        parts.clock,
        parts.version,
        max_followed=settings.max_followed_conversations,
    )
    socketio = SocketIO()
    socketio.init_app(app, settings=settings, mode=parts.mode, namespace=namespace, seats=parts.seats)
    transport = SocketTransport(socketio.server, socketio.rooms)
    namespace.use(
        transport, settings.max_connections, elsewhere=lambda: len(parts.connections), news=parts.recorder.news
    )
    parts.sockets.opened(transport)
