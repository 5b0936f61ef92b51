"""Several agents in one discussion of ag2's network: they speak in turns after each message of the user."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from ag2.events import BaseEvent, ModelMessage, ModelResponse
from ag2.knowledge import MemoryKnowledgeStore
from ag2.network import (
    DISCUSSION_TYPE,
    EV_TEXT,
    AgentClient,
    BaseHubListener,
    ChannelMetadata,
    DiscussionAdapter,
    DiscussionState,
    Envelope,
    Hub,
    HubClient,
    LocalLink,
    NamedTranscript,
    Passport,
    default_build_text_envelope,
    default_handler,
)

from app.errors import TeamFailed

USER = "user"
SILENCE = "(says nothing)"
_HISTORY = "history"
"""The cause of what was said before: nobody reacts to it."""

Said = Callable[[str, str], Awaitable[None]]


@dataclass(slots=True)
class TurnsState(DiscussionState):
    """``turns`` of agents follow a message of the user; ``taken`` of them are done."""

    turns: int = 0
    taken: int = 0


class Transcript(NamedTranscript):
    """All that was said: what is too long for the model is condensed on the way to it.

    What the agent itself has said is told to its model as a reply: as ag2 1.2 gives it, OpenAI clients leave it out.
    """

    async def project(self, wal: list[Envelope], **how: Any) -> list[BaseEvent]:
        events = await super().project(wal, **how)
        return [ModelResponse(event) if isinstance(event, ModelMessage) else event for event in events]


class Turns(DiscussionAdapter):
    """ag2's discussion, in which the user may speak at any time and is waited for after so many turns of agents."""

    def initial_state(self, metadata: ChannelMetadata) -> TurnsState:
        order = [each.agent_id for each in sorted(metadata.participants, key=lambda each: each.order)]
        return TurnsState(order, metadata.creator_id, turns=metadata.knobs["turns"])

    def fold(self, envelope: Envelope, state: Any) -> Any:
        if envelope.event_type != EV_TEXT:
            return state
        user, *agents = state.participant_order
        taken = 0 if envelope.sender_id == user else state.taken + 1
        following = agents[0] if not taken else agents[(agents.index(envelope.sender_id) + 1) % len(agents)]
        return replace(
            state,
            expected_next_speaker=user if taken >= state.turns else following,
            last_speaker_id=envelope.sender_id,
            last_envelope_id=envelope.envelope_id,
            turn_count=state.turn_count + 1,
            taken=taken,
        )

    def validate_send(self, metadata: ChannelMetadata, envelope: Envelope, state: Any) -> None:
        if envelope.sender_id != metadata.creator_id:
            super().validate_send(metadata, envelope, state)

    def default_view_policy(self, metadata: ChannelMetadata, participant_id: str) -> Transcript:
        return Transcript()

    def build_round_envelope(
        self, metadata: ChannelMetadata, sender_id: str, reply: Any, events: Any, state: Any, hub: Any
    ) -> Envelope:
        """Also for an agent that says nothing: the next one would wait for ever."""
        return default_build_text_envelope(metadata.channel_id, sender_id, reply.body or SILENCE)


class Discussion(BaseHubListener):
    """One discussion in a hub of its own.

    :param turns: of agents, after each message of the user.
    :param said: called after each turn with the agent's name and its words; the discussion goes on meanwhile.
    """

    def __init__(self, agents: Sequence[Any], turns: int, said: Said) -> None:
        self._agents = agents
        self._turns = turns
        self._said = said
        self._newest: Envelope | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def open(self, history: Sequence[tuple[str, str]]) -> None:
        """Open it with what was said before: (name, text) pairs; unknown names speak as the user."""
        # Without timers: a discussion that is paused for long is not silent, and nobody is to be thrown out of it.
        self._hub = Hub(MemoryKnowledgeStore(), ttl_sweep_interval=0, expectation_sweep_interval=0)
        self._hub.register_adapter(cast(Any, Turns()))
        self._hub.register_listener(self)
        await self._hub.start()
        self._clients: dict[str, AgentClient] = {}
        for agent in self._agents:
            client = await self._hub.register(agent, attach_plugin=False)
            client.on_envelope(partial(self._react, client))
            self._clients[client.agent_id] = client
        self._link = HubClient(LocalLink(self._hub), hub=self._hub)
        self._person = await self._link.register_human(Passport(name=USER))
        names = [agent.name for agent in self._agents]
        self._channel = await self._person.open(type=DISCUSSION_TYPE, target=names, knobs={"turns": self._turns})
        by_name = {client.agent.name: client for client in self._clients.values()}
        for name, text in history:
            speaker = by_name.get(name)
            state = self._state()
            if speaker is not None and state.expected_next_speaker != speaker.agent_id:
                state.expected_next_speaker = speaker.agent_id  # a message between was lost, or its author is new
            sender = speaker.agent_id if speaker is not None else self._person.agent_id
            await self._post(sender, text, history=True)

    async def run(self, content: str | None) -> None:
        """The user says something, or, with None, whoever is next goes on; until the user is waited for.

        :raises Exception: what an agent's turn has raised.
        """
        if content is not None:
            await self._post(self._person.agent_id, content)
            return await self._over
        following = self._clients.get(self._state().expected_next_speaker or "")
        if following is not None and self._newest is not None:
            reaction = asyncio.create_task(self._turn(following, self._newest))
            try:
                await self._over
            finally:
                reaction.cancel()
                await asyncio.wait([reaction])

    async def close(self) -> None:
        """End whatever goes on."""
        await self._link.close()
        await self._hub.close()

    async def on_envelope_posted(self, envelope: Envelope, metadata: ChannelMetadata) -> None:
        """The hub: somebody has spoken."""
        client = self._clients.get(envelope.sender_id)
        if envelope.event_type != EV_TEXT or client is None or envelope.causation_id == _HISTORY:
            return
        await self._said(client.agent.name, envelope.event_data["text"])
        if self._state().expected_next_speaker == self._person.agent_id and not self._over.done():
            self._over.set_result(None)

    async def on_turn_failed(self, channel_id: str, agent_id: str, envelope_id: str, exc: BaseException) -> None:
        """The hub: an agent has failed."""
        if not self._over.done():
            self._over.set_exception(exc)

    async def _react(self, client: AgentClient, envelope: Envelope) -> None:
        """ag2's own reaction, but not to what was said before."""
        if envelope.event_type != EV_TEXT:  # an invitation, say, while the discussion is being opened
            await default_handler(envelope, client)
        elif envelope.causation_id != _HISTORY:
            await self._turn(client, envelope)

    async def _turn(self, client: AgentClient, envelope: Envelope) -> None:
        """One agent's turn, if it is its turn."""
        await default_handler(envelope, client)
        state = self._state()
        mine = (client.agent_id, envelope.envelope_id)
        if (state.expected_next_speaker, state.last_envelope_id) == mine and not self._over.done():
            self._over.set_exception(TeamFailed(f"{client.agent.name} has not taken its turn"))

    async def _post(self, sender_id: str, text: str, *, history: bool = False) -> None:
        envelope = Envelope(
            channel_id=self._channel.channel_id,
            sender_id=sender_id,
            audience=None,
            event_type=EV_TEXT,
            event_data={"text": text},
            causation_id=_HISTORY if history else None,
        )
        self._newest = envelope
        await self._hub.post_envelope(envelope)

    def _state(self) -> TurnsState:
        return cast(TurnsState, self._hub.adapter_state(self._channel.channel_id))
