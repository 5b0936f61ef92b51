"""What the web process and a runner say to each other: one JSON object per line over a socket pair.

Down (web process → runner): :class:`StartRun`, :class:`Grant`, :class:`Control`, :class:`Budget`, :class:`Answer`,
:class:`Describe`, :class:`Probe`.
Up (runner → web process): :class:`Hello`, :class:`RunEvent` (a protocol event, as it will be logged),
:class:`Spent`, :class:`Artifact`, :class:`Checkpoint`, :class:`Reply`, :class:`Ended`.

**Flow control.** A run may send ``allowed`` tokens in all (:class:`Grant` raises the figure); a model delta is one
token, every other event counts one. When they are used up the run's gate closes: nothing more is read from the model.
So a session's buffer can never overflow, whatever the model does. Pause closes the same gate.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from app.protocol.commands import RunOptions
from app.protocol.common import AgentCard, ContentType, Payload, Usage

MAX_LINE_BYTES = 256 * 1024 * 1024
"""A longer line ends the link, whichever side sends it: a whole message may be long, what never ends is nonsense."""


class ProviderSpec(Payload):
    """One model that may answer, in order of preference. ``api_key`` never leaves the two processes."""

    name: str
    kind: Literal["openai", "azure", "ollama", "anthropic", "local"]
    model: str
    base_url: str | None = None
    api_key: Annotated[str | None, Field(repr=False)] = None
    api_version: str | None = None
    context_tokens: Annotated[int, Field(description="prompt and reply together", ge=256)] = 32_768
    max_reply_tokens: Annotated[int | None, Field(description="limit of one reply; None: the provider's own")] = None
    stream: Annotated[bool, Field(description="false: the model answers whole; its replies come word by word")] = True
    structured_output: Annotated[bool, Field(description="whether it obeys a JSON schema")] = True
    function_calling: bool = True
    prompt_price_usd: Annotated[
        float | None, Field(ge=0, description="of a million tokens read, in US dollars; None: as the price list says")
    ] = None
    reply_price_usd: Annotated[float | None, Field(ge=0, description="the same for tokens written")] = None
    label: Annotated[str, Field(description="what people read: `SmolLM2-135M (bundled small model)`")] = ""


class OnAbandoned(Payload):
    """What happens to a run that nobody has watched for a while."""

    action: Literal["stop", "pause"]
    after_s: Annotated[float, Field(gt=0, description="after the last reader left, in seconds")]


Generation = Literal["agentchat", "classic", "ag2"]
"""autogen-agentchat · classic AG2 (``autogen``) · ag2 1.x."""


class TeamSpec(Payload):
    """Where a team comes from. ``factory`` is ``module:function``, called in the runner: see ``app.adapters.build``."""

    name: str
    title: str = ""
    description: str = ""
    factory: str
    version: Annotated[str, Field(description="another one: its code has changed, and needs a new process")] = ""
    file: Annotated[str | None, Field(description="the team's file, handed to the factory as `file`")] = None
    generation: Annotated[Generation | None, Field(description="None: not known before the factory was called")] = None
    agents: tuple[AgentCard, ...] = ()
    isolated: Annotated[bool, Field(description="a user's team: it runs in runners of its own")] = False
    on_abandoned: Annotated[OnAbandoned | None, Field(description="None: an unwatched run goes on")] = None


class TranscriptMessage(Payload):
    """A finished message of the conversation so far, for teams that restart from their transcript."""

    agent: str
    role: Literal["user", "agent", "system"]
    content: str


class Limits(Payload):
    """The settings that a run obeys."""

    probe_after_s: float = 1.0
    probe_timeout_s: float = 0.7
    first_token_timeout_s: float = 60.0
    stall_timeout_s: float = 30.0
    circuit_failures: int = 5
    circuit_window_s: float = 60.0
    circuit_open_s: float = 30.0
    word_delay_ms: float = 20.0
    demo_tokens_per_s: float = 25.0
    max_turns: int = 3
    max_checkpoint_bytes: int = 16_777_216
    max_artifact_bytes: int = 4_194_304
    max_artifacts: int = 200
    tool_timeout_s: float = 30.0
    mcp_servers: Annotated[str, Field(description="the path of a JSON file, as in the setting; empty: none")] = ""
    market_data: Annotated[str, Field(description="`module:function`; empty: the packaged figures")] = ""
    coingecko_url: str = "https://api.coingecko.com/api/v3"


class StartRun(Payload):
    op: Literal["start"] = "start"
    session: str
    conversation: str
    team: TeamSpec
    content: str
    content_type: ContentType
    providers: tuple[ProviderSpec, ...] = ()
    demo: Annotated[bool, Field(description="run the prepared script: there is no model, none is brought along")] = (
        False
    )
    options: RunOptions = RunOptions()
    limits: Limits = Limits()
    allowed: Annotated[int, Field(description="tokens that may be sent before the first grant", ge=1)] = 800
    max_tokens: Annotated[
        int | None, Field(description="tokens that the run may spend, prompts and replies; None: unlimited")
    ] = None
    metered: Annotated[
        bool, Field(description="true: others spend from the same budget; ask before each request (`spent`)")
    ] = False
    checkpoint: Annotated[
        dict[str, Any] | None, Field(description="state to resume from, as the adapter last sent it")
    ] = None
    transcript: Annotated[
        tuple[TranscriptMessage, ...],
        Field(description="finished messages so far, without the new content; used where there is no checkpoint"),
    ] = ()
    resumed: Annotated[
        bool, Field(description="true: the run goes on where another one broke off; `content` was said already")
    ] = False
    continued: Annotated[
        bool, Field(description="with `resumed`: in a new session, whose room has heard of no model and no demo yet")
    ] = False


class Grant(Payload):
    op: Literal["grant"] = "grant"
    session: str
    allowed: Annotated[int, Field(description="tokens that may be sent in all since the start; never decreases")]


class Control(Payload):
    """pause: acked when nothing more is taken from the model · resume · stop: acked when its HTTP request is closed."""

    op: Literal["pause", "resume", "stop"]
    session: str
    seq: int


class Budget(Payload):
    """The answer to :class:`Spent` of a metered run: so many tokens may it spend in all."""

    op: Literal["budget"] = "budget"
    session: str
    allowed: int
    wanted: Annotated[int, Field(description="of the question that this answers")] = 0


class Answer(Payload):
    """A person's answer to an ``input_request``, or why there is none. The web process keeps the deadline."""

    op: Literal["answer"] = "answer"
    session: str
    request_id: str
    resolution: Literal["answered", "granted", "denied", "timeout", "cancelled"]
    content: Annotated[str, Field(repr=False)] = ""


