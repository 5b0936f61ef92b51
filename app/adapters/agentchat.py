"""autogen-agentchat teams: any group chat or single agent, as protocol events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.messages import BaseChatMessage, TextMessage

from app.adapters.base import RunPort
from app.adapters.plan import Closing, LoadedTeam, TeamPlan, load_team
from app.adapters.stage import Stage
from app.adapters.task import task_text
from app.adapters.team_pass import TeamPass
from app.errors import BackendUnavailable, ColloquyError, ModelError, TeamFailed
from app.protocol.events import ConversationComplete, FallbackMode, Progress
from app.providers.calls import Call, Switch
from app.providers.client import GatedModelClient
from app.providers.gate import RunAborted

KIND = "agentchat"
_MANAGER_FRESH: dict[str, Any] = {"next_speaker_index": 0, "current_turn": 0, "previous_speaker": None}


class AgentChatAdapter:
    """Runs one team for one session.

    A team without a termination condition and with a number of turns is run turn by turn, with a checkpoint after each;
    another one runs whole, and starts again from the transcript. After an error or a stop the team object is spent.
    """

    def __init__(self, port: RunPort, made: Team | ChatAgent | TeamPlan) -> None:
        """:param made: what the team's factory has returned."""
        self._port = port
        self._made = made
        self._client = GatedModelClient(port.model)
        self._stage = Stage(port)

    @property
    def turns(self) -> int:
        return self._stage.turns

    @property
    def active(self) -> bool:
        """Whether the conversation has become active."""
        return self._stage.is_active

    async def run(self) -> None:
        """See :class:`app.adapters.base.Adapter`."""
        try:
            await self._run()
        except (RunAborted, ColloquyError):
            raise
        except Exception as error:  # a user's team may raise anything, and AutoGen wraps our errors
            if self._port.model.aborted:
                raise RunAborted from error
            if self._port.model.failure is not None:
                raise self._port.model.failure from error
            raise TeamFailed(f"the team failed: {_first_line(error)}") from error

    def flush(self) -> None:
        self._stage.flush()

    async def withdraw(self, reason: str) -> None:
        await self._stage.withdraw(reason)

    async def _run(self) -> None:
        start = self._port.start
        loaded = load_team(self._made, start.options.max_turns)
        self._stage.max_turns = loaded.max_turns
        task = await self._restore(loaded)
        if loaded.steps:
            assert loaded.max_turns is not None
            while self._stage.turns < loaded.max_turns:
                await self._pass(loaded, task)
                task = None
                await self._save(loaded)
        else:
            await self._pass(loaded, task)
        closing = await self._close(loaded)
        await self._port.emit(
            ConversationComplete(
                consensus=closing.consensus,
                summary=closing.summary,
                reason=closing.reason,
                usage=self._port.model.usage(),
            )
        )

    async def _pass(self, loaded: LoadedTeam, task: Sequence[BaseChatMessage] | None) -> None:
        before = self._stage.turns
        await TeamPass(self._port, self._stage, loaded).run(task)
        if loaded.steps and self._stage.turns == before:
            self._stage.turns += 1  # an agent may stay silent in its turn

    async def _restore(self, loaded: LoadedTeam) -> list[BaseChatMessage] | None:
        """Load the checkpoint, if there is one, and return what is to be said to the team: None where all is said."""
        start = self._port.start
        state = start.checkpoint if start.checkpoint and start.checkpoint.get("kind") == KIND else None
        if state is not None and loaded.steps:
            self._prefer(state.get("provider"))
            team_state = state["team"]
            if not start.resumed:
                _first_speaker_again(team_state)
            await loaded.team.load_state(team_state)
            if start.resumed:
                self._stage.turns = int(state["turns"])
                self._stage.spoken = [(agent, text) for agent, text in state["spoken"]]
                return None
            return [await self._task()]
        history: list[BaseChatMessage] = [
            TextMessage(content=message.content, source=_identifier(message.agent, message.role))
            for message in start.transcript
        ]
        said = any(message.role == "user" and message.content == start.content for message in start.transcript)
        return history if start.resumed and said else [*history, await self._task()]

    async def _task(self) -> BaseChatMessage:
        start = self._port.start
        return TextMessage(content=await task_text(start.content, start.content_type), source="user")

    def _prefer(self, provider: str | None) -> None:
        """Go on with the provider that the conversation had come to."""
        names = [spec.name for spec in self._port.model.providers]
        if provider in names:
            self._port.model.current = names.index(provider)

    async def _save(self, loaded: LoadedTeam) -> None:
        self._port.checkpoint(
            {
                "kind": KIND,
                "turns": self._stage.turns,
                "team": dict(await loaded.team.save_state()),
                "spoken": self._stage.spoken,
                "provider": self._port.model.spec.name,
            }
        )

    async def _close(self, loaded: LoadedTeam) -> Closing:
        """The team's closing call. Its failure is no failure of the conversation."""
        if loaded.closing is None:
            return Closing(reason="this team draws no conclusion")
        shown = Progress(
            current_turn=self._stage.turns,
            max_turns=loaded.max_turns,
            percentage=self._stage.percentage(),
            message="Drawing the conclusion",
        )
        await self._port.emit(shown)
        calls: list[Call] = []
        self._port.model.on_change = lambda call: None if call in calls else calls.append(call)
        try:
            return await loaded.closing(self._client, self._stage.spoken)
        except (ModelError, BackendUnavailable) as error:
            return Closing(reason=f"no conclusion: {error.message}")
        finally:
            for entry in [entry for call in calls for entry in call.entries if isinstance(entry, Switch)]:
                if not self._port.model.aborted:
                    await self._port.emit(
                        FallbackMode(mode="provider", reason=entry.reason, from_=entry.source, to=entry.target)
                    )


def _first_speaker_again(team_state: dict[str, Any]) -> None:
    """A new user message is answered by the first agent, wherever the last session was stopped."""
    for name, agent_state in team_state.get("agent_states", {}).items():
        if "Manager" in name and isinstance(agent_state, dict):
            agent_state.update({key: value for key, value in _MANAGER_FRESH.items() if key in agent_state})


def _identifier(agent: str, role: str) -> str:
    return "user" if role == "user" else "_".join(agent.split()) or role


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
