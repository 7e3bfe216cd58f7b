"""What the file holds, by version. A migration is one more entry in MIGRATIONS; older files climb through them."""

import sqlite3
from typing import Final

from shared.domain.errors import PermanentError

# Names of topics, subscriptions and tables are stored once and used as small integers everywhere else.
#
# rows / versions: newest values / the older revisions kept beside them, so that scans read newest rows only.
#   aging = 1 where the table has a time to live: only those pay for the index by age.
# deliveries: one row per message and subscription until it is acknowledged. visible_at_ms: when it may be pulled (its
#   publication, the end of its lease or its delay). lease: which pull holds it; what a stale acknowledgement lacks.
_VERSION_1: Final = """
CREATE TABLE names (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (kind, name));

CREATE TABLE rows (
    tbl INTEGER NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL, fence INTEGER NOT NULL,
    written_at_ms INTEGER NOT NULL, aging INTEGER NOT NULL, PRIMARY KEY (tbl, key)) WITHOUT ROWID;
CREATE INDEX rows_by_age ON rows (tbl, written_at_ms) WHERE aging = 1;
CREATE TABLE versions (
    tbl INTEGER NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, value BLOB NOT NULL, fence INTEGER NOT NULL,
    written_at_ms INTEGER NOT NULL, PRIMARY KEY (tbl, key, revision)) WITHOUT ROWID;
CREATE TABLE leases (
    name TEXT PRIMARY KEY, owner TEXT NOT NULL, fence INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, topic INTEGER NOT NULL, published_at_ms INTEGER NOT NULL,
    attributes BLOB NOT NULL, data BLOB NOT NULL);
CREATE INDEX messages_by_age ON messages (topic, published_at_ms);
CREATE TABLE deliveries (
    number INTEGER PRIMARY KEY, subscription INTEGER NOT NULL, visible_at_ms INTEGER NOT NULL, message INTEGER NOT NULL,
    attempts INTEGER NOT NULL, lease INTEGER NOT NULL);
CREATE INDEX deliveries_ready ON deliveries (subscription, visible_at_ms, message);
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT, subscription INTEGER NOT NULL, message_id TEXT NOT NULL, data BLOB NOT NULL,
    attributes BLOB NOT NULL, reason TEXT NOT NULL, dead_at_ms INTEGER NOT NULL);
CREATE INDEX dead_letters_by_subscription ON dead_letters (subscription, id);

CREATE TABLE cache_values (
    key TEXT PRIMARY KEY, value BLOB NOT NULL, expires_at_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX cache_values_by_expiry ON cache_values (expires_at_ms);
CREATE TABLE cache_fields (
    key TEXT NOT NULL, field TEXT NOT NULL, value BLOB NOT NULL, expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (key, field)) WITHOUT ROWID;
CREATE INDEX cache_fields_by_expiry ON cache_fields (expires_at_ms);
"""
# How often a dead letter was delivered before.
_VERSION_2: Final = "ALTER TABLE dead_letters ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0"
MIGRATIONS: Final = (_VERSION_1, _VERSION_2)
VERSION: Final = len(MIGRATIONS)
# Marks the file as ours ("CST1"): a database of something else is refused instead of being built upon.
APPLICATION_ID: Final = 0x43535431


def refuse_foreign(path: str) -> None:
    """Look before anything is changed: raises PermanentError when the file is another program's or too new for us."""
    connection = sqlite3.connect(path)
    try:
        application, version = _state(connection)
        _check(connection, path, application, version)
    finally:
        connection.close()


def migrate(connection: sqlite3.Connection, path: str) -> None:
    """Bring the schema to VERSION in one transaction; several processes may try at once, one does it.

    Raises PermanentError when the file is of a newer version or belongs to another program.
    """
    if _state(connection) == (APPLICATION_ID, VERSION):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        application, version = _state(connection)
        _check(connection, path, application, version)
        for migration in MIGRATIONS[version:]:
            for statement in migration.split(";\n"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _state(connection: sqlite3.Connection) -> tuple[int, int]:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return int(application), int(connection.execute("PRAGMA user_version").fetchone()[0])


def _check(connection: sqlite3.Connection, path: str, application: int, version: int) -> None:
    foreign = application != APPLICATION_ID and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if foreign:
        raise PermanentError(f"{path} is a database of another program: choose another DATA_DIR")
    if version > VERSION:
        raise PermanentError(
            f"{path} has schema version {version}, this program knows {VERSION}: update the program or move the file away"
        )
