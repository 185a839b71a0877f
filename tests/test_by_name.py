"""Networks of other libraries: split right, explained as Captum does on the whole network."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from captum.attr import LayerGradCam, LayerIntegratedGradients
from conftest import noise
from torch import nn

from maskexplain import cli
from maskexplain.errors import UserError
from maskexplain.exchange import forms
from maskexplain.exchange.forms import Built
from maskexplain.exchange.versions import Imported, import_version
from maskexplain.explain.explain import (
    ExplainError,
    Way,
    explain,
    explain_pass,
    fast_way,
    find_ways,
    forward_pass,
)
from maskexplain.explain.faithfulness import similarity
from maskexplain.models.by_name import SplitNetwork, build_by_name
from maskexplain.models.checkpoints import write_weights
from maskexplain.models.network import (
    EvaluationTransform,
    NetworkError,
    build_network,
    check_network,
)
from maskexplain.models.own_head import words_of
from maskexplain.models.version import Model, fold, open_model
from maskexplain.task import task_of_names

TWO = task_of_names(["mask_off", "mask_on"])
SMALL = EvaluationTransform(64)
CROP = noise(4, (80, 70))
# The smallest network of each kind of head, and where its last map is.
LAYERS = {
    "resnet18": "layer4",
    "mobilenet_v3_small": "features",
    "squeezenet1_1": "features",
    "shufflenet_v2_x0_5": "conv5",
    "densenet121": "features",
    "alexnet": "features.11",
}


def shaken(network: nn.Module) -> nn.Module:
    """As after a training: batch norms that do something."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network


def named(name: str, layer: str | None = None, size: int = 64) -> SplitNetwork:
    torch.manual_seed(2)
    transform = EvaluationTransform(size)
    return shaken(build_by_name(f"torchvision:{name}", 2, transform, layer)).eval()


@pytest.fixture(scope="module")
def resnet() -> Model:
    return Model("theirs", named("resnet18"), TWO)


@pytest.mark.parametrize("name", LAYERS)
def test_the_parts_answer_as_the_whole_does_folded_too(name):
    network = named(name)
    assert network.layer == LAYERS[name]
    fresh = build_by_name(f"torchvision:{name}", 2, SMALL)
    assert fresh.training and not any(b.any() for n, b in fresh.named_buffers() if "mean" in n)
    check_network(network, name, 2)
    x = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        whole = network(x)
        assert torch.allclose(network.head(network.features(x)), whole, atol=1e-6)
        assert torch.allclose(network(x[:1]), whole[:1], atol=1e-5), "batch 1"
        fold(network)
        assert torch.allclose(network.head(network.features(x)), whole, atol=1e-4)
        assert torch.allclose(network(x), whole, atol=1e-4)
    assert not any(getattr(module, "inplace", False) for module in network.modules())


@pytest.mark.parametrize("name", LAYERS)
def test_values_are_those_of_captum_on_the_whole_network(name, monkeypatch):
    # Captum alone fails where a network changes its maps in place.
    relu = nn.functional.relu
    monkeypatch.setattr(nn.functional, "relu", lambda x, inplace=False: relu(x))
    network = named(name).requires_grad_(False)
    model = Model("theirs", network, TWO)
    forward = forward_pass(model, [CROP])
    layer = network.network.get_submodule(network.layer)
    inputs, target = model.inputs([CROP]), int(forward.logits.argmax())
    theirs = {
        "grad_cam": LayerGradCam(network, layer).attribute(inputs.requires_grad_(), target),
        "integrated_gradients": LayerIntegratedGradients(network, layer).attribute(
            inputs, torch.zeros_like(inputs), target, n_steps=50
        ),
    }
    for method, values in theirs.items():
        ours = explain_pass(forward, [Way(method)])[0][0]
        if ours.steps not in (None, 50):
            continue  # ours went on with more steps than were asked of Captum
        summed = values.sum(1, keepdim=True).detach()
        large = nn.functional.interpolate(summed, CROP.size[::-1], mode="bilinear")[0, 0]
        peak = large.abs().max()
        assert (torch.from_numpy(ours.heatmap) - large).abs().max() < 1e-4 * peak + 1e-9


