"""Stub while the kernels are being rebuilt."""


def serving(layer, inputs, masked, fresh):
    return None


def forget(layer):
    pass


def prepare(layer):
    pass


def choose(layer, features):
    return None, "kernels are being rebuilt"
