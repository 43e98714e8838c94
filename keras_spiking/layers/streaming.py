"""How layers hand their state from one time step to the next.

`StepByStep` calls a network once for every time step, each time with a sequence
of length one. Inside a `Stream`, a layer with a state starts from where the
previous step left it. States are kept in the order of the calls, so that a
layer that is called twice in one step has two states.
"""

_streams = []


class Stream:
    """Carries the states of all layers through one time step.

    Args:
        previous: States after the previous step, or `None` in the first one.
    """

    def __init__(self, previous=None):
        self.previous = previous
        self.states = []

    def __enter__(self):
        _streams.append(self)
        return self

    def __exit__(self, *_):
        _streams.pop()


class Slot:
    """The place of one layer's state in the present step.

    Attributes:
        previous: The state that the previous step left here, or `None` to start
            afresh.
    """

    def __init__(self):
        self.stream = _streams[-1] if _streams else None
        self.previous = None
        if self.stream is not None:
            self.index = len(self.stream.states)
            self.stream.states.append(None)
            if self.stream.previous is not None:
                self.previous = self.stream.previous[self.index]

    def put(self, state):
        """Keeps `state` for the next step, if there is one."""
        if self.stream is not None:
            self.stream.states[self.index] = state


def previous_state():
    """What the next `Slot` will find, without taking that place."""
    stream = _streams[-1] if _streams else None
    if stream is None or stream.previous is None:
        return None
    return stream.previous[len(stream.states)]
