"""The document: servers, channels, operations, messages."""

from __future__ import annotations

from typing import Any

from app.protocol import NAMESPACE, PROTOCOL_VERSION, room_of
from app.protocol.asyncapi.doors import DoorChannel, door_channels
from app.protocol.asyncapi.messages import GOES, Catalogue, Message, of_command, of_event, success, text_of
from app.protocol.commands import COMMANDS, Ack, ErrorAck
from app.protocol.events import (
    LOGGED,
    AccessEnded,
    AuthExpiring,
    Batch,
    Broadcast,
    Connected,
    ConversationDeleted,
    Event,
    Heartbeat,
    Presence,
    Resync,
    SignedOut,
    StillWorking,
    Storage,
)

_CONNECTION = "connection"
_ROOM = "room"
_TO_ONE: tuple[type[Event], ...] = (
    Connected,
    Resync,
    Batch,
    AuthExpiring,
    SignedOut,
    AccessEnded,
    ConversationDeleted,
    Storage,
    Broadcast,
)
_TO_ROOM: tuple[type[Event], ...] = (*LOGGED, StillWorking, Presence, Heartbeat)
_ERROR = Message("ErrorAck", "ack", text_of(ErrorAck) or "The command was refused.", ErrorAck, GOES)


def asyncapi_document(host: str, version: str) -> dict[str, Any]:
    """The sockets and streams of a server, as AsyncAPI 3.0.

    :param host: its host and port, as clients address it.
    """
    catalogue = Catalogue()
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    _socketio(catalogue, channels, operations)
    for door in door_channels():
        _door(door, catalogue, channels, operations)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Colloquy: sockets and streams",
            "version": version,
            "description": f"Protocol version {PROTOCOL_VERSION}. Conversations of AutoGen agents, live. Operations are"
            " told from the server's side: it receives commands and sends events.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "socketio": {
                "host": host,
                "protocol": "socket.io",
                "protocolVersion": "5",
                "pathname": "/socket.io/",
                "description": "Any Socket.IO client.",
            },
            "websocket": {"host": host, "protocol": "ws", "description": "Plain WebSockets."},
            "http": {"host": host, "protocol": "http", "description": "Server-Sent Events."},
        },
        "channels": channels,
        "operations": operations,
        "components": catalogue.components(),
    }


def _socketio(catalogue: Catalogue, channels: dict[str, Any], operations: dict[str, Any]) -> None:
    acks = {command.ack: _ack_message(command.ack) for command in COMMANDS}
    commands = catalogue.add(of_command(command) for command in COMMANDS)
    answers = catalogue.add((*acks.values(), _ERROR))
    to_one = catalogue.add(of_event(event) for event in _TO_ONE)
    to_room = catalogue.add(of_event(event) for event in _TO_ROOM)
    channels[_CONNECTION] = {
        "address": NAMESPACE,
        "title": "A connection",
        "description": "The Socket.IO namespace: commands, each answered by exactly one ack, and what concerns this"
        " connection alone.",
        "servers": [_ref("servers", "socketio")],
        "messages": _messages_of([*commands, *answers, *to_one]),
    }
    channels[_ROOM] = {
        "address": room_of("{conversation_id}"),
        "title": "A conversation",
        "description": "Who has joined a conversation is sent its events, in the order of their offsets.",
        "servers": [_ref("servers", "socketio")],
        "parameters": {"conversation_id": {"description": "the conversation's id"}},
        "messages": _messages_of(to_room),
    }
    for command in COMMANDS:
        operations[command.name] = {
            "action": "receive",
            "channel": _ref("channels", _CONNECTION),
            "title": command.name,
            "summary": text_of(command),
            "messages": [_message_ref(_CONNECTION, command.__name__)],
            "reply": {
                "channel": _ref("channels", _CONNECTION),
                "messages": [
                    _message_ref(_CONNECTION, acks[command.ack].key),
                    _message_ref(_CONNECTION, _ERROR.key),
                ],
            },
        }
    operations["tell_connection"] = _sends(_CONNECTION, to_one, "What concerns one connection.")
    operations["tell_room"] = _sends(_ROOM, to_room, "What happens in a conversation.")


def _ack_message(ack: type[Ack]) -> Message:
    return Message(ack.__name__, "ack", text_of(ack), success(ack), GOES)


def _door(door: DoorChannel, catalogue: Catalogue, channels: dict[str, Any], operations: dict[str, Any]) -> None:
    takes, says = catalogue.add(door.takes), catalogue.add(door.says)
    channel: dict[str, Any] = {
        "address": door.address,
        "title": door.key,
        "description": door.text,
        "servers": [_ref("servers", door.server)],
        "messages": _messages_of([*takes, *says]),
    }
    if door.parameters:
        channel["parameters"] = {name: {"description": text} for name, text in door.parameters.items()}
    properties = {name: {"type": "string", "description": text} for name, text in door.query.items()}
    query = {"type": "object", "properties": properties}
    kind = "ws" if door.server == "websocket" else "http"
    if kind == "ws":
        channel["bindings"] = {"ws": {"method": "GET", "query": query}}
    channels[door.key] = channel
    if takes:
        operations[f"{door.key}_takes"] = {
            "action": "receive",
            "channel": _ref("channels", door.key),
            "summary": "What clients send.",
            "messages": [_message_ref(door.key, key) for key in takes],
        }
    operations[f"{door.key}_says"] = _sends(door.key, says, door.text)
    if kind == "http":
        operations[f"{door.key}_says"]["bindings"] = {"http": {"method": "GET", "query": query}}


def _sends(channel: str, keys: list[str], text: str) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": _ref("channels", channel),
        "summary": text,
        "messages": [_message_ref(channel, key) for key in keys],
    }


def _messages_of(keys: list[str]) -> dict[str, Any]:
    return {key: {"$ref": f"#/components/messages/{key}"} for key in keys}


def _message_ref(channel: str, key: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{channel}/messages/{key}"}


def _ref(section: str, key: str) -> dict[str, str]:
    return {"$ref": f"#/{section}/{key}"}