def test_every_method_and_test_works_on_a_residual_network(resnet):
    forward = forward_pass(resnet, [CROP, CROP])
    for method in ("grad_cam", "layer_cam", "integrated_gradients", "smooth_gradients"):
        [first, second] = (found[0] for found in explain_pass(forward, [Way(method)]))
        assert first.heatmap.shape == (70, 80) and not first.empty
        assert abs(first.heatmap - second.heatmap).max() < 1e-5
    assert 0 <= similarity(forward_pass(resnet, [CROP]), [explain(resnet, CROP)])[0].mean < 1
    assert not any(m._forward_hooks for m in resnet.network.modules()), "no hook is left"


def test_a_copy_is_a_network_of_its_own(resnet):
    before = resnet.logits([CROP])
    other = deepcopy(resnet.network)
    with torch.no_grad():
        other.network.fc.weight.zero_()
        other.network.fc.bias.fill_(7)
        assert torch.equal(other.head(torch.ones(1, 512, 2, 2)), torch.full((1, 2), 7.0))
    assert torch.equal(resnet.logits([CROP]), before)


def test_trained_batch_norms_and_dropout_are_the_librarys_own():
    network = named("densenet121").train()
    x = torch.randn(2, 3, 64, 64)
    mean = network.network.features.norm0.running_mean.clone()
    network(x)
    assert not torch.equal(network.network.features.norm0.running_mean, mean)
    network.eval()
    with torch.no_grad():
        assert torch.allclose(network.head(network.features(x)), network(x), atol=1e-5)


def test_another_layer_can_be_chosen():
    network = named("resnet18", "layer3")
    assert network.features(torch.zeros(1, 3, 64, 64)).shape == (1, 256, 4, 4)
    heat = explain(Model("x", network, TWO), CROP, "layer_cam")
    assert heat.heatmap.shape == (70, 80)
    for layer, message in {
        "layer3.0.conv1": "goes past the layer",
        "layr3": r"did you mean layer3\?",
        "avgpool": None,
        "fc": "gives no map",
    }.items():
        if message:
            with pytest.raises(NetworkError, match=message):
                named("resnet18", layer)


def test_a_transformer_gets_the_methods_that_fit_it():
    torch.manual_seed(0)
    network = build_by_name("torchvision:vit_b_32", 2, EvaluationTransform(64)).eval()
    nn.init.normal_(network.network.heads.head.weight)  # torchvision starts at zero
    model = Model("vit", network, TWO)
    assert network.layer == "conv_proj" and network.mixes_places
    with torch.no_grad():
        x = torch.randn(2, 3, 64, 64)
        assert torch.allclose(network.head(network.features(x)), network(x), atol=1e-5)
    assert [way.key for way in find_ways(model, ("grad_cam", "integrated_gradients"))] == [
        "integrated_gradients"
    ]
    with pytest.raises(ExplainError, match="does not fit vit, in which attention mixes"):
        explain(model, CROP, "grad_cam")
    assert explain(model, CROP, fast_way(model).method).heatmap.any()


def test_it_travels_in_the_weights_file(tmp_path):
    network = named("mobilenet_v3_small", "features.8")
    path = tmp_path / "theirs.safetensors"
    write_weights(path, network, "torchvision:mobilenet_v3_small", TWO, half=False)
    model = open_model(path)
    assert (model.network.layer, model.network.transform) == ("features.8", SMALL)
    with torch.no_grad():
        assert torch.allclose(model.logits([CROP]), network(model.inputs([CROP])), atol=1e-4)


