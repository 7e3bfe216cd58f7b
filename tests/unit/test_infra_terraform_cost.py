"""The bill is reckoned from what Terraform makes, and docs/cost.md says the same."""

from pathlib import Path

from benchmarks.monthly_cost import RATES, full, lite, sizing, table, total

DOC = Path(__file__).resolve().parents[2] / "docs" / "cost.md"
BEGIN, END = "<!-- begin: python -m benchmarks.monthly_cost -->\n", "<!-- end -->"


def test_the_document_shows_what_is_reckoned():
    text = DOC.read_text(encoding="utf-8")
    shown = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    assert shown.strip() == "\n".join(table()).strip(), (
        "run `python -m benchmarks.monthly_cost` and put it into docs/cost.md"
    )


def test_full_is_under_200_dollars_plus_bigtable_and_lite_under_20():
    sizes = sizing()
    assert total(full(sizes["full"])) < 200
    assert 470 < total(full(sizes["full"]), apart=True) < 500
    assert total(lite(sizes["lite"])) < 20


def test_a_second_node_and_a_second_instance_are_paid_for():
    sizes = sizing()["full"]
    more = {**sizes, "units": {**sizes["units"], "aggregator": {**sizes["units"]["aggregator"], "instances": 2}}}
    assert round(total(full(more)) - total(full(sizes)), 2) == 30.75  # (0.000011244 + 0.5 * 0.000001235) * 2,592,000
    nodes = {**sizes, "bigtable": {**sizes["bigtable"], "nodes": 2}}
    assert total(full(nodes), apart=True) - total(full(sizes), apart=True) == RATES["bigtable node"].dollars * 730
