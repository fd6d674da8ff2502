"""Signals that end a run in order: Ctrl-C, and SIGTERM as schedulers and torchrun send it."""

import os
import signal
import threading
from types import FrameType

GRACE_SECONDS = 120.0
"""How long after SIGTERM a step may take to end. Longer, and a peer is gone whom the step waits for."""


class Interrupts:
    """Records SIGINT and SIGTERM inside its block, so that a step can end; a second SIGINT interrupts at once.

    `received` is the signal's number, 0 before any. After SIGTERM the process is killed if it does not call
    `in_order` within GRACE_SECONDS: torchrun sends SIGTERM to processes whose peer is dead, and those could wait
    for ever. A thread watches, since Python runs no handler while a collective waits.
    """

    def __init__(self) -> None:
        self.received = 0
        self._ended = threading.Event()

    def __enter__(self) -> "Interrupts":
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        self._write, self._woken = write, signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._before = {one: signal.signal(one, self._record) for one in (signal.SIGINT, signal.SIGTERM)}
        self._watch = threading.Thread(target=self._wait, args=(self._read,), name="interrupts", daemon=True)
        self._watch.start()
        return self

    def _record(self, number: int, frame: FrameType | None) -> None:
        if number == self.received == signal.SIGINT:
            signal.default_int_handler(number, frame)
        self.received = number

    def _wait(self, pipe: int) -> None:
        while woken := os.read(pipe, 1):
            if woken[0] == signal.SIGTERM and not self._ended.wait(GRACE_SECONDS):
                os.kill(os.getpid(), signal.SIGKILL)

    def in_order(self) -> None:
        """Tell the watcher that the step has ended on all ranks: what is left takes as long as it takes."""
        self._ended.set()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken)
        os.close(self._write)
        self._watch.join()
        os.close(self._read)
