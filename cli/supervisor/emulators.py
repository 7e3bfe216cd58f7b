"""The emulators' own binaries and Redis: where they are, how they are started. gcloud's wrappers leave orphans behind."""

import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from shared.domain.errors import PermanentError

PUBSUB_PORT: Final = 8085
BIGTABLE_PORT: Final = 8086
REDIS_PORT: Final = 6390  # not Redis' own: what already runs there is not ours to fill
_HEAP_MB_MAX: Final = 1024  # acknowledged messages stay in the Pub/Sub emulator's heap


@cache
def sdk_root() -> Path:
    """Folder of the Google Cloud SDK; raises PermanentError saying what to install."""
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise PermanentError("the emulators come with the Google Cloud SDK: install gcloud and put it on the PATH")
    command = [gcloud, "info", "--format=value(installation.sdk_root)"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - found above
    if answer.returncode or not answer.stdout.strip():
        raise PermanentError(f"`gcloud info` does not say where the SDK is: {answer.stderr.strip()[:200]}")
    return Path(answer.stdout.strip())


def pubsub_command(port: int) -> tuple[str, ...]:
    """The Pub/Sub emulator on 127.0.0.1. It hangs on a port in use: probe the port first."""
    folder = sdk_root() / "platform" / "pubsub-emulator" / "lib"
    jars = sorted(folder.glob("cloud-pubsub-emulator-*-all.jar"))
    java = shutil.which("java")
    if not jars:
        raise PermanentError(f"no Pub/Sub emulator in {folder}: gcloud components install pubsub-emulator")
    if java is None:
        raise PermanentError(
            "the Pub/Sub emulator needs java on the PATH: on Debian, apt-get install default-jre-headless"
        )
    return (java, "-Xms64m", f"-Xmx{_HEAP_MB_MAX}m", "-jar", str(jars[-1]), "--host=127.0.0.1", f"--port={port}")


def bigtable_command(port: int) -> tuple[str, ...]:
    """The Bigtable emulator on 127.0.0.1."""
    binary = sdk_root() / "platform" / "bigtable-emulator" / "cbtemulator"
    if not binary.is_file():
        raise PermanentError(f"no Bigtable emulator at {binary}: gcloud components install bigtable")
    return (str(binary), "-host", "127.0.0.1", "-port", str(port))


def redis_command(port: int, folder: Path) -> tuple[str, ...]:
    """A Redis on 127.0.0.1 that keeps nothing on disk; `folder` is its working directory."""
    binary = shutil.which("redis-server")
    if binary is None:
        raise PermanentError("redis-server is not on the PATH: on Debian, apt-get install redis-server")
    flags = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder.resolve()))
    return (binary, "--port", str(port), *flags)
