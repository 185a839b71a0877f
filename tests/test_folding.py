"""Batch norms folded into convs: the same answers in fewer steps."""

import torch
from torch import nn

from maskexplain.models.network import Lite0
from maskexplain.models.version import fold_batch_norms


def test_a_folded_network_answers_the_same_without_a_batch_norm():
    torch.manual_seed(0)
    network = Lite0(3)
    with torch.no_grad():
        network.train()(torch.randn(4, 3, 129, 129))  # running means that are not 0 and 1
    network.eval()
    faces = torch.randn(2, 3, 129, 129)
    with torch.no_grad():
        before = network(faces)
        fold_batch_norms(network)
        assert torch.allclose(network(faces), before, atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def test_a_batch_norm_without_a_conv_before_it_stays():
    network = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1)).eval()
    fold_batch_norms(network)
    assert isinstance(network[1], nn.BatchNorm2d)
