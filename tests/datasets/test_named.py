import hashlib
import shutil
import wave
import zipfile

import h5py
import numpy as np
import pytest
from event_files import random_events
from event_files import write_aedat2
from event_files import write_aedat3
from event_files import write_atis
from event_files import write_dat

from keras_spiking import datasets
from keras_spiking.datasets import archives
from keras_spiking.datasets import sort_by_time

pytestmark = pytest.mark.once

EVENTS = random_events(100, width=34, height=34)


def n_mnist_folder(folder):
    for split in ("Train", "Test"):
        for label in (0, 3):
            path = folder / split / str(label)
            path.mkdir(parents=True)
            write_atis(path / "00001.bin", EVENTS)
    return folder


def test_n_mnist(tmp_path):
    recordings = datasets.load_n_mnist(n_mnist_folder(tmp_path), split="test")
    assert len(recordings) == 2 and recordings.sensor_shape == (34, 34, 2)
    events, label = recordings[1]
    np.testing.assert_array_equal(events, EVENTS)
    assert recordings.classes[label] == "3"


def zipped(folder, monkeypatch, matching=True):
    n_mnist_folder(folder / "source")
    shutil.make_archive(folder / "Train", "zip", folder / "source", "Train")
    shutil.rmtree(folder / "source")
    if matching:
        digest = hashlib.md5((folder / "Train.zip").read_bytes()).hexdigest()
        check = archives._check
        monkeypatch.setattr(archives, "_check", lambda path, _: check(path, digest))


def test_archives_are_unpacked_once(tmp_path, monkeypatch):
    zipped(tmp_path, monkeypatch)
    assert len(datasets.load_n_mnist(tmp_path)) == 2
    (tmp_path / "Train.zip").unlink()
    assert len(datasets.load_n_mnist(tmp_path)) == 2


def test_checksum_that_does_not_match(tmp_path, monkeypatch):
    zipped(tmp_path, monkeypatch, matching=False)
    with pytest.raises(ValueError, match="checksum.*Download it again"):
        datasets.load_n_mnist(tmp_path)
    assert not (tmp_path / "unpacked").exists()


