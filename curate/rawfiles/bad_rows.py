"""Rows that cannot be read: each is one row of its file, with the reason for which it is skipped."""

from typing import NamedTuple

NOT_JSON = "not_json"
TOO_DEEP = "too_deep"
CELLS_DO_NOT_FIT = "cells_do_not_fit"
CELL_UNREADABLE = "cell_unreadable"


class BadRow(NamedTuple):
    """A row that cannot be read, and why; `detail` says what was found."""

    reason: str
    detail: str = ""
