"""Numbers that a kernel takes as arguments."""


class Scalar(float):
    """A float that remembers where it comes from.

    In place of the fixed parameters of a layer it makes a step's expressions the same
    whatever their values: all values of a time constant share one compiled kernel.
    Arithmetic is Python's own, in double precision, as in the reference.

    Attributes:
        origin: What it was computed from: equal origins have equal values.
    """

    dtype = "float32"  # Keras asks the operands of symbols

    def __new__(cls, value, origin):
        scalar = super().__new__(cls, value)
        scalar.origin = origin
        return scalar


def _operator(name):
    def operator(self, *others):
        if not all(isinstance(other, (int, float)) for other in others):
            return NotImplemented
        value = getattr(float, name)(self, *map(float, others))
        if not isinstance(value, float):
            return value
        origins = [getattr(other, "origin", float(other)) for other in others]
        return Scalar(value, (name, self.origin, *origins))

    return operator


for _name in ("add", "sub", "mul", "truediv", "pow"):
    setattr(Scalar, f"__{_name}__", _operator(f"__{_name}__"))
    setattr(Scalar, f"__r{_name}__", _operator(f"__r{_name}__"))
Scalar.__neg__ = _operator("__neg__")
