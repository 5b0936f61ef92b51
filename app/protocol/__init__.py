"""The wire contract, version 1: every command, event and payload is declared here and nowhere else.

Pure data: no I/O, no Flask, no AutoGen. Both the web process and the runner import it.
"""

PROTOCOL_VERSION = 1
NAMESPACE = "/conversations"


def room_of(conversation_id: str) -> str:
    """The Socket.IO room of a conversation: ``conversation:<id>``."""
    return f"conversation:{conversation_id}"