class Describe(Payload):
    """Build a team without running it. Replied: ``generation``, ``agents`` (cards), ``description``; or ``problem``."""

    op: Literal["describe"] = "describe"
    seq: int
    team: TeamSpec


class Ping(Payload):
    """A sign of life is wanted: replied at once, unless something blocks the event loop."""

    op: Literal["ping"] = "ping"
    seq: int = 0


class Probe(Payload):
    """Ask the providers whether they answer (`/api/v1/health/ready`)."""

    op: Literal["probe"] = "probe"
    seq: int
    providers: tuple[ProviderSpec, ...]
    timeout_s: float = 2.0
    look: Annotated[bool, Field(description="also say whether each one lists its model; reads what it answers")] = False


Down = Annotated[StartRun | Grant | Control | Budget | Answer | Describe | Ping | Probe, Field(discriminator="op")]
DOWN: TypeAdapter[StartRun | Grant | Control | Budget | Answer | Describe | Ping | Probe] = TypeAdapter(Down)


class Hello(Payload):
    """The runner is ready for work."""

    op: Literal["hello"] = "hello"
    pid: int


class RunEvent(Payload):
    """One protocol event (`app.protocol.events`) of a run. ``tokens`` is what it counts against the grant."""

    op: Literal["event"] = "event"
    session: str
    name: str
    payload: dict[str, Any]
    tokens: int = 1
    demo: bool = False


class Spent(Payload):
    """What a metered run has spent; sent every few tokens, and before each request."""

    op: Literal["spent"] = "spent"
    session: str
    tokens: Annotated[int, Field(description="so far, prompts and replies, those of open requests included")]
    wanted: Annotated[
        int, Field(description="tokens of a prompt that waits to be allowed by :class:`Budget`; 0: nothing waits")
    ] = 0


class Artifact(Payload):
    """Something too large for an event: a picture, a tool's whole answer. Precedes the event that names it."""

    op: Literal["artifact"] = "artifact"
    session: str
    artifact_id: Annotated[str, Field(description="unguessable, as conversations' ids are")]
    media_type: Annotated[str, Field(description="`image/svg+xml`, `image/png`, `text/plain; charset=utf-8`")]
    data: Annotated[str, Field(repr=False, description="base64")]


BEGINS_AGAIN: dict[str, Any] = {"begins_again": True}
"""The state of a team that cannot go on in the middle: it is resumed from the messages."""


class Checkpoint(Payload):
    """The run's state at a turn's end: resume from here. Empty: it grew too large, resume from the messages.

    ``BEGINS_AGAIN``, at the beginning of a run: it has no other, and may be begun again.
    """

    op: Literal["checkpoint"] = "checkpoint"
    session: str
    state: dict[str, Any]


class Reply(Payload):
    op: Literal["reply"] = "reply"
    seq: int
    ok: bool = True
    result: dict[str, Any] = Field(default_factory=dict)


class Ended(Payload):
    """The run is over and its HTTP requests are closed. Nothing of this session follows."""

    op: Literal["ended"] = "ended"
    session: str
    outcome: Literal["completed", "stopped", "error"]
    code: str | None = None
    message: str | None = None
    retryable: bool = False
    usage: Usage = Usage()


Up = Annotated[Hello | RunEvent | Spent | Artifact | Checkpoint | Reply | Ended, Field(discriminator="op")]
UP: TypeAdapter[Hello | RunEvent | Spent | Artifact | Checkpoint | Reply | Ended] = TypeAdapter(Up)
