"""Everything about people, put together from the settings."""

from __future__ import annotations

import time
from dataclasses import dataclass

from app.auth.accounts import Accounts
from app.auth.api_tokens import ApiTokens
from app.auth.attempts import Attempts
from app.auth.endings import Endings
from app.auth.gatekeeper import Gatekeeper, ReadSession
from app.auth.jwks import KeySet
from app.auth.jwts import JsonWebTokens, JwtRules
from app.auth.passwords import Passwords
from app.auth.shares import Shares
from app.auth.sign_ins import SignIns
from app.concurrency import AsyncMode
from app.settings import Settings
from app.store.database import Database

_TOO_MANY = "too many attempts to sign in; try again in a minute"
_ADDRESSES = 10  # fewer than so many that guess a password do not keep the login's owner out


@dataclass(frozen=True, slots=True)
class People:
    """Accounts, their sign-ins and tokens, and who may try how often.

    :param attempts: by address. :param login_attempts: by login, from all addresses together.
    :param noted_floods: by address: how often the audit log tells of who is over these limits.
    """

    accounts: Accounts
    sign_ins: SignIns
    tokens: ApiTokens
    endings: Endings
    attempts: Attempts
    login_attempts: Attempts
    noted_floods: Attempts

    def delete(self, user_id: str) -> None:
        """Remove an account for good; what was opened with it ends. Its conversations go within a minute.

        :raises NotFound: :raises StoreUnavailable:
        """
        self.accounts.delete(user_id)
        self.endings.tell([f"user:{user_id}"])


def people_of(settings: Settings, database: Database, mode: AsyncMode) -> People:
    """The accounts in a database."""
    endings = Endings(database, mode)
    accounts = Accounts(database, Passwords(mode), settings.admin_users)
    return People(
        accounts=accounts,
        sign_ins=SignIns(database, accounts, endings, hours=settings.sign_in_hours),
        tokens=ApiTokens(database, accounts, endings, mode),
        endings=endings,
        attempts=Attempts(settings.max_sign_ins_per_minute, _TOO_MANY),
        login_attempts=Attempts(settings.max_sign_ins_per_minute * _ADDRESSES, _TOO_MANY),
        noted_floods=Attempts(1, _TOO_MANY),
    )


def gate_of(
    settings: Settings, people: People, mode: AsyncMode, read_session: ReadSession, shares: Shares
) -> Gatekeeper:
    """The one gate of a server."""
    keys = None
    if settings.jwt_jwks_url is not None:
        keys = KeySet(settings.jwt_jwks_url, mode, on_change=lambda: gate.forget_verified(), clock=time.monotonic)
    gate = Gatekeeper(
        guests=settings.guests_welcome(),
        read_session=read_session,
        sign_ins=people.sign_ins,
        tokens=people.tokens,
        jwts=JsonWebTokens(JwtRules.of(settings), keys),
        bad_tokens=Attempts(
            settings.max_bad_tokens_per_minute, "too many bad tokens came from this address; try again later"
        ),
        endings=people.endings,
        find_link=shares.find_link,
    )
    return gate
