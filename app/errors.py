"""The exception tree. Every error that can reach a client has a stable code and a retryable flag.

ColloquyError
├── RequestError             the caller's mistake; nothing has changed
│   ├── InvalidPayload       invalid_payload
│   ├── UnknownCommand       unknown_command
│   ├── ContentEmpty         content_empty
│   ├── ContentTooLarge      content_too_large
│   ├── TeamUnknown          team_unknown
│   ├── ConversationUnknown  conversation_unknown
│   ├── MessageUnknown       message_unknown
│   ├── InputUnknown         input_unknown
│   ├── AnsweredAlready      input_resolved
│   ├── NotFound             not_found           (a token, a link, a provider, …)
│   ├── Unauthenticated      unauthenticated
│   │   └── TokenExpired     token_expired       (come back with a fresh one)
│   ├── NotPermitted         not_permitted
│   │   └── CsrfFailed       csrf_failed
│   ├── InvalidState         invalid_state
│   └── LimitExceeded        limit_exceeded      (retryable)
├── StoreUnavailable         store_unavailable   (retryable: the database does not answer)
├── KeysUnavailable          keys_unavailable    (retryable: nobody can say whether a token is good)
├── SocketsUnavailable       sockets_unavailable (only HTTP is served)
├── ModelError               a model or its connection failed
│   ├── ModelUnavailable     model_unreachable, model_stalled, model_broken, … (another provider may answer)
│   └── ModelRejected        context_overflow, content_refused, model_bad_request (no fallback: the request itself)
└── RunError                 the run died under its conversation
    ├── RunnerLost           runner_lost
    ├── SessionTimeout       session_timeout
    ├── Interrupted          interrupted
    ├── MessageTooLong       message_too_long
    ├── BudgetExhausted      budget_exhausted    (what was said until then is kept)
    ├── TeamFailed           team_failed
    │   └── FetchFailed      fetch_failed
    └── BackendUnavailable   backend_unavailable
"""

from __future__ import annotations

from typing import Any, ClassVar


class ColloquyError(Exception):
    """The base of all errors that Colloquy raises on purpose.

    :param message: a sentence for a person; never a secret, never a stack trace.
    :param code: overrides the class's stable code where one class covers several.
    :param retry_after_s: when it is worth trying again, in seconds, where that is known.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s
        self.error_code = code or self.code

    def to_payload(self) -> dict[str, Any]:
        """The one JSON shape of an error: ``{code, message, retryable}``, and ``retry_after_s`` where it is known."""
        payload: dict[str, Any] = {"code": self.error_code, "message": self.message, "retryable": self.retryable}
        if self.retry_after_s is not None:
            payload["retry_after_s"] = round(self.retry_after_s, 3)
        return payload


class RequestError(ColloquyError):
    """The caller's mistake. Nothing has changed."""

    code = "bad_request"
    http_status = 400


class InvalidPayload(RequestError):
    code = "invalid_payload"


class UnknownCommand(RequestError):
    code = "unknown_command"


class ContentEmpty(RequestError):
    code = "content_empty"


class ContentTooLarge(RequestError):
    code = "content_too_large"
    http_status = 413


class TeamUnknown(RequestError):
    code = "team_unknown"
    http_status = 404


class ConversationUnknown(RequestError):
    code = "conversation_unknown"
    http_status = 404


class MessageUnknown(RequestError):
    code = "message_unknown"
    http_status = 404


class InputUnknown(RequestError):
    """No agent has asked this, or its run has ended."""

    code = "input_unknown"
    http_status = 404


class AnsweredAlready(RequestError):
    """The agent no longer waits: somebody else has answered, its time is over, or its run was stopped."""

    code = "input_resolved"
    http_status = 409


class NotFound(RequestError):
    """What an address names is not there, or not for this caller: a token, a link, a provider."""

    code = "not_found"
    http_status = 404


class Unauthenticated(RequestError):
    code = "unauthenticated"
    http_status = 401


class TokenExpired(Unauthenticated):
    """The token was good once. A fresh one is needed."""

    code = "token_expired"


class NotPermitted(RequestError):
    code = "not_permitted"
    http_status = 403


class CsrfFailed(NotPermitted):
    """A request that changes something came with a sign-in's cookie, but without the page's own proof."""

    code = "csrf_failed"


class InvalidState(RequestError):
    code = "invalid_state"
    http_status = 409


class LimitExceeded(RequestError):
    """:param retry_after_s: where nobody can say, ten seconds: whoever is refused must not come back at once."""

    code = "limit_exceeded"
    retryable = True
    http_status = 429

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float | None = 10.0) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)


class StoreUnavailable(ColloquyError):
    """The database does not answer, or refuses. Streaming goes on; what cannot be written waits."""

    code = "store_unavailable"
    retryable = True
    http_status = 503


class KeysUnavailable(ColloquyError):
    """The public keys of the tokens' issuer cannot be had: nobody can say whether a token is good."""

    code = "keys_unavailable"
    retryable = True
    http_status = 503


class SocketsUnavailable(ColloquyError):
    """The socket layer could not start."""

    code = "sockets_unavailable"
    http_status = 503


class ModelError(ColloquyError):
    """A model, or the way to it, failed."""

    code = "model_error"
    http_status = 502


class ModelUnavailable(ModelError):
    """The provider cannot answer now; another one may.

    Codes: ``model_unreachable`` (refused, DNS, TLS), ``model_unauthorized`` (401, 403), ``model_not_found`` (404),
    ``model_rate_limited`` (429), ``model_server_error`` (5xx), ``model_stalled`` (silent for too long),
    ``model_broken`` (the stream ended in the middle).
    """

    code = "model_unreachable"
    retryable = True


class ModelRejected(ModelError):
    """The request itself was refused; another provider would not help.

    Codes: ``context_overflow``, ``content_refused``, ``model_bad_request``.
    """

    code = "model_bad_request"


class RunError(ColloquyError):
    """The run died under its conversation."""

    code = "run_failed"
    retryable = True


class RunnerLost(RunError):
    code = "runner_lost"


class SessionTimeout(RunError):
    code = "session_timeout"


class Interrupted(RunError):
    code = "interrupted"


class MessageTooLong(RunError):
    """A message grew beyond MAX_MESSAGE_CHARS. What came until then is kept as a partial message."""

    code = "message_too_long"
    retryable = False


class BudgetExhausted(RunError):
    """The run has spent all tokens that it may spend: of its conversation, or of its owner's day."""

    code = "budget_exhausted"
    retryable = False


class TeamFailed(RunError):
    code = "team_failed"
    retryable = False


class FetchFailed(TeamFailed):
    """The address that the user gave could not be read."""

    code = "fetch_failed"


class BackendUnavailable(RunError):
    """No configured provider answers; the conversation goes on as a demo."""

    code = "backend_unavailable"
