"""Full disks, and caches of others: what is whole is used, and the remedy is named."""

import errno
import os
import tempfile
import warnings

import children
import numpy as np
import pytest

from keras_spiking.backends.kernels import compiler
from keras_spiking.datasets import EventDataset
from keras_spiking.datasets import Frames
from keras_spiking.datasets import SyntheticGestures

pytestmark = pytest.mark.once

TEXT = "int answer(void) { return 42; }"


def limited(function, size=200):
    """Runs a function in a child none of whose files may be longer than this."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    function()


def expect(error, *texts):
    def check(function, *args):
        with pytest.raises(error) as raised:
            function(*args)
        for text in texts:
            assert text in str(raised.value)

    return check


def test_no_space_for_the_compiler(kernels):
    def load():
        expect(RuntimeError, "could not compile", "TMPDIR")(compiler.load, TEXT)

    assert children.run(limited, load, 2000) == 0
    assert not kernels.exists()


def test_no_space_for_the_copy_of_a_kernel(kernels):
    compiler.load(TEXT)
    compiler._handles.clear()

    def load():
        expect(RuntimeError, "File too large", "TMPDIR")(compiler.load, TEXT)

    assert children.run(limited, load) == 0
    assert compiler.load(TEXT).answer() == 42


@pytest.mark.parametrize("fault", ["full", "gone"])
def test_another_folder_serves_for_a_temporary_one(
    fault, kernels, tmp_path, monkeypatch
):
    place, statvfs = tmp_path / "temporary", os.statvfs
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    if fault == "full":
        place.mkdir(mode=0o500)

        class Full:
            f_flag, f_bavail, f_frsize = 0, 0, 4096

        monkeypatch.setattr(
            os, "statvfs", lambda path: Full if path == str(place) else statvfs(path)
        )
    assert compiler.load(TEXT).answer() == 42


def gestures(cache_dir):
    return EventDataset(
        SyntheticGestures(4), Frames(number=4), batch_size=4, cache_dir=cache_dir
    )


def test_a_data_set_that_does_not_fit_on_the_disk(tmp_path):
    def prepare():
        check = expect(OSError, "File too large", "choose another `cache_dir`")
        check(gestures(tmp_path).prepare, 1, 0)

    gestures(None)[0]  # what counts events is compiled
    assert children.run(limited, prepare) == 0
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    gestures(tmp_path).prepare(verbose=0)
    assert len(list(tmp_path.rglob("*.npz"))) == 4


def as_another_user(function):
    os.setgroups([])
    os.setgid(12345)
    os.setuid(12345)
    function()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("mode", [0o755, 0o700])
def test_a_cached_data_set_of_another_user(mode, tmp_path):
    with tempfile.TemporaryDirectory() as folder:  # others cannot reach `tmp_path`
        os.chmod(folder, 0o755)
        dataset = gestures(f"{folder}/cache")
        for _ in "12":  # the second time from the cache
            expected = dataset[0]
        os.chmod(f"{folder}/cache", mode)

        def read():
            if mode == 0o700:
                check = expect(PermissionError, "another `cache_dir`", "the owner")
                check(dataset.__getitem__, 0)
                return
            for found, right in zip(dataset[0], expected):
                np.testing.assert_array_equal(found, right)
            recordings = dataset.samples.recordings
            other = EventDataset(
                recordings, Frames(number=5), cache_dir=f"{folder}/cache"
            )
            expect(PermissionError, "choose another `cache_dir`")(other.__getitem__, 0)

        assert children.run(as_another_user, read) == 0


@pytest.mark.parametrize("length", [0, 10, -20])
def test_what_a_power_failure_has_damaged_is_computed_again(length, tmp_path):
    dataset = gestures(tmp_path)
    expected = dataset[0]
    path = next(tmp_path.rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.warns(UserWarning, match=f"{path.name}.*damaged"):
        again = dataset[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        once_more = dataset[0]
    for found in (again, once_more):
        for array, right in zip(found, expected):
            np.testing.assert_array_equal(array, right)


def test_errors_of_the_disk_are_no_missing_entries(tmp_path, monkeypatch):
    """A compiler that finds no memory for a process, say, is told of, too."""

    def none(*args, **kwargs):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(compiler.subprocess, "Popen", none)
    expect(RuntimeError, "Resource temporarily unavailable", "CC")(
        compiler._compile, TEXT, ()
    )
