"""Folders that commands write to."""

from pathlib import Path

from shared.domain.errors import PermanentError


def make_folder(out: Path) -> None:
    """Make the folder, writable; raises PermanentError."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermanentError(f"--out cannot be written: {error.strerror} ({out})") from error
