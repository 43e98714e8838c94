"""The networks of the papers, and weights for them."""

from keras_spiking.models.options import get
from keras_spiking.models.sew_resnet import SEWResNet
from keras_spiking.models.sew_resnet import SEWResNet18
from keras_spiking.models.sew_resnet import SEWResNet34
from keras_spiking.models.sew_resnet import SEWResNet50
from keras_spiking.models.sew_resnet import SEWResNet101
from keras_spiking.models.sew_resnet import SEWResNet152
from keras_spiking.models.sew_resnet import SEWResNeXt50_32x4d
from keras_spiking.models.sew_resnet import SEWResNeXt101_32x8d
from keras_spiking.models.sew_resnet import SEWWideResNet50_2
from keras_spiking.models.sew_resnet import SEWWideResNet101_2
from keras_spiking.models.spiking_resnet import SpikingResNet
from keras_spiking.models.spiking_resnet import SpikingResNet18
from keras_spiking.models.spiking_resnet import SpikingResNet34
from keras_spiking.models.spiking_resnet import SpikingResNet50
from keras_spiking.models.spiking_resnet import SpikingResNet101
from keras_spiking.models.spiking_resnet import SpikingResNet152
from keras_spiking.models.spiking_resnet import SpikingResNeXt50_32x4d
from keras_spiking.models.spiking_resnet import SpikingResNeXt101_32x8d
from keras_spiking.models.spiking_resnet import SpikingWideResNet50_2
from keras_spiking.models.spiking_resnet import SpikingWideResNet101_2
from keras_spiking.models.spikingjelly import LoadedWeights
from keras_spiking.models.spikingjelly import load_spikingjelly
from keras_spiking.models.weights import load_weights
