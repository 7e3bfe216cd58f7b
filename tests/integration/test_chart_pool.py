"""Charts drawn in a process of their own."""

import asyncio
import os
import signal

import msgspec

from services.notifier.chart_drawing import draw_chart
from services.notifier.chart_pool import ProcessChartPool
from services.notifier.core.chart_model import ChartLook
from tests.support.chart_cases import chart_cases


async def test_every_chart_of_a_worker_that_was_killed_is_drawn_by_the_next_one():
    model = chart_cases()["open_long"]
    models = [msgspec.structs.replace(model, footer=f"{number:016x}") for number in range(5)]
    pool = ProcessChartPool(look=ChartLook(scale=1.0))
    await pool.warm()
    [worker] = pool._executor._processes

    drawing = [asyncio.create_task(pool.draw(item)) for item in models]
    await asyncio.sleep(0)
    os.kill(worker, signal.SIGKILL)
    pictures = await asyncio.gather(*drawing)

    assert pictures == [draw_chart(item) for item in models]
    [other] = pool._executor._processes
    assert other != worker
    await pool.close()


async def test_the_event_loop_goes_on_while_a_worker_draws():
    pool = ProcessChartPool(look=ChartLook(scale=1.0))
    drawing = asyncio.create_task(pool.draw(chart_cases()["open_long"]))  # a second: the worker starts and imports
    steps = 0
    while not drawing.done():
        await asyncio.sleep(0.005)
        steps += 1

    assert (await drawing).startswith(b"\x89PNG")
    assert steps > 20
    await pool.close()
