"""Locks of threads."""

import os
import threading


class Lock:
    """A lock that a thread may take again, and that is free in a new child process.

    A fork copies a lock as it is, but not the thread that holds it and would free it.
    """

    def __init__(self):
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self):
        self._lock = threading.RLock()

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()
