"""autogen-agentchat teams: any group chat or single agent, as protocol events."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from autogen_agentchat.base import ChatAgent, TaskResult, Team
from autogen_agentchat.messages import BaseChatMessage, TextMessage

from app.adapters import states
from app.adapters.agent_bounds import contain_agents
from app.adapters.base import RunPort
from app.adapters.ending import ONE_TURN, Ending
from app.adapters.failure import reason_of
from app.adapters.inputs import Inputs
from app.adapters.plan import Closing, LoadedTeam, TeamPlan, load_team
from app.adapters.staged import StagedAdapter
from app.adapters.task import task_text
from app.adapters.team_pass import TeamPass
from app.adapters.tool_log import ToolLog
from app.errors import BackendUnavailable, ColloquyError, ModelError
from app.protocol.events import AgentMessage, ConversationComplete, FallbackMode
from app.providers.calls import Call, Switch
from app.providers.client import GatedModelClient
from app.providers.gate import RunAborted
from app.runner.wire import BEGINS_AGAIN
from app.teams.names import identifier

KIND = "agentchat"
TOLD_AGAIN = "This team cannot go on in the middle: it begins again with what was said."
MAX_ROUNDS = "Max rounds reached."
"""What MagenticOne says when it has run out of turns."""


class AgentChatAdapter(StagedAdapter):
    """Runs one team for one session.

    Teams are run turn by turn, with a checkpoint after each. MagenticOne cannot be (it plans anew whenever it starts),
    nor can teams of a user's own making: they run whole, and start again from the transcript. After an error or a stop
    the team object is spent.
    """

    def __init__(self, port: RunPort, made: Team | ChatAgent | TeamPlan) -> None:
        """:param made: what the team's factory has returned."""
        super().__init__(port)
        contain_agents()
        self._made = made
        self._client = GatedModelClient(port.model)
        self._tools = ToolLog(port)
        self._inputs = Inputs(())
        self._passes = 0
        self._begin = 0
        self._before: dict[str, Any] = {}  # the state before anything was said to the team in this run
        self._stopped: str | None = None

    @property
    def caller(self) -> str | None:
        return self._tools.caller

    async def run(self) -> None:
        """See :class:`app.adapters.base.Adapter`."""
        try:
            await self._run()
        except (RunAborted, ColloquyError):
            raise
        except Exception as error:  # a user's team may raise anything, and AutoGen wraps our errors
            raise reason_of(error, self._port.model) from error

    async def _run(self) -> None:
        start = self._port.start
        loaded = load_team(self._made, start.options.max_turns)
        self._stage.max_turns = loaded.max_turns
        self._inputs = Inputs(loaded.tree.people)
        if loaded.steps:
            await self._steps(loaded)
        else:
            self._port.checkpoint(BEGINS_AGAIN)
            if start.resumed and start.transcript:
                note = AgentMessage(message_id=uuid.uuid4().hex, agent="system", role="system", content=TOLD_AGAIN)
                await self._port.emit(note)
            self._stopped = (await self._pass(loaded, await self._retold(loaded))).stop_reason
        closing = await self._close(loaded)
        await self._port.emit(
            ConversationComplete(
                consensus=closing.consensus,
                summary=closing.summary,
                reason=closing.reason,
                usage=self._port.model.usage(),
            )
        )

    async def _steps(self, loaded: LoadedTeam) -> None:
        """Turn by turn, with a checkpoint after each, until the team's own condition or its number of turns ends it."""
        ending = Ending(loaded.condition, loaded.tree.speakers)
        task = await self._restore(loaded, ending)
        if task is not None:
            self._port.checkpoint(self._before)
            self._stopped = await ending.after(task)
        while self._stopped is None and (loaded.max_turns is None or self._passes < loaded.max_turns):
            result = await self._pass(loaded, task)
            task = None
            self._passes += 1
            self._stopped = await ending.after(result.messages, result.stop_reason or ONE_TURN)
            await self._save(loaded)

    async def _pass(self, loaded: LoadedTeam, task: Sequence[BaseChatMessage] | None) -> TaskResult:
        before = self._stage.turns
        result = await TeamPass(self._port, self._stage, loaded, self._inputs, self._tools).run(task)
        if loaded.steps and self._stage.turns == before:
            self._stage.turns += 1  # an agent may stay silent in its turn, and a team's turn is many messages
            await self._stage.progress()
        return result

    async def _restore(self, loaded: LoadedTeam, ending: Ending) -> list[BaseChatMessage] | None:
        """Load the checkpoint, if there is one, and return what is to be said to the team: None where all is said."""
        start = self._port.start
        state = start.checkpoint if start.checkpoint and start.checkpoint.get("kind") == KIND else None
        self._before = {"kind": KIND, "turns": 0, "asked": []}
        if state is None or "team" not in state:
            return await self._retold(loaded)
        self._port.model.prefer(state.get("provider"))
        asked: list[str] | None = state.get("asked")
        if asked is not None or not start.resumed:
            if asked is None:
                states.first_speaker_again(state, loaded.team)
            await states.loaded(state, loaded.team, loaded.tree)
            return await self._asked(loaded, state, asked or [])
        await states.loaded(state, loaded.team, loaded.tree)
        self._begin = int(state.get("begin", 0))
        self._stage.turns = int(state["turns"])
        self._passes = int(state.get("passes", self._stage.turns))
        self._stage.spoken = [(agent, text) for agent, text in state["spoken"]]
        self._stopped = state.get("stopped")
        if self._stopped is None:
            self._stopped = await ending.after(states.thread(state, loaded.team, self._begin))
        return None

    async def _asked(self, loaded: LoadedTeam, state: dict[str, Any], asked: list[str]) -> list[BaseChatMessage]:
        """What the user says to a team that stands between two runs.

        :param asked: what they have said before, in runs of which no turn was finished.
        """
        start = self._port.start
        self._begin = len(states.thread(state, loaded.team))
        if not (start.resumed and asked):
            asked = [*asked, await task_text(start.content, start.content_type)]
        self._before = {**state, "turns": 0, "asked": asked}
        first, *others = asked
        reply = states.reply_to(state, loaded.team, loaded.tree.speakers, first)
        return [reply, *(TextMessage(content=each, source="user") for each in others)]

    async def _retold(self, loaded: LoadedTeam) -> list[BaseChatMessage]:
        """The conversation so far as a task. An orchestrator gets one text: it forgets who said what."""
        start = self._port.start
        told = [(each.agent, each.role, each.content) for each in start.transcript if each.role != "system"]
        asked = [place for place, (_, role, text) in enumerate(told) if role == "user" and text == start.content]
        question = await task_text(start.content, start.content_type)
        again = start.resumed and bool(asked)
        if again:
            told[asked[-1]] = ("user", "user", question)
        if loaded.orchestrated and told:
            lines = [f"{agent}: {text}" for agent, _, text in told]
            return [TextMessage(content="\n\n".join(lines if again else [*lines, question]), source="user")]
        if not again:
            told.append(("user", "user", question))
        return [TextMessage(content=text, source=_identifier(agent, role)) for agent, role, text in told]

    async def _save(self, loaded: LoadedTeam) -> None:
        self._port.checkpoint(
            {
                "kind": KIND,
                "turns": self._stage.turns,
                "passes": self._passes,
                "stopped": self._stopped,
                "begin": self._begin,
                **await states.saved(loaded.team, loaded.tree),
                "spoken": self._stage.spoken,
                "provider": self._port.model.provider,
            }
        )

    def _answer(self, loaded: LoadedTeam) -> Closing:
        """An orchestrator's last word is its answer; it needs a reason only where it had to come to an end."""
        agent, text = self._stage.spoken[-1]
        if agent not in {self._stage.name(each) for each in loaded.tree.orchestrators}:
            return Closing(reason=self._stopped)
        return Closing(summary=text, reason=self._stopped if self._stopped == MAX_ROUNDS else None)

    async def _close(self, loaded: LoadedTeam) -> Closing:
        """The team's closing call. Its failure is no failure of the conversation."""
        if loaded.closing is None and loaded.orchestrated and self._stage.spoken:
            return self._answer(loaded)
        if loaded.closing is None:
            return Closing(reason=self._stopped or "this team draws no conclusion")
        await self._stage.progress("Drawing the conclusion")
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


def _identifier(agent: str, role: str) -> str:
    return "user" if role == "user" else identifier(agent or role)
