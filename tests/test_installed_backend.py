"""The backend that is installed is found, and what the user has chosen is kept."""

import json
import os
import sys
import warnings

import pytest

from keras_spiking import installed_backend

pytestmark = pytest.mark.once


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that has not imported Keras, and what is to be installed in it."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def install(*packages, asked=None):
        monkeypatch.setattr(installed_backend, "_is_installed", packages.__contains__)
        if asked is not None:
            (tmp_path / "keras.json").write_text(json.dumps({"backend": asked}))

    return install


def chosen():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        installed_backend.choose()
    return os.environ["KERAS_BACKEND"]


@pytest.mark.parametrize("name", ["jax", "torch"])
def test_what_is_installed_is_found(fresh, name):
    fresh(name)
    assert chosen() == name


def test_tensorflow_stays_the_default_of_keras(fresh):
    fresh("tensorflow", "jax", "torch")
    assert chosen() == ""


def test_the_file_that_keras_writes_is_no_choice(fresh):
    fresh("torch", asked="tensorflow")
    assert chosen() == "torch"


def test_choices_of_the_user_are_kept(fresh, monkeypatch):
    fresh("jax", "torch", asked="torch")
    assert chosen() == ""
    monkeypatch.setenv("KERAS_BACKEND", "numpy")
    assert chosen() == "numpy"


def test_keras_that_is_imported_is_left_alone(fresh, monkeypatch):
    fresh()
    monkeypatch.setitem(sys.modules, "keras", None)
    assert chosen() == ""


def test_two_that_are_installed_are_told(fresh):
    fresh("jax", "torch")
    with pytest.warns(UserWarning, match="on jax: jax and torch are.*KERAS_BACKEND"):
        installed_backend.choose()


def test_nothing_installed(fresh):
    fresh()
    with pytest.raises(ImportError, match="`pip install jax`, .* `pip install torch`"):
        installed_backend.choose()


def test_a_choice_that_is_not_installed(fresh, monkeypatch):
    fresh("torch", asked="jax")
    file = r"keras\.json asks for the backend 'jax'"
    with pytest.raises(ImportError, match=f"{file}.*`export KERAS_BACKEND=torch`"):
        installed_backend.choose()
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(ImportError, match="KERAS_BACKEND=tensorflow asks.*pip install"):
        installed_backend.choose()


def test_a_folder_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "surely_no_package").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not installed_backend._is_installed("surely_no_package")
    assert not installed_backend._is_installed("no_package_at_all")
    assert installed_backend._is_installed("numpy")