def test_theirs_are_imported_by_name_and_by_their_shapes(tmp_path, capsys):
    theirs = shaken(torchvision.models.shufflenet_v2_x0_5(num_classes=2)).eval()
    theirs.fc = nn.Sequential(nn.Dropout(0.5), nn.Linear(1024, 2)).eval()
    file = tmp_path / "best.pth"
    state = {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}
    torch.save({"model_state_dict": state, "idx_to_class": {0: "on", 1: "off"}}, file)
    command = ["import", str(file), "--as", "theirs", "--folder", str(tmp_path), "--replace"]
    network = "torchvision:shufflenet_v2_x0_5"
    more = ["--network", network, "--size", "64", "--whole", "--mean", "0.4", "0.5", "0.6"]
    assert cli.main([*command, *more, "--std", "0.2", "0.2", "0.25"]) == 0
    assert f"network {network}, classes on, off" in capsys.readouterr().out
    model = open_model("theirs", folder=tmp_path)
    assert not model.task.faces
    assert model.network.transform == EvaluationTransform(64, (0.4, 0.5, 0.6), (0.2, 0.2, 0.25))
    with torch.no_grad():
        assert torch.allclose(model.logits([CROP]), theirs(model.inputs([CROP])), atol=1e-5)
    for wrong, message in {
        ("--network", "torchvision:resnet18"): "does not fit torchvision:resnet18",
        ("--network", network, "--layer", "stage3.0.branch2"): "goes past the layer",
        ("--network", network, "--size", "4"): "--size must be",
        ("--network", network, "--std", "0", "1", "1"): "--std must be",
    }.items():
        assert cli.main([*command, *wrong]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["scripted", "traced"])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_frozen_scripts_are_read_by_the_order_of_use(form, name, tmp_path):
    theirs = shaken(torchvision.models.get_model(name, num_classes=2)).eval()
    example = torch.zeros(1, 3, 64, 64)
    script = torch.jit.script(theirs) if form == "scripted" else torch.jit.trace(theirs, example)
    torch.jit.freeze(script).save(str(tmp_path / "x.pt"))
    built = Built(f"torchvision:{name}", size=64)
    import_version(tmp_path / "x.pt", "x", ["a", "b"], folder=tmp_path, built=built)
    model = open_model("x", folder=tmp_path)
    with torch.no_grad():
        assert torch.allclose(model.logits([CROP]), theirs(model.inputs([CROP])), atol=1e-4)
    other = Built("torchvision:shufflenet_v2_x0_5", size=64)
    with pytest.raises(UserError, match="is frozen TorchScript"):
        import_version(tmp_path / "x.pt", "y", ["a", "b"], folder=tmp_path, built=other)


def test_without_a_name_the_shapes_tell_at_any_size(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=2)
    torch.save({"ema": theirs.state_dict()}, tmp_path / "x.pth")
    done = import_version(
        tmp_path / "x.pth", "x", ["a", "b"], False, None, tmp_path, Built(size=50)
    )
    assert (done.network, done.place) == ("torchvision:resnet18", "ema")


def test_a_network_inside_another_has_its_last_layer_behind_it(tmp_path, capsys):
    """As in self.backbone and self.classifier."""
    whole = torchvision.models.shufflenet_v2_x0_5(num_classes=2).eval()
    last, whole.fc = whole.fc, nn.Identity()
    theirs = nn.ModuleDict({"backbone": whole, "classifier": last})
    torch.save(
        {"state_dict": theirs.state_dict(), "classes": ["Mask", "NoMask"]}, tmp_path / "x.pt"
    )
    command = ["import", str(tmp_path / "x.pt"), "--as", "x", "--folder", str(tmp_path)]
    assert cli.main([*command, "--network", "torchvision:shufflenet_v2_x0_5", "--size", "64"]) == 0
    said = capsys.readouterr().out
    assert "last layer is state_dict/classifier, right behind state_dict/backbone" in said
    assert "Mask as with_mask and NoMask as without_mask" in said
    assert "go in at 64 x 64, mean 0.485 0.456 0.406" in said and "passed over" not in said
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        ours = open_model("x", folder=tmp_path).network(x)
        assert torch.allclose(ours, last(whole(x)), atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("conv5.0.weight"), "conv5.0.weight is missing"),
        (lambda s: s.update({"extra.weight": torch.ones(1)}), "extra.weight is foreign"),
        (lambda s: s.update({"conv1.0.weight": torch.ones(9, 3, 3, 3)}), "9 x 3 x 3 x 3 in place"),
        (lambda s: s.update({"conv1.0.weight": torch.ones(24, 4, 3, 3)}), "pictures of 4 channels"),
        (lambda s: s.update({"fc.weight": torch.ones(2, 9)}), "fc.weight takes 9 values in place"),
        (lambda s: s.update({"fc.weight": torch.ones(1000, 1024)}), "fc.bias is 2 in place of"),
        (
            lambda s: s.update({"fc.weight": torch.ones(1000, 1024), "fc.bias": torch.ones(1000)}),
            "has 1000 outputs, and a version answers 2 to 20 classes",
        ),
    ],
)
def test_a_refusal_says_what_does_not_fit(change, message, tmp_path):
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=2).state_dict()
    change(state)
    torch.save(state, tmp_path / "x.pth")
    built = Built("torchvision:shufflenet_v2_x0_5")
    with pytest.raises(UserError, match=message):
        import_version(tmp_path / "x.pth", "x", ["a", "b"], folder=tmp_path, built=built)


