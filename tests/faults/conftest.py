import pytest

from keras_spiking.backends.kernels import cache
from keras_spiking.backends.kernels import compiler


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """The folder of a cache of kernels; as a new process, this one knows none."""
    folder = tmp_path / "kernels"
    monkeypatch.setenv("KERAS_SPIKING_CACHE", str(folder))
    monkeypatch.setattr(compiler, "_handles", {})
    monkeypatch.setattr(compiler, "_hanging", set())
    forget = (compiler.compiler, compiler._command, cache._say)
    for function in forget:
        function.cache_clear()
    yield folder
    monkeypatch.undo()
    for function in forget:
        function.cache_clear()
