"""Who gets a lease, and with which fence: one rule for every store."""

from typing import Final

from shared.domain.checks import require
from shared.store.port import Lease

_BOOT_MARK: Final = "/"


def owner_of(instance_id: str, boot: str) -> str:
    """The owner of a lease: an instance, and which of its processes. Of two boots the later one's text is the greater."""
    require(bool(instance_id) and bool(boot), "instance and boot have names", (instance_id, boot), "owner of a lease")
    require(
        _BOOT_MARK not in boot, f"a boot holds no {_BOOT_MARK!r}", boot, f"owner of a lease, instance {instance_id}"
    )
    return f"{instance_id}{_BOOT_MARK}{boot}"


def granted(held: Lease | None, name: str, owner: str, *, now_ms: int, ttl_ms: int) -> Lease | None:
    """The lease that the owner gets now, None while another holds it.

    The same owner renews and keeps its fence. A lease that is free, released or expired goes to whoever asks, and one held by
    an earlier boot of the same instance goes to the later boot at once; both with the next fence. The earlier boot cannot
    take it back: two processes of one instance do not pass it to and fro.
    """
    require(bool(owner), "the owner of a lease has a name", owner, f"lease {name}")
    fence = held.fence if held else 0
    if held is None or held.owner != owner:
        if held and held.owner and now_ms < held.expires_at_ms and not _is_later_boot(owner, held.owner):
            return None
        fence += 1
    return Lease(name=name, owner=owner, fence=fence, expires_at_ms=now_ms + ttl_ms)


def _is_later_boot(owner: str, holder: str) -> bool:
    instance, mark, boot = owner.rpartition(_BOOT_MARK)
    held_instance, held_mark, held_boot = holder.rpartition(_BOOT_MARK)
    return bool(mark and held_mark) and instance == held_instance and boot > held_boot
