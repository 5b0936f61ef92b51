"""Who may do what with a conversation: its owner, and whom it is shared with."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

Person = tuple[str | None, str]
"""Tenant and id of a person: an id is unique within a tenant alone."""


class Role(StrEnum):
    """What somebody is to a conversation; each may do what the next one may, and more."""

    OWNER = "owner"
    """May rename, delete and share it."""
    EDITOR = "editor"
    """May steer it: pause, resume, stop, send messages, edit them."""
    VIEWER = "viewer"
    """May watch and read it, and say what they think of a message."""

    def covers(self, wanted: Role) -> bool:
        """Whether this role may do what another one may."""
        return _RANK[self] >= _RANK[wanted]


_RANK = {Role.VIEWER: 1, Role.EDITOR: 2, Role.OWNER: 3}


@dataclass(frozen=True, slots=True)
class LinkGrant:
    """A link whose holders may come in.

    :param expires_at: UTC, ISO 8601, milliseconds, ``Z``; None: never.
    """

    role: Role
    expires_at: str | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """Who may come in. Replaced as a whole when something of it changes.

    :param tenant: only people of the same tenant have a role by their name (FEATURES C7); None: people without one.
    :param users: user id → role.
    :param links: link id → what its holders may do; revoked ones are not among them.
    """

    owner: str
    tenant: str | None = None
    users: dict[str, Role] = field(default_factory=dict)
    links: dict[str, LinkGrant] = field(default_factory=dict)

    @property
    def owned_by(self) -> Person:
        """Whose its runs are, and who pays for them."""
        return self.tenant, self.owner

    def role_of(self, user_id: str, tenant: str | None, links: Collection[str], now: str) -> Role | None:
        """The highest role that somebody has; None: a stranger, who shall not even learn that it exists.

        :param links: ids of the links that they hold.
        :param now: UTC, ISO 8601, milliseconds, ``Z``.
        """
        found: list[Role] = []
        if user_id and tenant == self.tenant:
            if user_id == self.owner:
                return Role.OWNER
            if user_id in self.users:
                found.append(self.users[user_id])
        for link_id in links:
            grant = self.links.get(link_id)
            if grant is not None and (grant.expires_at is None or now < grant.expires_at):
                found.append(grant.role)
        return max(found, key=_RANK.__getitem__, default=None)
