"""A Hugging Face Hub on loopback, with faults: `with Hub(root) as hub`.

By hand: `python -m tests.support.hub --root DIR`.
"""

from .faults import ANEW, ENDPOINTS, HOSTILE, KINDS, Fault, Plan, Struck
from .hub import Hub
from .other_host import OtherHost
from .server import Seen
from .store import Commit

__all__ = [
    "ANEW",
    "ENDPOINTS",
    "HOSTILE",
    "KINDS",
    "Commit",
    "Fault",
    "Hub",
    "OtherHost",
    "Plan",
    "Seen",
    "Struck",
]