@pytest.mark.parametrize(
    ("name", "size", "why"),
    [
        ("vit_b_32", 50, "Input shape indivisible by patch size"),
        ("maxvit_t", 64, "not divisible by partition size 7"),
        ("squeezenet1_1", 16, "Given input size"),
        ("shufflenet_v2_x0_5", 16, "give it larger pictures"),
    ],
)
def test_a_size_that_a_network_cannot_take_is_said(name, size, why):
    name = f"torchvision:{name}"
    transform = EvaluationTransform(size, (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(NetworkError, match=why):
        build_by_name(name, 2, transform)


def test_a_file_that_fits_nothing_is_said_at_any_size(tmp_path, monkeypatch):
    """Some networks cannot even be built for it, which is no trouble of the file's."""
    few = ["vit_b_32", "maxvit_t", "squeezenet1_1"]  # all of them take seconds
    monkeypatch.setattr(forms, "torchvision_names", lambda: few)
    torch.save(nn.Conv2d(3, 5, 7).state_dict(), tmp_path / "x.pth")
    with pytest.raises(UserError, match="holds no weights by the names of a network"):
        import_version(tmp_path / "x.pth", "x", ["a", "b"], folder=tmp_path, built=Built(size=50))


# --- heads of one's own, in the places where people put them


def two(inputs: int, between: nn.Module | None = None) -> nn.Sequential:
    """The last layers that most tutorials write."""
    return nn.Sequential(
        nn.Linear(inputs, 8), between or nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2)
    )


def at(place: str, *layers: nn.Module):
    """What puts layers into a network."""

    def put(network: nn.Module) -> nn.Module:
        network.set_submodule(place, layers[0] if len(layers) == 1 else nn.Sequential(*layers))
        return network

    return put


class Around(nn.Module):
    """A network in another one, with layers of its own behind it."""

    def __init__(self, place: str, backbone: nn.Module, layers: nn.Sequential) -> None:
        super().__init__()
        self.backbone = at(place, nn.Identity())(backbone)
        self.fc1, self.fc2 = layers[0], layers[-1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.fc1(self.backbone(x)).relu())


def by_number(*layers: nn.Module):
    return lambda network: nn.Sequential(*list(network.children())[:-1], *layers)


NORMS = (nn.Linear(1024, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2))
SHUFFLE, SMALL_V3, SQUEEZE = "shufflenet_v2_x0_5", "mobilenet_v3_small", "squeezenet1_1"
POOL = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
# The network, what was made of it, the words that are needed, and the head that is understood.
HEADS = {
    "in place of fc": (SHUFFLE, at("fc", two(1024)), "relu", "linear 8 relu linear"),
    "another activation": (
        *(SHUFFLE, at("fc", two(1024, nn.LeakyReLU(0.2)))),
        *("leaky_relu 0.2", "linear 8 leaky_relu 0.2 linear"),
    ),
    "as pasted": (
        *(SHUFFLE, at("fc", two(1024))),
        "nn.Linear(1024, 8), nn.ReLU(), nn.Dropout(p=0.5), nn.Linear(8, 2)",
        "linear 8 relu dropout linear",
    ),
    "norms": (SHUFFLE, at("fc", *NORMS), "relu", "linear 8 batch_norm relu linear"),
    "nothing between": (
        *(SHUFFLE, at("fc", nn.Linear(1024, 8), nn.Linear(8, 2)), None, "linear 8 linear"),
    ),
    "a learned one between": (
        *(SHUFFLE, at("fc", nn.Linear(1024, 8), nn.PReLU(), nn.Linear(8, 2))),
        *(None, "linear 8 prelu 1 linear"),
    ),
    "in place of the last": (
        *(SMALL_V3, at("classifier.3", two(1024)), "relu", "linear 8 relu linear"),
    ),
    "in place of all": (SMALL_V3, at("classifier", two(576)), "relu", "linear 8 relu linear"),
    "in a row with the library's": (
        SMALL_V3,
        lambda n: at(
            "classifier", *n.classifier[:3], nn.Linear(1024, 8), nn.ReLU(), nn.Linear(8, 2)
        )(n),
        "linear hardswish dropout linear relu linear",
        "linear 1024 hardswish dropout linear 8 relu linear",
    ),
    "the library's shapes": (
        SMALL_V3,
        at("classifier", nn.Linear(576, 1024), nn.ReLU(), nn.Dropout(), nn.Linear(1024, 2)),
        "linear relu dropout linear",
        "linear 1024 relu dropout linear",
    ),
    "one for all": (SMALL_V3, at("classifier", nn.Linear(576, 2)), None, "linear"),
    "of a map": (
        *(SQUEEZE, at("classifier", *POOL, two(512))),
        *("mean linear relu linear", "mean linear 8 relu linear"),
    ),
    "around it": (
        *(SHUFFLE, lambda n: Around("fc", n, two(1024)), "relu", "linear 8 relu linear"),
    ),
    "by number": (SHUFFLE, by_number(*POOL, nn.Linear(1024, 2)), None, None),
    "by number, two": (*(SHUFFLE, by_number(*POOL, *two(1024)), "relu", "linear 8 relu linear"),),
}


def theirs_of(name: str, change) -> nn.Module:
    torch.manual_seed(5)
    return shaken(change(torchvision.models.get_model(name, num_classes=2))).eval()


def imported(theirs: nn.Module, name: str, folder, head: str | None = None) -> Imported:
    torch.save({"model": theirs.state_dict()}, folder / "x.pth")
    words = words_of([head]) if head else None
    built = Built(f"torchvision:{name}", size=64, head=words)
    return import_version(folder / "x.pth", "x", ["a", "b"], True, None, folder, built)


def agrees(theirs: nn.Module, folder) -> bool:
    """Whether the version answers as their network, whole and in its parts."""
    network, x = open_model("x", folder=folder).network, torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        wanted, parts = theirs(x), network.head(network.features(x))
        return torch.allclose(network(x), wanted, atol=1e-5) and torch.allclose(
            parts, wanted, atol=1e-5
        )


@pytest.mark.parametrize("case", HEADS)
def test_a_head_of_ones_own_is_imported_as_it_is(case, tmp_path):
    name, change, said, understood = HEADS[case]
    theirs = theirs_of(name, change)
    if said and case != "the library's shapes":
        with pytest.raises(UserError, match=r"give --head|say how they become") as asked:
            imported(theirs, name, tmp_path)
        assert "linear layers in place of the last one" in str(asked.value)
        assert not list(tmp_path.glob("*.safetensors"))
    done = imported(theirs, name, tmp_path, said)
    assert (done.own_head.words if done.own_head else None) == understood
    assert agrees(theirs, tmp_path)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("linear 9 relu linear", "another head than the file's, linear 8 linear 2"),
        ("linear relu linear relu linear", "another head than the file's"),
        ("linear relu dropout tanh linear", "3 layers before model/fc.3, .* room for 2"),
        ("linear relu linear tanh", "does not end in the linear layer"),
        ("relu tanh", "--head relu tanh is no head: give --head relu"),
        ("reluu", "--head does not know reluu: its words are linear, relu"),
    ],
)
def test_a_head_that_the_file_contradicts_is_refused(head, message, tmp_path):
    theirs = theirs_of(SHUFFLE, at("fc", two(1024)))
    with pytest.raises(UserError, match=message):
        imported(theirs, SHUFFLE, tmp_path, head)


