"""A shutdown does not wait for a picture."""

import subprocess
import sys

PROGRAM = """
import asyncio, time
from services.notifier.chart_pool import ProcessChartPool, _in_worker

async def main():
    pool = ProcessChartPool()
    drawing = asyncio.ensure_future(_in_worker(pool._running(), time.sleep, 600))
    while not (pool._executor and pool._executor._processes):
        await asyncio.sleep(0.01)
    await pool.close()
    await asyncio.gather(drawing, return_exceptions=True)

if __name__ == "__main__":
    asyncio.run(main())
"""


def test_a_process_ends_though_a_worker_is_busy(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)

    done = subprocess.run([sys.executable, str(script)], timeout=60, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
