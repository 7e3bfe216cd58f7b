"""The aggregator's service loop on the embedded adapters."""

import asyncio

import yaml

from services.aggregator.main import start
from services.aggregator.settings import Settings
from shared.runtime.service import open_context


async def test_it_prunes_the_cache_and_tells_that_nothing_comes(tmp_path):
    config = tmp_path / "tracker.yaml"
    venues = {"bybit-linear": {"symbols": ["AAA"], "rest_url": "http://127.0.0.1:9"}}
    config.write_text(yaml.safe_dump({"venues": venues, "strategies": [{"name": "rsi_divergence"}]}))
    quick = {"PRUNE_EVERY_SECONDS": 0.1, "FEED_FRESHNESS_SECONDS": 0.2, "STATUS_EVERY_SECONDS": 0.1}
    settings = Settings(DATA_DIR=tmp_path, TRACKER_CONFIG=config, INSTANCE_ID="a", **quick)
    async with open_context("aggregator", settings) as context:
        await context.cache.set("gone", b"x", ttl_ms=1)
        running = asyncio.create_task(start(context))
        [told] = await context.bus.pull("notifier--system-events", max_messages=10, wait_seconds=10)
        assert (told.event.kind, told.event.subject) == ("blind", "aggregator#bybit-linear")
        assert await context.cache.prune() == 0
        await asyncio.sleep(0.3)
        assert b'"feed_blind":true' in (await context.cache.get("status:aggregator") or b"")
        context.stopping.set()
        await asyncio.wait_for(running, 10)