def test_norms_may_stand_before_and_behind_what_was_said(tmp_path):
    layers = (nn.Linear(1024, 8), nn.ReLU(), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2))
    theirs = theirs_of(SHUFFLE, at("fc", *layers))
    with pytest.raises(UserError, match="--head relu may stand in two places: give"):
        imported(theirs, SHUFFLE, tmp_path, "relu")
    imported(theirs, SHUFFLE, tmp_path, "linear relu batch_norm dropout linear")
    assert agrees(theirs, tmp_path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["scripted", "traced"])
def test_a_script_says_what_lies_between_its_last_layers(form, tmp_path):
    theirs = theirs_of(SMALL_V3, at("classifier.3", nn.ReLU(), *two(1024, nn.Tanh())))
    x = torch.zeros(1, 3, 64, 64)
    script = torch.jit.script(theirs) if form == "scripted" else torch.jit.trace(theirs, x)
    script.save(str(tmp_path / "x.pt"))
    built = Built(f"torchvision:{SMALL_V3}", size=64)
    done = import_version(tmp_path / "x.pt", "x", ["a", "b"], True, None, tmp_path, built)
    assert done.own_head.words == "relu linear 8 tanh dropout linear"
    assert agrees(theirs, tmp_path)
    built = replace(built, head=("relu",))
    with pytest.raises(UserError, match="its last layers are relu linear 8 tanh dropout linear"):
        import_version(tmp_path / "x.pt", "x", ["a", "b"], True, None, tmp_path, built)


