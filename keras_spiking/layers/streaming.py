"""How layers hand their state from one time step to the next.

`StepByStep` calls a network once for every time step, each time with a sequence
of length one. Inside a `Stream`, a layer with a state starts from where the
previous step left it. States are kept in the order of the calls, so that a
layer that is called twice in one step has two states.

The stream that a layer finds is that of its thread: threads that call models at the
same time do not see each other's. (`torch.compile` cannot trace a `ContextVar`.)
"""

import threading


class _Present(threading.local):
    stream = None


_present = _Present()


class Stream:
    """Carries the states of all layers through one time step.

    Args:
        previous: States after the previous step, or `None` in the first one.
    """

    def __init__(self, previous=None):
        self.previous = previous
        self.states = []

    def __enter__(self):
        self._outer, _present.stream = _present.stream, self
        return self

    def __exit__(self, *_):
        _present.stream = self._outer


class Slot:
    """The place of one layer's state in the present step.

    Attributes:
        previous: The state that the previous step left here, or `None` to start
            afresh.
    """

    def __init__(self):
        self.stream = _present.stream
        self.previous = previous_state()
        if self.stream is not None:
            self.index = len(self.stream.states)
            self.stream.states.append(None)

    def put(self, state):
        """Keeps `state` for the next step, if there is one."""
        if self.stream is not None:
            self.stream.states[self.index] = state


def is_streaming():
    """Whether a sequence is being presented step by step."""
    return _present.stream is not None


def previous_state():
    """What the next `Slot` will find, without taking that place."""
    stream = _present.stream
    if stream is None or stream.previous is None:
        return None
    return stream.previous[len(stream.states)]
