"""Who may do what. An empty list means nobody."""

from enum import IntEnum

import msgspec


class Role(IntEnum):
    """Each may do what the one before it may."""

    NONE = 0
    VIEWER = 1
    TRADER = 2
    ADMIN = 3

    @property
    def key(self) -> str:
        """Its name in the configuration and in the languages."""
        return self.name.lower()


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """User ids by role."""

    viewer: frozenset[int] = frozenset()
    trader: frozenset[int] = frozenset()
    admin: frozenset[int] = frozenset()

    def of(self, user_id: int) -> Role:
        """The highest role of a user."""
        if user_id in self.admin:
            return Role.ADMIN
        if user_id in self.trader:
            return Role.TRADER
        return Role.VIEWER if user_id in self.viewer else Role.NONE
