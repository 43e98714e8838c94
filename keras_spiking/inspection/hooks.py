"""Functions around methods of single objects, such as one layer's `call`.

A hook is active within a block of code, or within the training steps of one `fit`, and
only in the thread that runs it: none can be left behind on a model.
"""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras

from keras_spiking.locks import Lock

# An object, the name of a method, and `hook(call, *args, **kwargs)` to call instead.
Hook = tuple[Any, str, Callable]


class _Present(threading.local):
    hooks: Mapping = MappingProxyType({})  # from pairs of an object's `id` and a name


_present = _Present()
_lock = Lock()
_MISSING = object()
_LAST = "_last_hooked_training"  # (plain function, hooks, function with hooks)


class _StandIn:
    """Stands in for a method of one object while somebody has hooks around it."""

    def __init__(self, owner, name):
        self.key = id(owner), name
        self.replaced = vars(owner).get(name, _MISSING)
        self.method = getattr(owner, name)
        self.users = 0

    def __call__(self, *args, **kwargs):
        call = self.method
        for hook in _present.hooks.get(self.key, ()):
            call = functools.partial(hook, call)
        return call(*args, **kwargs)


@contextlib.contextmanager
def around(hooks: Iterable[Hook]) -> Iterator[None]:
    """Has hooks called in place of methods, within this context.

    Several hooks can be around one method; the last one is outermost.

    Args:
        hooks: List of tuples of an object, the name of its method and the hook, a
            function `hook(call, *args, **kwargs)`.
    """
    before = _present.hooks
    active = dict(before)
    with contextlib.ExitStack() as stack:
        for owner, name, hook in hooks:
            key = id(owner), name
            active[key] = (*active.get(key, ()), hook)
            _acquire(owner, name)
            stack.callback(_release, owner, name)
        _present.hooks = active
        try:
            yield
        finally:
            _present.hooks = before


def _acquire(owner, name):
    with _lock:
        # Not `setattr`: layers keep track of what is assigned to them.
        if not isinstance(vars(owner).get(name), _StandIn):
            vars(owner)[name] = _StandIn(owner, name)
        vars(owner)[name].users += 1


def _release(owner, name):
    with _lock:
        stand_in = vars(owner)[name]
        stand_in.users -= 1
        if not stand_in.users:
            del vars(owner)[name]
            if stand_in.replaced is not _MISSING:
                vars(owner)[name] = stand_in.replaced


class HookedTraining:
    """Hooks around methods during the training steps of one `fit`.

    It takes the place of the model's compiled training function until the `fit` ends.
    Keras does not tell callbacks that a `fit` was interrupted: then the next `fit` or
    `train_on_batch` puts the function back that was there before. A function with the
    same hooks as in the last `fit` is not compiled again.

    Args:
        model: The model that is trained.

    Raises:
        RuntimeError: if TensorFlow trains replicas of the model.
    """

    def __init__(self, model: Any):
        strategy = getattr(model, "distribute_strategy", None)  # of TensorFlow
        if strategy is not None and strategy.num_replicas_in_sync > 1:
            raise RuntimeError(
                "Callbacks that watch training steps from within, such as "
                "FiringRateLogger and STDP, see one replica alone of a "
                f"{type(strategy).__name__}. Train without them, or on JAX or PyTorch "
                "with several processes."
            )
        model.make_train_function()
        self.model = model
        self.plain = model.train_function
        self.hooks = []
        self.function = None
        self.in_fit = _runs_fit(model)
        model.train_function = self
        model.__dict__["make_train_function"] = self._make_train_function

    @classmethod
    def of(cls, model: keras.Model) -> "HookedTraining":
        """The one that the model is trained with at present."""
        present = getattr(model, "train_function", None)
        return present if isinstance(present, cls) else cls(model)

    def add(self, hooks: Iterable[Hook]) -> None:
        """Adds hooks, if they are not there yet."""
        new = [hook for hook in hooks if hook not in self.hooks]
        if new:
            self.hooks, self.function = [*self.hooks, *new], None

    def end(self) -> None:
        """Puts the model's own training function back."""
        self.model.__dict__.pop("make_train_function", None)
        if self.model.train_function is self:
            # A function that is made for devices knows the number of variables: Keras
            # makes another one, now that callbacks may have added some.
            is_distributed = keras.distribution.distribution() is not None
            self.model.train_function = None if is_distributed else self.plain

    def __call__(self, *args: Any) -> Any:
        with around(self.hooks):
            if self.function is None:
                with _variables_have_values(self.model, args):
                    self.function = self._compiled()
            return self.function(*args)

    def _compiled(self):
        plain, hooks, function = vars(self.model).get(_LAST, (None, None, None))
        if plain is not self.plain or hooks != self.hooks:
            function = self._make(force=True)
            self.model.train_function = self
            vars(self.model)[_LAST] = self.plain, self.hooks, function
        return function

    def _make(self, force):
        type(self.model).make_train_function(self.model, force=force)
        return self.model.train_function

    def _make_train_function(self, force=False):
        """In place of the model's: without `force`, Keras starts another run."""
        if force or not (self.in_fit or _runs_fit(self.model)):
            if force or self.model.train_function is not self:
                self.plain, self.function = self._make(force), None
            self.model.train_function = self
        else:
            self.end()
            self.model.make_train_function()
        return self.model.train_function


def _variables_have_values(model, args):
    """On JAX they have none in a `fit`: they are arguments of its training function."""
    if keras.config.backend() != "jax":
        return contextlib.nullcontext()
    variables = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    pairs = [pair for group in zip(variables, args[0]) for pair in zip(*group)]
    return keras.StatelessScope(pairs)


def _runs_fit(model):
    """Whether the present code has been called by `model.fit`.

    Otherwise the user has a loop of `train_on_batch`, which calls the callbacks.
    """
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_code.co_name == "fit" and frame.f_locals.get("self") is model:
            return True
        frame = frame.f_back
    return False
