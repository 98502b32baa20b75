from __future__ import annotations

import pytest

from edgefill.bench.timing import Rule, Spread, repeated


class Clock:
    """Time that passes only where a call says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def call(self, seconds):
        """A call that takes ``seconds`` and returns when it began."""

        def run():
            began = self.now
            self.now += seconds
            return began

        return run


def test_percentiles_are_nearest_ranks_as_trtexec_computes_them():
    samples = [float(value) for value in range(100, 0, -1)]  # in no helpful order
    assert Spread.of(samples) == Spread(median=50.5, p90=90.0, p99=99.0, samples=100)
    # of seven: the ranks are ⌈6.3⌉ and ⌈6.93⌉, both the last; of eleven: ⌈9.9⌉ and ⌈10.89⌉
    assert Spread.of([3, 1, 2, 7, 5, 6, 4]) == Spread(4, 7, 7, 7)
    assert Spread.of(range(11)) == Spread(5, 9, 10, 11)
    assert Spread.of([2.5]) == Spread(2.5, 2.5, 2.5, 1)


def test_a_percentile_that_is_a_rank_is_not_rounded_up():
    assert Spread.of(range(1, 11)).p90 == 9
    assert Spread.of(range(1, 201)).p99 == 198


def test_one_outlier_moves_the_tail_and_not_the_median():
    spread = Spread.of([1.0] * 99 + [50.0])
    assert (spread.median, spread.p90, spread.p99) == (1.0, 1.0, 1.0)
    assert Spread.of([1.0] * 98 + [50.0] * 2).p99 == 50.0


def test_warm_up_is_not_counted():
    clock = Clock()
    began = repeated(clock.call(0.25), Rule(warm_up=1.0, seconds=0.5, iterations=1), clock=clock)
    assert began == [1.0, 1.25]


def test_no_warm_up_calls_nothing_more():
    clock = Clock()
    assert repeated(clock.call(1.0), Rule(warm_up=0.0, seconds=1.0, iterations=1), clock=clock) == [0.0]


@pytest.mark.parametrize(("seconds", "iterations", "expected"), [(3.0, 4, 6), (3.0, 200, 200), (0.001, 1, 1)])
def test_it_ends_when_both_the_time_and_the_count_are_reached(seconds, iterations, expected):
    clock = Clock()
    rule = Rule(warm_up=0.0, seconds=seconds, iterations=iterations)
    assert len(repeated(clock.call(0.5), rule, clock=clock)) == expected


def test_progress_is_the_share_of_what_takes_longer_and_ends_whole():
    clock, shares = Clock(), []
    repeated(clock.call(1.0), Rule(0.0, seconds=4.0, iterations=2), clock=clock, progress=shares.append)
    assert shares == [0.25, 0.5, 0.75, 1.0]
    shares.clear()
    repeated(clock.call(1.0), Rule(0.0, seconds=1.0, iterations=2), clock=clock, progress=shares.append)
    assert shares == [0.5, 1.0]


def test_what_takes_too_long_is_measured_less_often():
    clock = Clock()
    rule = Rule(warm_up=0.0, seconds=1.0, iterations=200, longest=5.0)
    assert len(repeated(clock.call(2.0), rule, clock=clock)) == 3
    assert len(repeated(clock.call(90.0), rule, clock=clock)) == 1
    assert len(repeated(clock.call(0.01), rule, clock=clock)) == 200
