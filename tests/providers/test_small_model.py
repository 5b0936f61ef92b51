"""How the bundled small model is asked for structured replies."""

from __future__ import annotations

from typing import Any

from autogen_agentchat.teams._group_chat._magentic_one._prompts import LedgerEntry

from app.providers.small_model import MAX_FIELD_CHARS, MAX_INNER_FIELD_CHARS, create_args, structured


def test_a_reply_of_a_class_has_ends() -> None:
    """MagenticOne's ledger wants objects in an object: without ends in them, a small model writes to its own end."""
    wishes: dict[str, Any] = {"json_output": LedgerEntry, "extra_create_args": {}, "tools": []}
    asked = structured(wishes)
    assert asked["json_output"] is None
    schema = asked["extra_create_args"]["response_format"]["json_schema"]["schema"]
    assert schema["$defs"]["LedgerEntryStringAnswer"]["properties"]["answer"]["maxLength"] == MAX_INNER_FIELD_CHARS
    assert wishes == {"json_output": LedgerEntry, "extra_create_args": {}, "tools": []}


def test_other_wishes_stay() -> None:
    """A schema of the caller's own is given ends in place; plain JSON and prose are left as they are."""
    own = {"type": "json_schema", "json_schema": {"schema": {"properties": {"text": {"type": "string"}}}}}
    bounded = create_args({"response_format": own})["response_format"]["json_schema"]["schema"]
    assert bounded["properties"]["text"]["maxLength"] == MAX_FIELD_CHARS
    assert "maxLength" not in own["json_schema"]["schema"]["properties"]["text"]
    assert structured({"json_output": True, "extra_create_args": {}})["json_output"] is True
