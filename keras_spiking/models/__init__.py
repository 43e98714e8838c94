"""The networks of the papers, and weights for them."""

from keras_spiking.models.maxformer import MaxFormer
from keras_spiking.models.maxformer import MaxFormer10_384
from keras_spiking.models.maxformer import MaxFormerCIFAR
from keras_spiking.models.meta_spikeformer import ESpikeFormer5M
from keras_spiking.models.meta_spikeformer import ESpikeFormer10M
from keras_spiking.models.meta_spikeformer import ESpikeFormer19M
from keras_spiking.models.meta_spikeformer import MetaSpikeformer
from keras_spiking.models.meta_spikeformer import MetaSpikeformer15M
from keras_spiking.models.meta_spikeformer import MetaSpikeformer31M
from keras_spiking.models.meta_spikeformer import MetaSpikeformer55M
from keras_spiking.models.ms_resnet import MSResNet
from keras_spiking.models.ms_resnet import MSResNet18
from keras_spiking.models.ms_resnet import MSResNet34
from keras_spiking.models.ms_resnet import MSResNet104
from keras_spiking.models.options import get
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG11
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG11WS
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG13
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG13WS
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG16
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG16WS
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG19
from keras_spiking.models.ottt_vgg import OTTTSpikingVGG19WS
from keras_spiking.models.ottt_vgg import OTTTSpikingVGGWS
from keras_spiking.models.plif_net import CIFAR10DVSNet
from keras_spiking.models.plif_net import CIFAR10Net
from keras_spiking.models.plif_net import DVSGestureNet
from keras_spiking.models.plif_net import FashionMNISTNet
from keras_spiking.models.plif_net import MNISTNet
from keras_spiking.models.plif_net import NMNISTNet
from keras_spiking.models.plif_net import PLIFNet
from keras_spiking.models.preset import from_preset
from keras_spiking.models.preset import presets
from keras_spiking.models.preset import save_to_preset
from keras_spiking.models.qkformer import QKFormer
from keras_spiking.models.qkformer import QKFormer10_384
from keras_spiking.models.qkformer import QKFormer10_512
from keras_spiking.models.qkformer import QKFormer10_768
from keras_spiking.models.sew_resnet import RecurrentSEWResNet18
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
from keras_spiking.models.spike_driven_transformer import SpikeDrivenTransformer
from keras_spiking.models.spike_driven_transformer import SpikeDrivenTransformer2_512
from keras_spiking.models.spike_driven_transformer import SpikeDrivenTransformer8_384
from keras_spiking.models.spike_driven_transformer import SpikeDrivenTransformer8_512
from keras_spiking.models.spike_driven_transformer import SpikeDrivenTransformer8_768
from keras_spiking.models.spikformer import Spikformer
from keras_spiking.models.spikformer import SpikformerCIFAR10
from keras_spiking.models.spikformer import SpikformerS
from keras_spiking.models.spikformer import SpikformerTi
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
from keras_spiking.models.spiking_vgg import SpikingVGG
from keras_spiking.models.spiking_vgg import SpikingVGG11
from keras_spiking.models.spiking_vgg import SpikingVGG11BN
from keras_spiking.models.spiking_vgg import SpikingVGG13
from keras_spiking.models.spiking_vgg import SpikingVGG13BN
from keras_spiking.models.spiking_vgg import SpikingVGG16
from keras_spiking.models.spiking_vgg import SpikingVGG16BN
from keras_spiking.models.spiking_vgg import SpikingVGG19
from keras_spiking.models.spiking_vgg import SpikingVGG19BN
from keras_spiking.models.spikingjelly import LoadedWeights
from keras_spiking.models.spikingjelly import load_spikingjelly
from keras_spiking.models.weights import load_weights

__all__ = [
    "CIFAR10DVSNet",
    "CIFAR10Net",
    "DVSGestureNet",
    "ESpikeFormer10M",
    "ESpikeFormer19M",
    "ESpikeFormer5M",
    "FashionMNISTNet",
    "LoadedWeights",
    "MNISTNet",
    "MSResNet",
    "MSResNet104",
    "MSResNet18",
    "MSResNet34",
    "MaxFormer",
    "MaxFormer10_384",
    "MaxFormerCIFAR",
    "MetaSpikeformer",
    "MetaSpikeformer15M",
    "MetaSpikeformer31M",
    "MetaSpikeformer55M",
    "NMNISTNet",
    "OTTTSpikingVGG",
    "OTTTSpikingVGG11",
    "OTTTSpikingVGG11WS",
    "OTTTSpikingVGG13",
    "OTTTSpikingVGG13WS",
    "OTTTSpikingVGG16",
    "OTTTSpikingVGG16WS",
    "OTTTSpikingVGG19",
    "OTTTSpikingVGG19WS",
    "OTTTSpikingVGGWS",
    "PLIFNet",
    "QKFormer",
    "QKFormer10_384",
    "QKFormer10_512",
    "QKFormer10_768",
    "RecurrentSEWResNet18",
    "SEWResNeXt101_32x8d",
    "SEWResNeXt50_32x4d",
    "SEWResNet",
    "SEWResNet101",
    "SEWResNet152",
    "SEWResNet18",
    "SEWResNet34",
    "SEWResNet50",
    "SEWWideResNet101_2",
    "SEWWideResNet50_2",
    "SpikeDrivenTransformer",
    "SpikeDrivenTransformer2_512",
    "SpikeDrivenTransformer8_384",
    "SpikeDrivenTransformer8_512",
    "SpikeDrivenTransformer8_768",
    "Spikformer",
    "SpikformerCIFAR10",
    "SpikformerS",
    "SpikformerTi",
    "SpikingResNeXt101_32x8d",
    "SpikingResNeXt50_32x4d",
    "SpikingResNet",
    "SpikingResNet101",
    "SpikingResNet152",
    "SpikingResNet18",
    "SpikingResNet34",
    "SpikingResNet50",
    "SpikingVGG",
    "SpikingVGG11",
    "SpikingVGG11BN",
    "SpikingVGG13",
    "SpikingVGG13BN",
    "SpikingVGG16",
    "SpikingVGG16BN",
    "SpikingVGG19",
    "SpikingVGG19BN",
    "SpikingWideResNet101_2",
    "SpikingWideResNet50_2",
    "from_preset",
    "get",
    "load_spikingjelly",
    "load_weights",
    "presets",
    "save_to_preset",
]
