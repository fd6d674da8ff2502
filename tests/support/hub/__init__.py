"""A Hugging Face Hub on loopback, with faults: `with Hub(root) as hub`.

By hand: `python -m tests.support.hub --root DIR`.
"""

from .faults import ENDPOINTS, KINDS, Fault, Plan, Struck
from .hub import Hub
from .server import Seen
from .store import Commit

__all__ = ["ENDPOINTS", "KINDS", "Commit", "Fault", "Hub", "Plan", "Seen", "Struck"]
