"""The Dockerfile's own install steps in a clean environment, and the service that they make.

By default those of the logic engine: it is the largest and the only one with kernels. The other images' files, settings and
commands are started with the project's packages; that their locks have what they import is test_images_imports. IMAGE_TARGETS=all
(or names) executes the others' steps too, some minutes of both cores; benchmarks.images measures them all.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.image_runs import WEBHOOK, Run, running, towards, write_config
from tests.support.images import TARGETS, Image, build_image
from tests.support.notifier import CHAT
from tests.support.simulator import free_port, running_simulator
from tests.support.telegram_server import TelegramServer

MEGABYTES_MAX = {"logic-engine": 450, "notifier": 350}
OTHERS_MEGABYTES_MAX = 200
WEBHOOK_COMMAND = ("python", "-m", "services.notifier.webhook")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


def _chosen() -> list[str]:
    names = os.environ.get("IMAGE_TARGETS", "logic-engine")
    return list(TARGETS) if names == "all" else names.split()


@pytest.fixture(scope="module", params=_chosen())
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build_image(request.param, tmp_path_factory.mktemp(request.param))


def _files(image: Image) -> dict[str, tuple[int, int]]:
    """Everything that is not the writable folder, with size and time of change."""
    found = {}
    for part in ("opt", "app"):
        for file in (image.root / part).rglob("*"):
            status = file.lstat()
            found[str(file)] = (status.st_size, status.st_mtime_ns)
    return found


def test_the_service_starts_ready_from_its_image_and_writes_to_tmp_only(image: Image, tmp_path: Path):
    files = _files(image)
    if image.target == "tools":
        log = tmp_path / "log"
        code = image.start(log, command=("python", "-m", "cli.main", "infra", "check")).wait(60)
        assert (code, log.read_text()[:5]) == (2, "cst: "), (
            log.read_text()
        )  # one line: the embedded file has no resources
    else:
        with running_simulator(symbols=SYMBOLS) as simulator:
            environment = towards(simulator, write_config(tmp_path / "tracker.yaml", SYMBOLS))
            with running(image, tmp_path, **environment) as run:
                assert image.healthy(**run.environment)
                if image.target == "macro-engine":
                    report = httpx.post(f"http://127.0.0.1:{run.port}/", timeout=60)
                    assert report.status_code == 200, report.text
            log = run.log.read_text()
        if image.target == "logic-engine":
            [ready] = [json.loads(line) for line in log.splitlines() if "kernels_ready" in line]
            assert ready["compiled"] == 0

    assert _files(image) == files
    assert image.disk_megabytes() < MEGABYTES_MAX.get(image.target, OTHERS_MEGABYTES_MAX)


def test_the_platform_runs_from_its_images_files(tmp_path: Path):
    """What each image copies, sets and starts, on one embedded file; the packages are the project's own."""
    environment = Path(sys.prefix)
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(running_simulator(symbols=SYMBOLS))
        shared = towards(simulator, write_config(tmp_path / "tracker.yaml", SYMBOLS))
        shared["NUMBA_DISABLE_JIT"] = "1"  # the aggregator's image has no Numba to compile with
        for target in ("ingestion", "aggregator", "notifier", "macro-engine"):
            image = build_image(target, tmp_path / target, installed=environment)
            run = stack.enter_context(running(image, tmp_path, **shared, DATA_DIR=str(tmp_path / "data")))
            assert image.healthy(**run.environment)
            if target == "notifier":
                door = stack.enter_context(_webhook(image, tmp_path, shared))
        report = httpx.post(f"http://127.0.0.1:{run.port}/", timeout=60)
        refusal = httpx.post(f"http://127.0.0.1:{door.port}/", json={"update_id": 1})

    assert report.status_code == 200, report.text
    assert refusal.status_code == 401, refusal.text


@contextlib.contextmanager
def _webhook(image: Image, folder: Path, shared: dict[str, str]) -> Iterator[Run]:
    """The second entry point of the notifier's image."""
    with TelegramServer(chats=(CHAT,)) as server:
        secrets = {
            "TELEGRAM_BOT_TOKEN": server.token,
            "TELEGRAM_CHAT_ID": str(CHAT),
            "WEBHOOK_SECRET": "a-secret-of-the-tests",
        }
        variables = {**shared, **secrets, "TELEGRAM_API_URL": server.base_url, "DATA_DIR": str(folder / "data")}
        with running(image, folder, command=WEBHOOK_COMMAND, asked=WEBHOOK, **variables) as run:
            yield run


def test_without_a_writable_folder_the_start_says_what_to_mount(image: Image, tmp_path: Path):
    if not (image.folder / "baked").is_dir():
        pytest.skip("nothing is baked into this image")
    log = tmp_path / "log"
    nowhere = {"NUMBA_CACHE_DIR": "/proc/kernels", "MPLCONFIGDIR": "/proc/matplotlib", "HTTP_PORT": str(free_port())}

    code = image.start(log, **nowhere).wait(30)

    assert code == 2
    assert "cannot be written: mount a writable folder" in log.read_text().splitlines()[-1]
