"""Creates, checks and deletes the tables that infra/topology.yaml declares, with their garbage collection."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import grpc.aio
from google.api_core import exceptions as api_errors
from google.auth.exceptions import GoogleAuthError
from google.cloud.bigtable_admin_v2 import BigtableTableAdminAsyncClient, types
from google.cloud.bigtable_admin_v2.services.bigtable_table_admin.transports import (
    BigtableTableAdminGrpcAsyncIOTransport,
)

from shared.domain.errors import PermanentError, TransientError
from shared.domain.topology import Table, Topology
from shared.store.bigtable_cells import FAMILY
from shared.store.bigtable_connection import EMULATOR_VARIABLE

_SECONDS_MAX: Final = 20.0  # per call; creating a table takes a real instance some seconds
_CALLS_MAX: Final = 8


class BigtableAdmin:
    """Administers the tables of one instance; see `open_admin`."""

    def __init__(self, client: BigtableTableAdminAsyncClient, project: str, instance: str) -> None:
        self._client = client
        self._parent = f"projects/{project}/instances/{instance}"
        self._slots = asyncio.Semaphore(_CALLS_MAX)

    async def missing_tables(self, topology: Topology) -> list[str]:
        """Names of declared tables that are not there, or are there without our column family, sorted."""
        found = await asyncio.gather(*(self._found(table) for table in topology.tables))
        pairs = zip(topology.tables, found, strict=True)
        return sorted(table.name for table, there in pairs if there is None or FAMILY not in there.column_families)

    async def create_tables(self, topology: Topology) -> list[str]:
        """Create what is missing and set right what is collected otherwise than declared; returns the names it touched."""
        touched = await asyncio.gather(*(self._create(table) for table in topology.tables))
        return sorted(table.name for table, changed in zip(topology.tables, touched, strict=True) if changed)

    async def delete_tables(self, topology: Topology) -> list[str]:
        """Delete the declared tables with everything in them; returns the names of those that were there."""
        deleted = await asyncio.gather(*(self._delete(table) for table in topology.tables))
        return sorted(table.name for table, gone in zip(topology.tables, deleted, strict=True) if gone)

    async def _create(self, table: Table) -> bool:
        there = await self._found(table)
        family = types.ColumnFamily(gc_rule=_collection(table))
        if there is None:
            wanted = types.Table(column_families={FAMILY: family})
            async with self._slots:
                try:
                    await self._client.create_table(
                        parent=self._parent, table_id=table.name, table=wanted, timeout=_SECONDS_MAX, retry=None
                    )
                except api_errors.AlreadyExists:
                    return False
            return True
        known = there.column_families.get(FAMILY)
        if known is not None and known.gc_rule == family.gc_rule:
            return False
        change = types.ModifyColumnFamiliesRequest.Modification(
            id=FAMILY, **{"create" if known is None else "update": family}
        )
        request = types.ModifyColumnFamiliesRequest(name=self._name(table), modifications=[change])
        async with self._slots:
            await self._client.modify_column_families(request, timeout=_SECONDS_MAX, retry=None)
        return True

    async def _delete(self, table: Table) -> bool:
        async with self._slots:
            try:
                await self._client.delete_table(name=self._name(table), timeout=_SECONDS_MAX, retry=None)
            except api_errors.NotFound:
                return False
        return True

    async def _found(self, table: Table) -> types.Table | None:
        request = types.GetTableRequest(name=self._name(table), view=types.Table.View.SCHEMA_VIEW)
        async with self._slots:
            try:
                return await self._client.get_table(request, timeout=_SECONDS_MAX, retry=None)
            except api_errors.NotFound:
                return None

    def _name(self, table: Table) -> str:
        return f"{self._parent}/tables/{table.name}"


@asynccontextmanager
async def open_admin(project: str, instance: str) -> AsyncIterator[BigtableAdmin]:
    """The admin of an instance; on an emulator when BIGTABLE_EMULATOR_HOST is set, and then nothing of Google is dialled.

    Raises inside the block: TransientError where nobody answers, PermanentError where the caller may not.
    """
    emulator = os.environ.get(EMULATOR_VARIABLE) or None
    place = f"Bigtable {project}/{instance}" + (f" on the emulator at {emulator}" if emulator else "")
    try:
        client = _client(emulator)
        async with client:
            yield BigtableAdmin(client, project, instance)
    except (api_errors.PermissionDenied, api_errors.InvalidArgument, api_errors.NotFound) as error:
        raise PermanentError(f"{_one_line(error)} ({place})") from error
    except (api_errors.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise TransientError(f"no answer from Bigtable's admin service: {_one_line(error)} ({place})") from error


def _client(emulator: str | None) -> BigtableTableAdminAsyncClient:
    if emulator is None:
        return BigtableTableAdminAsyncClient()
    # The admin client does not know the variable: the channel is made by hand.
    # Connections of its own: shared ones would make it wait where another client has just failed to connect.
    channel = grpc.aio.insecure_channel(emulator, options=[("grpc.use_local_subchannel_pool", 1)])
    return BigtableTableAdminAsyncClient(transport=BigtableTableAdminGrpcAsyncIOTransport(channel=channel))


def _collection(table: Table) -> dict[str, Any]:
    """A cell goes when enough newer ones are there, or when it is too old: either is enough."""
    versions = {"max_num_versions": table.max_versions}
    if table.ttl_hours is None:
        return versions
    return {"union": {"rules": [versions, {"max_age": timedelta(hours=table.ttl_hours)}]}}


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
