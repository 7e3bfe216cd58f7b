"""What infra/topology.yaml declares: every topic, subscription, table and service, checked against itself."""

import msgspec

from shared.domain.checks import require


class Subscription(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A reader of a topic; its dead letters go to `<name>--dead`."""

    name: str
    topic: str
    ack_deadline_seconds: int
    max_delivery_attempts: int

    @property
    def dead_letter_topic(self) -> str:
        """Where what cannot be handled goes, with its reason."""
        return f"{self.name}--dead"


class Topic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A family of events under its published name. retention_hours: how long acknowledged messages are kept."""

    name: str
    events: tuple[str, ...]
    retention_hours: float


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of rows. max_versions: revisions kept per row. ttl_hours: age by write time, None = kept.

    fully_synchronous: a write is on disk before it returns (outbox, messages), not only safe from a killed process.
    write_once: a key always gets the same value, so that a store may write it without looking; its revision may stay 1.
    """

    name: str
    max_versions: int
    ttl_hours: float | None
    fully_synchronous: bool = False
    write_once: bool = False


class ServiceRights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a service may do. publishes: topics, dead letters of others among them. writes: tables, which it reads too.

    A name that ends in `*` stands for every table that begins so.
    """

    name: str
    publishes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


class Topology(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it. Raises InvalidValueError where names repeat, or something names what is not declared."""

    topics: tuple[Topic, ...]
    subscriptions: tuple[Subscription, ...]
    tables: tuple[Table, ...]
    services: tuple[ServiceRights, ...] = ()

    def __post_init__(self) -> None:
        for kind in ("topics", "subscriptions", "tables", "services"):
            names = [item.name for item in getattr(self, kind)]
            require(len(names) == len(set(names)), f"names of {kind} must be unique", names, "topology")
        topics = {topic.name for topic in self.topics}
        for subscription in self.subscriptions:
            place = f"topology, subscription {subscription.name}"
            require(subscription.topic in topics, "a subscription reads a declared topic", subscription.topic, place)
        topics |= {subscription.dead_letter_topic for subscription in self.subscriptions}
        for service in self.services:
            place = f"topology, service {service.name}"
            unknown = [name for name in service.publishes if name not in topics]
            require(not unknown, "a service publishes to declared topics", unknown, place)
            unknown = [name for name in (*service.reads, *service.writes) if not self._matching(name)]
            require(not unknown, "a service reads and writes declared tables", unknown, place)

    def _matching(self, name: str) -> tuple[Table, ...]:
        prefix = name.removesuffix("*")
        return tuple(
            item for item in self.tables if item.name == name or (prefix != name and item.name.startswith(prefix))
        )

    def tables_of(self, service: str) -> tuple[Table, ...]:
        """The tables a service may read, whether its name has hyphens or underscores; all for one that is not declared."""
        found = [item for item in self.services if item.name == service.replace("_", "-")]
        if not found:
            return self.tables
        names = [table.name for name in (*found[0].reads, *found[0].writes) for table in self._matching(name)]
        return tuple(table for table in self.tables if table.name in names)

    def table(self, name: str) -> Table:
        """The declared table; raises InvalidValueError for an undeclared one."""
        found = [table for table in self.tables if table.name == name]
        require(bool(found), "tables are declared in infra/topology.yaml", name, "topology")
        return found[0]

    def subscription(self, name: str) -> Subscription:
        """The declared subscription; raises InvalidValueError for an undeclared one."""
        found = [subscription for subscription in self.subscriptions if subscription.name == name]
        require(bool(found), "subscriptions are declared in infra/topology.yaml", name, "topology")
        return found[0]

    def subscriptions_of(self, topic: str) -> tuple[Subscription, ...]:
        """Who reads the topic; raises InvalidValueError for an undeclared one."""
        declared = any(item.name == topic for item in self.topics)
        require(declared, "topics are declared in infra/topology.yaml", topic, "topology")
        return tuple(subscription for subscription in self.subscriptions if subscription.topic == topic)
