"""docker/Dockerfile without Docker: its install steps, executed as they stand in it, under a folder that plays the root.

An absolute path of COPY, ENV and WORKDIR lands below that folder; RUN steps name none. What only concerns the base image
(accounts, removing pip) is left out, and a copy from the build's stage stays where it was made: Numba keys its cache by the
sources' folder. A service runs with the image's environment and nothing else, started by its ENTRYPOINT.
"""

import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
from dockerfile_parse import DockerfileParser

PROJECT = Path(__file__).resolve().parents[2]
TARGETS = ("ingestion", "aggregator", "logic-engine", "notifier", "macro-engine", "simulator", "tools")
_OURS = ("/opt", "/app", "/tmp")  # noqa: S108 - the folders of the image that are not its base's
_MEGABYTE = 1_000_000
_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
_BUILD_SECONDS_MAX = 600.0


class Instruction(NamedTuple):
    """One line of the Dockerfile, continuation lines joined."""

    name: str
    value: str


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A built target: where it lies and how it runs."""

    target: str
    root: Path
    environment: dict[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    healthcheck: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Of the sources, where commands run."""
        return self.root / "app"

    def disk_megabytes(self) -> float:
        """What the steps installed and copied, in files' own bytes; the base image is not in it."""
        files = (file for part in ("opt", "app") for file in (self.root / part).rglob("*"))
        return sum(file.lstat().st_size for file in files) / _MEGABYTE

    def start(self, log: Path, *, command: tuple[str, ...] = (), **environment: str) -> "subprocess.Popen[bytes]":
        """Run the service, or another command of the image, as a container would."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [*self.entrypoint, *(command or self.command)],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def healthy(self, *, check: tuple[str, ...] = (), **environment: str) -> bool:
        """Whether the HEALTHCHECK of the image says so, or another check of it."""
        python = str(self.root / "opt" / "venv" / "bin" / "python")
        command = [python if word == "python" else word for word in check or self.healthcheck]
        answer = subprocess.run(
            command, cwd=self.folder, env={**self.environment, **environment}, capture_output=True, check=False
        )
        return answer.returncode == 0


def build_image(target: str, root: Path, *, installed: Path | None = None) -> Image:
    """Execute the target's build; raises AssertionError with the output of a step that fails.

    installed: an environment to take in place of RUN steps, where only files, settings and commands matter.
    """
    stages = _stages()
    run = stages[target]
    [built] = {match[1] for item in run if (match := re.match(r"--from=(\S+)", item.value))}
    builder = _Builder(root)
    if installed is not None:
        (root / "opt").mkdir()
        (root / "opt" / "venv").symlink_to(installed)
    builder.execute(stages[built], with_steps=installed is None)
    image = _Builder(root)
    image.execute(run, with_steps=False)
    return Image(
        target=target,
        root=root,
        environment={**image.environment, "HOME": str(root / "tmp")},
        entrypoint=tuple(image.said["ENTRYPOINT"]),
        command=tuple(image.said["CMD"]),
        healthcheck=tuple(image.said.get("HEALTHCHECK", ())),
    )


def _stages() -> dict[str, list[Instruction]]:
    """The instructions of each stage, those of the stage it comes from first."""
    parser = DockerfileParser(path=str(PROJECT / "docker" / "Dockerfile"))
    found: dict[str, list[Instruction]] = {}
    here: list[Instruction] = []
    for item in parser.structure:
        if item["instruction"] == "FROM":
            base, _, name = item["value"].partition(" AS ")
            here = found[name] = list(found.get(base, ()))
        elif item["instruction"] != "COMMENT":
            here.append(Instruction(item["instruction"], item["value"]))
    return found


class _Builder:
    """Executes instructions in order."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._at = root
        self.said: dict[str, list[str]] = {}
        self.environment: dict[str, str] = {}
        (root / "tmp").mkdir(parents=True, exist_ok=True)
        python = root / "usr" / "bin" / "python"
        if not python.exists():  # the base image's interpreter, which has pip
            python.parent.mkdir(parents=True)
            python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
            python.chmod(0o755)

    def execute(self, instructions: list[Instruction], *, with_steps: bool) -> None:
        for name, value in instructions:
            match name:
                case "WORKDIR":
                    self._at = self._below(value)
                    self._at.mkdir(parents=True, exist_ok=True)
                case "ENV":
                    self.environment |= dict(self._variable(part) for part in shlex.split(value))
                case "COPY":
                    self._copy(value.split())
                case "RUN" if with_steps:
                    self._run(value)
                case "ENTRYPOINT" | "CMD":
                    self.said[name] = msgspec.json.decode(value, type=list[str])
                case "HEALTHCHECK" if value != "NONE":
                    self.said[name] = msgspec.json.decode(value.partition(" CMD ")[2], type=list[str])
                case _:  # ARG, LABEL, USER: nothing to do outside Docker
                    pass

    def _below(self, path: str) -> Path:
        return self._root / path.removeprefix("/") if path.startswith("/") else self._at / path

    def _variable(self, text: str) -> tuple[str, str]:
        name, _, value = text.partition("=")
        places = [self._place(part) for part in value.split(":")]
        return name, ":".join(places)

    def _place(self, text: str) -> str:
        return str(self._root / text[1:]) if text.startswith(_OURS) else text

    def _copy(self, words: list[str]) -> None:
        if words[0].startswith("--from="):
            assert words[1] == words[2], "what is built must lie where it is run"
            assert self._below(words[1]).is_dir()
            return
        *sources, target = words
        for source in sources:
            place = self._below(target) / (Path(source).name if target.endswith("/") else "")
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, place, dirs_exist_ok=True, ignore=_ignored)
            else:
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / source, place)

    def _run(self, command: str) -> None:
        command = re.sub(r"--mount=\S+\s+", "", command)
        assert not re.search(r"(^|[\s=\"'])/", command), f"a step names an absolute path: {command}"
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "NUMBA", "VIRTUAL"))
        }
        path = f"{self._root / 'usr' / 'bin'}:{_SYSTEM_PATH}"
        answer = subprocess.run(
            ["sh", "-c", command],
            cwd=self._at,
            env={**kept, **self.environment, "PATH": path},
            capture_output=True,
            text=True,
            timeout=_BUILD_SECONDS_MAX,
            check=False,
        )
        assert answer.returncode == 0, f"{command}\n{answer.stdout[-2000:]}\n{answer.stderr[-2000:]}"


def _ignored(folder: str, names: list[str]) -> set[str]:
    """What .dockerignore leaves out below the folders that it lets in."""
    patterns = [
        line.removeprefix("**/")
        for line in (PROJECT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        if line.startswith("**/")
    ]
    del folder
    return {name for name in names for pattern in patterns if fnmatch.fnmatch(name, pattern)}