def test_interrupted_unpacking_leaves_nothing(tmp_path, monkeypatch):
    zipped(tmp_path, monkeypatch)
    with monkeypatch.context() as patched:
        extract = zipfile.ZipFile.open

        def interrupted(self, name, *args, **kwargs):
            if getattr(name, "filename", name).endswith("3/00001.bin"):
                raise KeyboardInterrupt
            return extract(self, name, *args, **kwargs)

        patched.setattr(zipfile.ZipFile, "open", interrupted)
        patched.setattr(zipfile.ZipFile, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            datasets.load_n_mnist(tmp_path)
    assert list((tmp_path / "unpacked").iterdir()) == []
    assert len(datasets.load_n_mnist(tmp_path)) == 2


LOADERS = [
    datasets.SpeechCommands,
    datasets.load_asl_dvs,
    datasets.load_bullying10k,
    datasets.load_cifar10_dvs,
    datasets.load_dvs128_gesture,
    datasets.load_dvs_lip,
    datasets.load_es_imagenet,
    datasets.load_hardvs,
    datasets.load_n_caltech101,
    datasets.load_n_mnist,
    datasets.load_nav_gesture,
    datasets.load_shd,
    datasets.load_ssc,
]


@pytest.mark.parametrize("load", LOADERS)
def test_folder_without_the_dataset(load, tmp_path):
    with pytest.raises(ValueError, match="does not contain the dataset"):
        load(tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("load", LOADERS)
def test_address_and_licence_are_named(load):
    assert "Address: https://" in load.__doc__ and "Licence: " in load.__doc__


def test_split_that_does_not_exist(tmp_path):
    with pytest.raises(ValueError, match="split"):
        datasets.load_n_mnist(tmp_path, split="validation")


def test_dvs128_gesture_cuts_recordings(tmp_path):
    root = tmp_path / "DvsGesture"
    root.mkdir()
    (root / "trials_to_train.txt").write_text("user01_led.aedat\n\n")
    write_aedat3(root / "user01_led.aedat", EVENTS)
    (root / "user01_led_labels.csv").write_text(
        "class,startTime_usec,endTime_usec\n1,10000,30000\n11,30000,90000\n"
    )
    recordings = datasets.load_dvs128_gesture(tmp_path)
    assert recordings.labels == [0, 10]
    t = EVENTS["t"]
    expected = EVENTS[(t >= 30_000) & (t < 90_000)]
    np.testing.assert_array_equal(recordings[1][0], expected)
    assert recordings.classes[0] == "hand clapping"


def test_cifar10_dvs_is_upright(tmp_path):
    for name in datasets.named._CIFAR10_DVS:
        (tmp_path / name).mkdir()
        write_aedat2(tmp_path / name / "0.aedat", EVENTS)
    events, label = datasets.load_cifar10_dvs(tmp_path)[9]
    assert label == 9
    np.testing.assert_array_equal(events["x"], 127 - EVENTS["y"])
    np.testing.assert_array_equal(events["y"], 127 - EVENTS["x"])


def test_nav_gesture_is_ordered(tmp_path):
    shuffled = EVENTS[np.random.default_rng(0).permutation(len(EVENTS))]
    (tmp_path / "user").mkdir()
    write_dat(tmp_path / "user" / "user_ri_1.dat", shuffled, version=1)
    recordings = datasets.load_nav_gesture(tmp_path)
    events, label = recordings[0]
    assert recordings.classes[label] == "right"
    np.testing.assert_array_equal(events["t"], EVENTS["t"])
    expected = sort_by_time(shuffled)
    np.testing.assert_array_equal(events["y"], 239 - expected["y"])
    np.testing.assert_array_equal(next(recordings.stream(0)), events)


def test_heidelberg_digits_in_fit_shape(tmp_path):
    with h5py.File(tmp_path / "shd_test.h5", "w") as file:
        file["labels"] = [4, 17]
        for name, dtype in (("times", "float64"), ("units", "uint16")):
            data = file.create_dataset(f"spikes/{name}", (2,), h5py.vlen_dtype(dtype))
            data[0] = data[1] = np.arange(10) / (10 if name == "times" else 1)
    recordings = datasets.load_shd(tmp_path, split="test")
    assert recordings.classes[recordings[1][1]] == "German 7"
    dataset = datasets.EventDataset(recordings, datasets.Frames(number=5))
    x, y = dataset[0]
    assert x.shape == (2, 5, 700) and y.tolist() == [4, 17] and x.sum() == 20


def test_es_imagenet_reads_both_polarities_in_order(tmp_path):
    root = tmp_path / "ES-imagenet-0.18"
    rows = np.stack([EVENTS["y"], EVENTS["x"], np.arange(len(EVENTS)) // 9], axis=1)
    for name in ("train/class7", "train/class12", "val"):
        (root / name).mkdir(parents=True)
        of = {p: rows[EVENTS["p"] == v] for p, v in (("pos", 1), ("neg", 0))}
        np.savez(root / name / "a.npz", **of)
    (root / "vallabel.txt").write_text("a.npz 12\n")
    train = datasets.load_es_imagenet(tmp_path)
    assert train.labels == [12, 7]
    events, label = datasets.load_es_imagenet(tmp_path, split="test")[0]
    assert label == 12
    expected = sort_by_time(EVENTS)[["x", "y", "p"]]
    np.testing.assert_array_equal(events["t"], np.arange(len(EVENTS)) // 9)
    np.testing.assert_array_equal(np.sort(events[["x", "y", "p"]]), np.sort(expected))


def bullying10k_folder(folder, recording):
    for name in datasets.large._BULLYING:
        (folder / name / "day1").mkdir(parents=True)
        np.save(folder / name / "day1" / "0.npy", recording, allow_pickle=True)
    return folder


@pytest.mark.parametrize("kind", ["lists", "arrays"])
def test_bullying10k_keeps_every_fifth_recording_for_testing(kind, tmp_path):
    parts = [EVENTS[:30], EVENTS[30:30], EVENTS[30:]]
    recording = np.empty(3, object)
    recording[:] = [p.tolist() for p in parts] if kind == "lists" else parts
    bullying10k_folder(tmp_path, recording)
    test = datasets.load_bullying10k(tmp_path, split="test")
    assert len(test) == 2 and len(datasets.load_bullying10k(tmp_path)) == 8
    events, label = test[1]
    assert test.classes[label] == "punching"
    np.testing.assert_array_equal(events, EVENTS)


class Program:
    def __reduce__(self):
        return print, ("a pickle can run this",)


def test_bullying10k_runs_no_program(tmp_path, capsys):
    bullying10k_folder(tmp_path, np.array([Program()], object))
    with pytest.raises(ValueError, match="builtins.print, not events"):
        datasets.load_bullying10k(tmp_path)[0]
    assert not capsys.readouterr().out


def speech_folder(folder):
    random = np.random.default_rng(0)
    (folder / "validation_list.txt").write_text("no/b.wav\nyes/a.wav\n")
    (folder / "testing_list.txt").write_text("no/c.wav\n")
    for name in ("no/a", "no/b", "no/c", "yes/a", "yes/b", "_background_noise_/n"):
        path = folder / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16000)
            file.writeframes(random.integers(-32768, 32767, 80, "<i2").tobytes())
    return folder


def test_speech_commands(tmp_path):
    folder = speech_folder(tmp_path)
    train = datasets.SpeechCommands(folder, length=100, batch_size=2)
    assert train.classes == ["no", "yes"] and len(train) == 1
    x, labels = train[0]
    assert x.shape == (2, 100) and x.dtype == "float32" and labels.tolist() == [0, 1]
    assert 0.9 < np.abs(x[:, :80]).max() <= 1 and not x[:, 80:].any()
    val = datasets.SpeechCommands(folder, "val", 1, 50, classes=["yes"])
    assert [path.parent.name for path in val.paths] == ["yes"]
    assert val[0][0].shape == (1, 50)
    with pytest.raises(ValueError, match="Received: classes="):
        datasets.SpeechCommands(folder, classes=["maybe"])


def test_speech_commands_has_a_new_order_in_every_epoch(tmp_path):
    folder = speech_folder(tmp_path)
    orders = []
    for _ in range(2):
        dataset = datasets.SpeechCommands(folder, shuffle=True, seed=3)
        orders.append([])
        for _ in range(8):
            orders[-1].append(dataset[0][1].tolist())
            dataset.on_epoch_end()
    assert orders[0] == orders[1]
    assert [0, 1] in orders[0] and [1, 0] in orders[0]


def test_damaged_waveforms(tmp_path):
    path = speech_folder(tmp_path) / "no" / "a.wav"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="10 bytes are missing"):
        datasets.SpeechCommands(tmp_path)[0]
    path.write_bytes(b"no audio")
    with pytest.raises(ValueError, match="not a WAV file"):
        datasets.SpeechCommands(tmp_path)[0]


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../a"])
def test_lists_that_lead_out_of_the_folder(name, tmp_path):
    (tmp_path / "trials_to_train.txt").write_text(f"{name}.aedat")
    with pytest.raises(ValueError, match="outside of"):
        datasets.load_dvs128_gesture(tmp_path)
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
    (tmp_path / "vallabel.txt").write_text(f"{name}.npz 12\n")
    with pytest.raises(ValueError, match="outside of"):
        datasets.load_es_imagenet(tmp_path, split="test")
    folder = tmp_path / "speech"
    folder.mkdir()
    speech_folder(folder)
    (folder / "validation_list.txt").write_text(f"{name}.wav\n")
    with pytest.raises(ValueError, match="outside of"):
        datasets.SpeechCommands(folder, "val")


def test_lists_that_are_no_text(tmp_path):
    (tmp_path / "trials_to_train.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="trials_to_train.txt"):
        datasets.load_dvs128_gesture(tmp_path)
