"""Every family of torchvision's networks: values against Captum's, and times beside other packages.

    python -m benchmarks.networks [--networks NAME ...] [--size 64] [--repetitions 3]

Seeded random weights, one picture, the layer that this program chooses. The differences are those
of our heatmaps to Captum's plain layer calls on the whole network, as a part of the peak; under
1e-4 is the goal. Captum, pytorch-grad-cam and torch-cam get the library's own network and the same
layer, each as its README says; where one fails, its cell says so. Times are milliseconds from a
crop to a heatmap of its size; `pip install grad-cam torchcam` brings the other two.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import cache, partial

import numpy as np
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation, LayerIntegratedGradients
from PIL import Image
from torch import nn

from benchmarks.explanations import enlarged, interleaved
from maskexplain.data.samples import painted_faces
from maskexplain.explain.explain import explain
from maskexplain.models.by_name import SplitNetwork, build_by_name, usual_transform
from maskexplain.models.network import last_layer
from maskexplain.models.version import Model, fold
from maskexplain.task import task_of_names

FAMILIES = (  # the smallest of each
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s"),
    *("googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small"),
    *("regnet_x_400mf", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5"),
    *("squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_16", "wide_resnet50_2"),
)
TASK = task_of_names(["mask_off", "mask_on"])
PICTURES = 8  # that batch norms learn their scale from
AT_ONCE = 10  # steps of Captum's integrated gradients: 50 of EfficientNet V2 take over 20 GB
LIMIT = 1e-4  # of the peak
SMALLEST = {"inception_v3": 160, "alexnet": 64, "maxvit_t": 224}  # pictures that they take
CAM, INTEGRAL = "grad_cam", "integrated_gradients"
Work = Callable[[], np.ndarray]


def network_of(name: str, size: int | None) -> SplitNetwork:
    """A network with random weights whose batch norms know the pictures' scale."""
    torch.manual_seed(0)
    usual = usual_transform(f"torchvision:{name}")
    size = max(size, SMALLEST.get(name, 0)) if size else usual.size
    network = build_by_name(f"torchvision:{name}", len(TASK), replace(usual, size=size)).eval()
    pictures = network.transform.batch(_faces())
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the mean of all that is seen
    with torch.no_grad():
        network.train()(pictures)  # so that a signal comes through the random weights
    network.eval()
    nn.init.normal_(last_layer(network).weight, std=0.05)  # vision transformers start at zero
    return network.requires_grad_(False)


@cache
def _faces() -> list[Image.Image]:
    return painted_faces(PICTURES)


@contextmanager
def nothing_in_place() -> Iterator[None]:
    """Captum cannot explain a layer whose output is then changed in place, as DenseNet does."""
    relu = nn.functional.relu
    nn.functional.relu = lambda x, inplace=False: relu(x)
    try:
        yield
    finally:
        nn.functional.relu = relu


def captum(network: SplitNetwork, crop: Image.Image, method: str, steps: int = 50) -> np.ndarray:
    """Captum's plain layer call on the whole network."""
    inputs = network.transform(crop)[None]
    with torch.no_grad():
        target = int(network.network(inputs).argmax())
    layer = network.network.get_submodule(network.layer)
    inputs.requires_grad_()
    with nothing_in_place():
        if method == INTEGRAL:
            way = LayerIntegratedGradients(network.network, layer)
            zero = torch.zeros_like(inputs)
            values = way.attribute(inputs, zero, target, n_steps=steps, internal_batch_size=AT_ONCE)
        elif method == CAM:
            values = LayerGradCam(network.network, layer).attribute(inputs, target)
        else:
            way = LayerGradientXActivation(network.network, layer)
            values = way.attribute(inputs, target)
    return enlarged(values.sum(1, keepdim=True), crop)


