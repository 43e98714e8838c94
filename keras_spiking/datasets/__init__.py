"""Event recordings: read, represent, augment, and feed to `fit`."""

from keras_spiking.datasets.events import as_events
from keras_spiking.datasets.events import event_dtype
from keras_spiking.datasets.events import make_events
from keras_spiking.datasets.events import sort_by_time
from keras_spiking.datasets.frames import Frames
from keras_spiking.datasets.frames import count_events
from keras_spiking.datasets.readers import read_events
from keras_spiking.datasets.readers import stream_events
from keras_spiking.datasets.readers import write_events
from keras_spiking.datasets.representation import Representation
from keras_spiking.datasets.representations import TimeSurface
from keras_spiking.datasets.representations import VoxelGrid
