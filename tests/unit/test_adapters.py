"""Which adapters the environment chooses, and that nothing else is imported."""

import os
import subprocess
import sys

import pytest

from shared.runtime.adapters import Choice, bigtable_place, chosen, pubsub_project
from shared.runtime.settings import ServiceSettings, SettingsError

VARIABLES = (
    "BUS", "STORE", "CACHE", "PUBSUB_EMULATOR_HOST", "PUBSUB_PROJECT_ID", "GOOGLE_CLOUD_PROJECT", "BIGTABLE_INSTANCE",
    "BIGTABLE_EMULATOR_HOST", "REDIS_URL",
)  # fmt: skip
EMBEDDED = Choice(bus="sqlite", store="sqlite", cache="sqlite")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def build(**values: str) -> ServiceSettings:
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return ServiceSettings()

    return build


@pytest.mark.parametrize(
    ("values", "choice"),
    [
        ({}, EMBEDDED),
        ({"PUBSUB_EMULATOR_HOST": ""}, EMBEDDED),
        ({"PUBSUB_EMULATOR_HOST": "127.0.0.1:1"}, Choice(bus="pubsub", store="sqlite", cache="sqlite")),
        ({"GOOGLE_CLOUD_PROJECT": "p", "PUBSUB_PROJECT_ID": "p"}, EMBEDDED),
        ({"GOOGLE_CLOUD_PROJECT": "p", "BUS": "pubsub"}, Choice(bus="pubsub", store="sqlite", cache="sqlite")),
        ({"BIGTABLE_EMULATOR_HOST": "127.0.0.1:1"}, Choice(bus="sqlite", store="bigtable", cache="sqlite")),
        ({"BIGTABLE_INSTANCE": "i"}, Choice(bus="sqlite", store="bigtable", cache="sqlite")),
        ({"REDIS_URL": "redis://h"}, Choice(bus="sqlite", store="sqlite", cache="redis")),
        ({"REDIS_URL": "redis://h", "PUBSUB_EMULATOR_HOST": "h:1", "BUS": "sqlite", "CACHE": "sqlite"}, EMBEDDED),
    ],
)
def test_the_brokers_whose_address_is_set_are_chosen_unless_named_otherwise(settings, values, choice):
    assert chosen(settings(**values)) == choice


def test_a_real_project_must_be_named_and_an_emulator_need_not(settings):
    with pytest.raises(SettingsError, match="PUBSUB_PROJECT_ID or GOOGLE_CLOUD_PROJECT"):
        pubsub_project(settings(BUS="pubsub"))
    with pytest.raises(SettingsError, match="GOOGLE_CLOUD_PROJECT and BIGTABLE_INSTANCE"):
        bigtable_place(settings(BIGTABLE_INSTANCE="i"))
    emulated = settings(PUBSUB_EMULATOR_HOST="h:1", BIGTABLE_EMULATOR_HOST="h:2")
    assert pubsub_project(emulated) == "demo"
    assert bigtable_place(emulated) == ("demo", "i")
    assert pubsub_project(settings(PUBSUB_PROJECT_ID="own", GOOGLE_CLOUD_PROJECT="all")) == "own"


def test_a_password_in_the_redis_url_is_never_shown(settings):
    assert "hunter2" not in repr(settings(REDIS_URL="redis://:hunter2@h/0"))


@pytest.mark.parametrize("service", ["ingestion", "aggregator", "logic_engine", "macro_engine", "notifier"])
def test_an_embedded_service_imports_nothing_of_google_or_redis(service: str):
    code = (  # installed packages may name `google` in a .pth file, before anything of ours runs
        f"import sys\nbefore = set(sys.modules)\nimport services.{service}.main, shared.runtime.adapters\n"
        "new = set(sys.modules) - before\n"
        "print(sorted({name.split('.')[0] for name in new} & {'google', 'grpc', 'redis', 'proto'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_the_bus_on_pubsub_imports_neither_bigtable_nor_redis():
    code = "import sys, shared.bus.pubsub\nprint([m for m in sys.modules if 'bigtable' in m or m == 'redis'])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )

    assert done.stdout.strip() == "[]"