def pytorch_grad_cam(network: SplitNetwork) -> Callable[[Image.Image], np.ndarray]:
    from pytorch_grad_cam import GradCAM  # optional, as is torchcam

    layer = network.network.get_submodule(network.layer)
    cam = GradCAM(model=network.network, target_layers=[layer])

    def run(crop: Image.Image) -> np.ndarray:
        maps = cam(input_tensor=network.transform(crop)[None], targets=None)
        return enlarged(torch.from_numpy(maps)[None], crop)

    return run


def torch_cam(network: SplitNetwork) -> Callable[[Image.Image], np.ndarray]:
    from torchcam.methods import GradCAM

    cam = GradCAM(network.network, target_layer=network.layer)

    def run(crop: Image.Image) -> np.ndarray:
        output = network.network(network.transform(crop)[None])
        return enlarged(cam(output.squeeze(0).argmax().item(), output)[0][None], crop)

    return run


PEERS = {"pytorch-grad-cam": pytorch_grad_cam, "torch-cam": torch_cam}


def difference(model: Model, crop: Image.Image, method: str) -> float | None:
    """The largest difference to Captum's map, as a part of its peak; None where none is made.

    Captum gets the version's own network, whose batch norms are folded, as a plain one.
    """
    if method == CAM and model.network.mixes_places:
        return None
    ours = explain(model, crop, method)
    theirs = captum(model.network, crop, method, ours.steps or 50)
    return float(abs(ours.heatmap - theirs).max() / abs(theirs).max())


def times(model: Model, plain: SplitNetwork, crop: Image.Image, repetitions: int) -> dict[str, str]:
    """Milliseconds by candidate, as text; why not, where one fails."""
    method = "layer_cam" if plain.mixes_places else CAM
    work: dict[str, Work] = {
        "ours": partial(explain, model, crop, method),
        "Captum": partial(captum, plain, crop, method),
        "ours, integrated": partial(explain, model, crop, INTEGRAL),
        "Captum, integrated": partial(captum, plain, crop, INTEGRAL),
    }
    said = {}
    for title, opener in PEERS.items():
        try:
            network = deepcopy(plain).requires_grad_(True)
            run = opener(network)
            run(crop)
            work[title] = partial(run, crop)
        except ImportError:
            said[title] = "not installed"
        except Exception as error:  # another package's failure is what this table tells
            said[title] = type(error).__name__
    timings = interleaved(work, repetitions, done=lambda: None)
    return said | {title: timing.text(1000) for title, timing in timings.items()}


def row(name: str, size: int | None, repetitions: int, crop: Image.Image) -> tuple[str, bool]:
    """A line of the table, and whether all differences are under the limit."""
    plain = network_of(name, size)
    folded = deepcopy(plain)
    fold(folded)
    model = Model(name, folded, TASK)
    with torch.no_grad():
        shape = tuple(plain.features(plain.transform(crop)[None]).shape[1:])
    found = [difference(model, crop, m) for m in (CAM, "layer_cam", INTEGRAL)]
    measured = times(model, plain, crop, repetitions)
    figures = ["does not fit" if one is None else f"{one:.0e}" for one in found]
    columns = ("ours", "Captum", *PEERS, "ours, integrated", "Captum, integrated")
    cells = [name, str(plain.transform.size), plain.layer, " x ".join(map(str, shape)), *figures]
    line = " | ".join([*cells, *(measured[title] for title in columns)])
    return f"| {line} |", all(one is None or one < LIMIT for one in found)


def main() -> int:
    """Print the table; 1 where a value is further from Captum's than the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=FAMILIES, metavar="NAME")
    parser.add_argument("--size", type=int, help="of the pictures; default: each network's own")
    parser.add_argument("--repetitions", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    crop = _faces()[0]
    head = "network | size | layer | map | Grad-CAM | Layer-CAM | integrated gradients | "
    head += "ms, ours | Captum | pytorch-grad-cam | torch-cam | ms, integrated | Captum"
    print(f"| {head} |\n|{' --- |' * 13}")
    good = True
    for name in args.networks:
        line, near = row(name, args.size, args.repetitions, crop)
        good &= near
        print(line, flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