@pytest.mark.filterwarnings("ignore")
def test_a_script_with_the_librarys_shapes_keeps_its_own_activation(tmp_path):
    own = (nn.Linear(576, 1024), nn.ReLU(), nn.Dropout(), nn.Linear(1024, 2))
    theirs = theirs_of(SMALL_V3, at("classifier", *own))
    built = Built(f"torchvision:{SMALL_V3}", size=64)
    for network, words in ((theirs, "linear 1024 relu dropout linear"), (named(SMALL_V3), None)):
        whole = getattr(network, "network", network)
        torch.jit.script(whole).save(str(tmp_path / "x.pt"))
        done = import_version(tmp_path / "x.pt", "x", ["a", "b"], True, None, tmp_path, built)
        assert (done.own_head.words if done.own_head else None) == words
        assert agrees(whole, tmp_path)


def test_parts_by_number_are_refused_where_a_network_does_more_than_run_them(tmp_path):
    """DenseNet puts a ReLU between its two parts, which no child of it is."""
    theirs = theirs_of("densenet121", by_number(*POOL, nn.Linear(1024, 2)))
    with pytest.raises(UserError, match="has numbers for its parts, .* run its parts in order"):
        imported(theirs, "densenet121", tmp_path)


def test_a_conv_behind_a_network_is_no_classifier(tmp_path):
    """As of a network that marks places in a picture."""
    theirs = nn.ModuleDict({"backbone": theirs_of(SHUFFLE, at("fc", nn.Identity()))})
    theirs["marks"] = nn.Conv2d(1024, 2, 1)
    with pytest.raises(UserError, match="fc.weight is missing"):
        imported(theirs, SHUFFLE, tmp_path)


