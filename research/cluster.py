"""A sweep on a Dask cluster that is already there: the same candidates, in the same order, from as many machines as it has.

The workers need this project installed, the same files of it: another version could give another result, so that it is refused. What is
sent is pickled: give a cluster only to those who may run code on it.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from research.history import History
from research.portfolio import Account
from research.recipe import Recipe
from research.sweep import Candidate, candidates_of
from shared.domain.errors import PermanentError

if TYPE_CHECKING:
    from distributed import Client

SETS_PER_TASK: Final = 25  # some milliseconds to some seconds of work each


def candidates_on(
    address: str,
    recipe: Recipe,
    grid: Sequence[dict[str, Any]],
    history: History,
    account: Account,
    first: int,
    *,
    connect_seconds: float,
) -> Iterator[Candidate]:
    """Each set's candidate, in the grid's order. address: of the scheduler, tcp://host:8786 say.

    Raises PermanentError where no scheduler answers, none of its workers is there, or one runs other code than this.
    """
    with _connected(address, connect_seconds) as client:
        client.wait_for_workers(1, timeout=connect_seconds)
        other = [worker for worker, code in client.run(code_digest).items() if code != code_digest()]
        if other:
            raise PermanentError(
                f"every worker must run this version of the project, was another on {', '.join(other)}"
            )
        shared = client.scatter((recipe, history, account, first), broadcast=True)
        tasks = [
            client.submit(_swept, shared, list(grid[begin : begin + SETS_PER_TASK]), pure=False)
            for begin in range(0, len(grid), SETS_PER_TASK)
        ]
        for task in tasks:
            yield from task.result()


def code_digest() -> str:
    """Names the sources of everything a sweep runs."""
    root = Path(__file__).parent.parent
    files = sorted(file for folder in ("research", "shared") for file in (root / folder).rglob("*.py"))
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _check_workers(client: "Client", address: str, seconds: float) -> None:
    try:
        client.wait_for_workers(1, timeout=seconds)
        codes = client.run(code_digest)
    except TimeoutError as error:
        raise PermanentError(f"the scheduler must have a worker within {seconds:g} s, had none ({address})") from error
    except ImportError as error:
        raise PermanentError(f"every worker must have this project installed: {error} ({address})") from error
    other = [worker for worker, code in codes.items() if code != code_digest()]
    if other:
        raise PermanentError(f"every worker must run this version of the project, was another on {', '.join(other)}")


def _swept(shared: tuple[Recipe, History, Account, int], grid: Sequence[dict[str, Any]]) -> list[Candidate]:
    recipe, history, account, first = shared
    return list(candidates_of(recipe, grid, history, account, first))


def _connected(address: str, seconds: float) -> "Client":
    try:
        from distributed import Client
    except ImportError as error:
        raise PermanentError("distributed is not installed: pip install --group research") from error
    try:
        return Client(address, timeout=seconds, set_as_default=False)  # type: ignore[no-untyped-call]  # so it is in distributed
    except (OSError, ValueError, TypeError) as error:
        rule = "--scheduler must be the address of a running Dask scheduler, tcp://host:8786 say"
        raise PermanentError(f"{rule}, was {address!r}: {error}") from error
