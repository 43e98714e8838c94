"""Event recordings: read, represent, augment, and feed to `fit`."""

from keras_spiking.datasets.augmentation import DropEvents
from keras_spiking.datasets.augmentation import EventMix
from keras_spiking.datasets.augmentation import PolarityJitter
from keras_spiking.datasets.augmentation import RandomCrop
from keras_spiking.datasets.augmentation import RandomFlip
from keras_spiking.datasets.augmentation import RandomShift
from keras_spiking.datasets.augmentation import RandomTimeCrop
from keras_spiking.datasets.augmentation import TimeJitter
from keras_spiking.datasets.event_dataset import EventDataset
from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import event_dtype
from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.frames import Frames
from keras_spiking.datasets.frames import count_events
from keras_spiking.datasets.readers import read_events
from keras_spiking.datasets.readers import stream_events
from keras_spiking.datasets.readers import write_events
from keras_spiking.datasets.recordings import Recordings
from keras_spiking.datasets.recordings import Subset
from keras_spiking.datasets.recordings import split_train_test
from keras_spiking.datasets.representation import Representation
from keras_spiking.datasets.representations import TimeSurface
from keras_spiking.datasets.representations import VoxelGrid
from keras_spiking.datasets.synthetic import SyntheticGestures
