"""How the bundled small model is asked for structured replies."""

from __future__ import annotations

from typing import Any

from autogen_agentchat.teams._group_chat._magentic_one._prompts import LedgerEntry

from app.providers.client import with_schema
from app.providers.small_model import MAX_FIELD_CHARS, MAX_INNER_FIELD_CHARS, create_args


def test_a_reply_of_a_class_has_ends() -> None:
    """MagenticOne's ledger wants objects in an object: without ends in them, a small model writes to its own end."""
    wishes: dict[str, Any] = {"json_output": LedgerEntry, "extra_create_args": {}, "tools": []}
    asked = with_schema(wishes)
    assert asked["json_output"] is None
    assert wishes == {"json_output": LedgerEntry, "extra_create_args": {}, "tools": []}
    schema = create_args(asked["extra_create_args"])["response_format"]["json_schema"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["LedgerEntryStringAnswer"]["properties"]["answer"]["maxLength"] == MAX_INNER_FIELD_CHARS


def test_other_wishes_stay() -> None:
    """A schema of the caller's own is given ends, in a copy; plain JSON and prose are left as they are."""
    own = {"type": "json_schema", "json_schema": {"schema": {"properties": {"text": {"type": "string"}}}}}
    bounded = create_args({"response_format": own})["response_format"]["json_schema"]["schema"]
    assert bounded["properties"]["text"]["maxLength"] == MAX_FIELD_CHARS
    assert own["json_schema"] == {"schema": {"properties": {"text": {"type": "string"}}}}
    assert with_schema({"json_output": True, "extra_create_args": {}})["json_output"] is True
