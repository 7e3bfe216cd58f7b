"""The delivery figure in small: limits, faults and kills at once; the large one is benchmarks/delivery_torture.py."""

from shared.domain.outbox import FINAL_STATES
from tests.support.delivery_torture import Plan, Torture


async def test_under_limits_faults_and_kills_every_delivery_ends_and_every_repeat_is_marked(tmp_path):
    plan = Plan(
        signals=24, alerts=6, reports=6, seconds=6.0, factor=60.0, kills=2, flood_share=0.06, error_share=0.08, seed=3
    )
    report = await Torture(tmp_path, plan).run()

    assert report.deliveries > 250
    assert report.kills == 2
    assert report.lost == []
    assert report.repeats_unmarked == []
    assert set(report.states) <= {state.value for state in FINAL_STATES}
    assert report.injected_429 + report.errors_5xx > 5, "the faults were felt"
    assert report.overtaken_max <= 1
