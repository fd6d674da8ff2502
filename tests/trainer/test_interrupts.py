"""Signals end a step; a process that hangs after SIGTERM is killed."""

import signal
import subprocess
import sys

import pytest

from trainer.interrupts import Interrupts

HANGS = """
import sys, time
from trainer import interrupts
interrupts.GRACE_SECONDS = 0.3
with interrupts.Interrupts() as caught:
    print("ready", flush=True)
    while not caught.received: time.sleep(0.01)
    if sys.argv[1] == "in order": caught.in_order()
    time.sleep(2)
print("done", flush=True)
"""


@pytest.mark.parametrize(("how", "code", "printed"), [("in order", 0, "done\n"), ("hangs", -9, "")])
def test_after_sigterm_a_step_has_to_end(how, code, printed):
    process = subprocess.Popen([sys.executable, "-c", HANGS, how], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate()[0] == printed
    assert process.returncode == code


def test_a_second_ctrl_c_interrupts_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupts() as caught:
        signal.raise_signal(signal.SIGINT)
        assert caught.received == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
