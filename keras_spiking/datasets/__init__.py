"""Event recordings, read and fed to `fit`, and benchmarks made by equations."""

from keras_spiking.datasets.augmentation import DropEvents
from keras_spiking.datasets.augmentation import EventMix
from keras_spiking.datasets.augmentation import PolarityJitter
from keras_spiking.datasets.augmentation import RandomCrop
from keras_spiking.datasets.augmentation import RandomFlip
from keras_spiking.datasets.augmentation import RandomShift
from keras_spiking.datasets.augmentation import RandomTimeCrop
from keras_spiking.datasets.augmentation import TimeJitter
from keras_spiking.datasets.counting import count_events
from keras_spiking.datasets.delayed_keywords import delayed_keywords
from keras_spiking.datasets.event_dataset import EventDataset
from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import cell_index
from keras_spiking.datasets.events import event_dtype
from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.files import write_events
from keras_spiking.datasets.frames import Frames
from keras_spiking.datasets.large import load_bullying10k
from keras_spiking.datasets.large import load_es_imagenet
from keras_spiking.datasets.mackey_glass import mackey_glass
from keras_spiking.datasets.memory_tasks import adding_problem
from keras_spiking.datasets.memory_tasks import copy_problem
from keras_spiking.datasets.memory_tasks import delayed_xor
from keras_spiking.datasets.named import load_asl_dvs
from keras_spiking.datasets.named import load_cifar10_dvs
from keras_spiking.datasets.named import load_dvs128_gesture
from keras_spiking.datasets.named import load_dvs_lip
from keras_spiking.datasets.named import load_hardvs
from keras_spiking.datasets.named import load_n_caltech101
from keras_spiking.datasets.named import load_n_mnist
from keras_spiking.datasets.named import load_nav_gesture
from keras_spiking.datasets.named import load_shd
from keras_spiking.datasets.named import load_ssc
from keras_spiking.datasets.ordered_dataset import OrderedDataset
from keras_spiking.datasets.randman import randman
from keras_spiking.datasets.readers import read_events
from keras_spiking.datasets.readers import stream_events
from keras_spiking.datasets.recordings import Recordings
from keras_spiking.datasets.recordings import Subset
from keras_spiking.datasets.recordings import split_train_test
from keras_spiking.datasets.representations import Representation
from keras_spiking.datasets.representations import TimeSurface
from keras_spiking.datasets.representations import VoxelGrid
from keras_spiking.datasets.speech_commands import SpeechCommands
from keras_spiking.datasets.speech_commands import read_waveform
from keras_spiking.datasets.synthetic import SyntheticGestures
from keras_spiking.datasets.yin_yang import yin_yang

__all__ = [
    "DropEvents",
    "EventDataset",
    "EventMix",
    "Frames",
    "OrderedDataset",
    "PolarityJitter",
    "RandomCrop",
    "RandomFlip",
    "RandomShift",
    "RandomTimeCrop",
    "Recordings",
    "Representation",
    "SpeechCommands",
    "Subset",
    "SyntheticGestures",
    "TimeJitter",
    "TimeSurface",
    "VoxelGrid",
    "adding_problem",
    "as_events",
    "cell_index",
    "copy_problem",
    "count_events",
    "delayed_keywords",
    "delayed_xor",
    "event_dtype",
    "load_asl_dvs",
    "load_bullying10k",
    "load_cifar10_dvs",
    "load_dvs128_gesture",
    "load_dvs_lip",
    "load_es_imagenet",
    "load_hardvs",
    "load_n_caltech101",
    "load_n_mnist",
    "load_nav_gesture",
    "load_shd",
    "load_ssc",
    "mackey_glass",
    "make_events",
    "randman",
    "read_events",
    "read_waveform",
    "sort_by_time",
    "split_train_test",
    "stream_events",
    "write_events",
    "yin_yang",
]
