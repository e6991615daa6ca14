"""Where a message goes: one queue a hypervisor, one for the control side, and in each what is interactive first."""

from stillframe.names import queue_for

__all__ = ["CONTROL_QUEUE", "PRIORITY_STEPS", "UNROUTED_QUEUE", "queue_for"]

CONTROL_QUEUE = "control"
#: Where a message lands that was sent without a queue: nobody reads it, and its length should stay 0.
UNROUTED_QUEUE = "unrouted"
#: The levels of a queue, the first is read first; producers and workers must agree on them.
PRIORITY_STEPS = [0, 3, 6, 9]
