"""The clock that rings for deadlines, and whose thread is there only while it is waited for."""

from __future__ import annotations

import threading

from edgefill.completion.alarm import Alarm

LONG = 60  # seconds that nothing here takes


class Bell:
    def __init__(self) -> None:
        self.rung = threading.Event()
        self.alarm = Alarm(self.ring)

    def ring(self) -> None:
        self.rung.set()


def test_it_rings_at_the_earliest_time_and_then_needs_no_thread():
    others, bell = set(threading.enumerate()), Bell()  # of servers that other tests share, too
    bell.alarm.set(float("inf"))
    bell.alarm.set(1e300)  # longer than a lock may wait
    bell.alarm.set(0.01)
    assert bell.rung.wait(LONG)
    bell.alarm.set(LONG)
    threads = set(threading.enumerate()) - others
    bell.alarm.close()
    for thread in threads:
        thread.join(LONG)
    assert threads and not any(thread.is_alive() for thread in threads)
