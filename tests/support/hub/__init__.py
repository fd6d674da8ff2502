"""A Hugging Face Hub on loopback, with faults: `with Hub(root) as hub`.

By hand: `python -m tests.support.hub --root DIR`.
"""

from .faults import ANEW, ENDPOINTS, HOSTILE, KINDS, Fault, Plan, Struck
from .hub import Hub
from .server import Seen
from .store import Commit
from .stranger import Stranger

__all__ = ["ANEW", "ENDPOINTS", "HOSTILE", "KINDS", "Commit", "Fault", "Hub", "Plan", "Seen", "Stranger", "Struck"]
