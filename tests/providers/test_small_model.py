"""How the bundled small model is asked: plainly, and for structured replies."""

from __future__ import annotations

from typing import Any

from autogen_agentchat.teams._group_chat._magentic_one._prompts import LedgerEntry

from app.providers.client import with_schema
from app.providers.forms import OpenAiForm
from app.providers.small_model import MAX_FIELD_CHARS, MAX_INNER_FIELD_CHARS, create_args, plain_request


def test_a_reply_of_a_class_has_ends() -> None:
    """MagenticOne's ledger wants objects in an object: without ends in them, a small model writes to its own end."""
    wishes: dict[str, Any] = {"json_output": LedgerEntry, "extra_create_args": {}, "tools": []}
    asked = with_schema(wishes)
    assert asked["json_output"] is None
    assert wishes == {"json_output": LedgerEntry, "extra_create_args": {}, "tools": []}
    schema = create_args(asked["extra_create_args"])["response_format"]["json_schema"]["schema"]
    assert schema["additionalProperties"] is False
    assert schema["$defs"]["LedgerEntryStringAnswer"]["properties"]["answer"]["maxLength"] == MAX_INNER_FIELD_CHARS


def test_others_are_quoted_with_their_first_sentences() -> None:
    """What they have said at length would be said again; the person's words stay whole."""
    asked = "It fell by 3.5 %. Why? Tell me. All of it."
    said = [
        {"role": "user", "content": asked},
        {"role": "user", "name": "Analyst", "content": "By 3.5 % or so. Costs rose!\n\nRents rose, too. And so on."},
        {"role": "assistant", "content": "No."},
    ]
    [request] = plain_request(said, "Risk_Challenger", OpenAiForm("Risk_Challenger"))
    quoted = "Analyst: By 3.5 % or so. Costs rose!\n\nRisk Challenger: No."
    assert request["content"] == f"{asked}\n\n{quoted}\n\nNow write the reply of Risk Challenger."


def test_other_wishes_stay() -> None:
    """A schema of the caller's own is given ends, in a copy; plain JSON and prose are left as they are."""
    own = {"type": "json_schema", "json_schema": {"schema": {"properties": {"text": {"type": "string"}}}}}
    bounded = create_args({"response_format": own})["response_format"]["json_schema"]["schema"]
    assert bounded["properties"]["text"]["maxLength"] == MAX_FIELD_CHARS
    assert own["json_schema"] == {"schema": {"properties": {"text": {"type": "string"}}}}
    assert with_schema({"json_output": True, "extra_create_args": {}})["json_output"] is True