def test_gray_pictures_are_made_of_coloured_ones(tmp_path, capsys):
    theirs = theirs_of(SHUFFLE, at("conv1.0", nn.Conv2d(1, 24, 3, 2, 1, bias=False)))
    torch.save(theirs.state_dict(), tmp_path / "x.pth")
    command = ["import", str(tmp_path / "x.pth"), "--as", "x", "--folder", str(tmp_path)]
    command += ["--network", f"torchvision:{SHUFFLE}", "--size", "64", "--classes", "a", "b"]
    assert cli.main([*command, "--mean", "0.4", "--std", "0.2"]) == 0
    assert "Pictures go in gray, at 64 x 64, mean 0.4, std 0.2." in capsys.readouterr().out
    crop = noise(6, (64, 64))
    gray = (torch.tensor(np.array(crop.convert("L"))) / 255 - 0.4) / 0.2
    with torch.inference_mode():
        wanted = theirs(gray[None, None])
    model = open_model("x", folder=tmp_path)
    assert torch.allclose(model.logits([crop]), wanted, atol=2e-3)  # theirs rounds to 256 grays
    assert explain(model, crop).heatmap.any()
    assert cli.main([*command, "--replace", "--mean", "0.4", "0.5", "0.6"]) == 2
    assert "takes gray pictures: give --mean and --std one number" in capsys.readouterr().err
    assert cli.main([*command, "--replace", "--mean", "0.4", "0.5"]) == 2
    assert "--mean must be one number, or three" in capsys.readouterr().err


def test_networks_whose_names_have_a_version_are_imported(tmp_path):
    """torchvision's MNASNet asks a state dict which version of its layers it is of."""
    theirs = theirs_of("mnasnet0_5", lambda network: network)
    imported(theirs, "mnasnet0_5", tmp_path)
    assert agrees(theirs, tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("torchvision:resnet19", "use one such as resnet18"),
        ("keras:resnet50", "There is no library keras"),
        ("resnet18", "torchvision:NAME"),
    ],
)
def test_names_that_stand_for_nothing(name, message):
    from maskexplain.models.network import build_network

    with pytest.raises(NetworkError, match=message):
        build_network(name, 2)


def test_timm_by_name():
    pytest.importorskip("timm")
    network = shaken(build_by_name("timm:resnet10t", 2, EvaluationTransform(64))).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        whole = network(x)
        assert torch.allclose(network.head(network.features(x)), whole, atol=1e-5)
        network.fold()
        assert torch.allclose(network(x), whole, atol=1e-4)
    assert network.layer == "layer4"


@pytest.mark.parametrize("name", ["densenet121", "tf_mobilenetv3_small_minimal_100"])
def test_a_norm_that_does_more_is_not_folded(name):
    """timm's norms hold the activation, too, and its layers of TensorFlow pad by the size."""
    pytest.importorskip("timm")
    network = shaken(build_by_name(f"timm:{name}", 2, SMALL)).eval()
    x = torch.randn(2, 3, SMALL.size, SMALL.size)
    with torch.inference_mode():
        before = network(x)
        fold(network)
        network.to(memory_format=torch.channels_last)
        assert torch.allclose(network(x), before, atol=1e-4)
        assert torch.allclose(network.head(network.features(x)), before, atol=1e-4)


def test_a_tag_that_is_none_and_a_transformers_size():
    pytest.importorskip("timm")
    for name in ("timm:resnet10t.none", "torchvision:resnet18.none"):
        with pytest.raises(NetworkError, match="There is no network"):
            build_by_name(name, 2)
    with pytest.raises(NetworkError, match="use torchvision:resnet18,"):
        build_network("resnet18", 2)
    network = build_by_name("timm:vit_tiny_patch16_224", 2, EvaluationTransform(32))
    assert network.network.pos_embed.shape[1] == 2 * 2 + 1


def test_a_transformer_of_timms():
    """It has further inputs, with defaults, and writes its attention as products."""
    pytest.importorskip("timm")
    transform = EvaluationTransform(224)
    network = build_by_name("timm:vit_tiny_patch16_224", 2, transform).eval()
    x = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(network.head(network.features(x)), network(x), atol=1e-5)
    assert network.layer == "patch_embed.proj" and network.mixes_places
    assert not build_by_name("timm:resnet10t", 2, SMALL).mixes_places
