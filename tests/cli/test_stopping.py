import io
import signal
import subprocess
import sys

import pytest

WAITING = """
import os, signal, time
from edgefill.cli.stopping import StopRequest
with StopRequest() as stop:
    for number in ({signals}):
        os.kill(os.getpid(), number)
        time.sleep(0.05)
print(stop.signal, stop())
"""


def run(*signals):
    code = WAITING.format(signals="".join(f"{int(number)}," for number in signals))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_wish(number):
    done = run(number)
    assert done.returncode == 0 and done.stdout == f"{int(number)} True\n"
    assert "once more stops at once" in done.stderr


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_one_ends_the_process(second):
    done = run(signal.SIGINT, second)
    assert done.returncode == -second and done.stdout == ""


class Interrupting(io.RawIOBase):
    """A stream in the middle of whose first write a signal comes."""

    begun = False

    def writable(self):
        return True

    def write(self, content):
        if not self.begun:
            self.begun = True
            signal.raise_signal(signal.SIGINT)
        return len(content)


def test_a_signal_in_the_middle_of_what_is_said_is_a_wish_too(monkeypatch):
    """Python does not write to a stream while it writes to it."""
    from edgefill.cli.console import say
    from edgefill.cli.stopping import StopRequest

    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(Interrupting())))
    with StopRequest() as stop:
        say("epoch 1")
    assert stop.signal == signal.SIGINT


def test_handlers_are_put_back():
    from edgefill.cli.stopping import StopRequest

    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_ctrl_c_waits_for_the_end_of_the_block():
    from edgefill.cli.stopping import interrupts_held

    done, before = [], signal.getsignal(signal.SIGINT)  # a shell in the background ignores it
    with pytest.raises(KeyboardInterrupt), interrupts_held():
        signal.raise_signal(signal.SIGINT)
        done.append("written")
    assert done == ["written"]
    assert signal.getsignal(signal.SIGINT) is before
