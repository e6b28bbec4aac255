"""The benchmark suite: calls take turns, ratios and slopes are right, different work is not compared."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from benchmarks import peers, report, timing
from benchmarks.timing import LEAST_ROUNDS, Measurement, Record, take_turns

pyperf = pytest.importorskip("pyperf", reason="pyperf is not installed")


def test_calls_take_turns(monkeypatch):
    monkeypatch.setattr(timing, "_SHORTEST", 0.0)
    order = []
    calls = {name: lambda name=name: order.append(name) or sum(range(200_000)) for name in "ab"}
    times = take_turns(calls, seconds=0.0)
    assert {len(wall) for wall, _ in times.values()} == {LEAST_ROUNDS}
    assert {len(processor) for _, processor in times.values()} == {LEAST_ROUNDS}
    # What comes before the rounds is two calls of each.
    assert Counter(order[:4]) == {"a": 2, "b": 2}
    assert order[4:] == ["a", "b"] * LEAST_ROUNDS


def test_a_short_call_is_repeated_after_one_that_does_not_count(monkeypatch):
    monkeypatch.setattr(timing, "_repeats", lambda call: 20)
    now, calls = [0.0], []

    def call():
        calls.append(now[0])
        now[0] += 1.0 if len(calls) % 21 == 1 else 0.1

    monkeypatch.setattr(timing, "perf_counter", lambda: now[0])
    ((wall, _),) = take_turns({"short": call}, seconds=0.0).values()
    assert len(calls) == 21 * LEAST_ROUNDS
    assert wall == pytest.approx([0.1] * LEAST_ROUNDS)


def test_a_value_lasts_long_enough():
    assert timing._repeats(lambda: None) > 1000
    assert timing._repeats(lambda: time.sleep(1.5 * timing._SHORTEST)) == 1


def test_a_ratio_is_the_median_within_rounds():
    # The machine was slower in later rounds; the ratio of the medians would be 4.
    assert report._ratio([2.0, 20.0, 30.0], [1.0, 5.0, 10.0]) == 3.0


def test_a_slope_is_that_of_the_power_law():
    sizes = {f"{n} molecules": float(n) for n in (32, 64, 352)}

    def row(exponent):
        return {
            column: Measurement(f"scaling/{column}/x", "second", [n**exponent, 3 * n**exponent])
            for column, n in sizes.items()
        }

    assert report._slope(sizes, row(1.3)) == "1.300"


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [(0.0123, "second", "12.3 ms"), (2e-7, "second", "0.2 µs"), (1.5e6, "byte", "1.5 MB"), (12.0, "integer", "12")],
)
def test_values_are_shown_with_units(value, unit, text):
    assert report._shown(Measurement("a/b/c", unit, [value])) == text


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record(quick=True)
    record.add("a/b/c", [1.0, 2.0], processor=[0.5, 0.5])
    record.skip("a/b/d", "two\nlines")
    record.save(tmp_path / "record.json")
    assert Record.load(tmp_path / "record.json") == record
    assert record.skipped == {"a/b/d": "two lines"}


def test_files_hold_what_was_measured(tmp_path):
    record = Record()
    record.add("exchange/10/numpy to jax", [1e-6, 3e-6, 2e-6])
    record.skip("exchange/100/numpy to jax", "no time")
    report.write(record, tmp_path, threads=1)
    (found,) = pyperf.BenchmarkSuite.load(str(tmp_path / "bench.json")).get_benchmarks()
    assert (found.get_name(), found.median()) == ("exchange/10/numpy to jax", 2e-6)
    text = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert "| numpy to jax | 2 µs |" in text
    assert "- no time: exchange/100/numpy to jax" in text
    for name, reason in peers.missing().items():
        assert f"- peer {name}: not there ({reason})" in text


def test_different_work_is_not_compared():
    peers._agree("smee", 100.0001, 100.0, 1e-4)
    with pytest.raises(ArithmeticError, match=r"smee has the energy 101.0 kJ/mol, ours is 100.0: .* not the same work"):
        peers._agree("smee", 101.0, 100.0, 1e-4)
