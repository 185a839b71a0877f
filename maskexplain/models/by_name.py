"""Networks of other libraries by name, `torchvision:resnet18` or `timm:NAME`, split once.

A network is traced (torch.fx, which every classification network of torchvision allows) and cut in
two behind one layer: `features` runs to there, `head` goes on from there. So methods on that layer
attribute over the head alone. The layer is one that every way through the network passes; without
a choice it is the last one whose map is still a map.
"""

import operator
from collections import Counter
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from threading import Lock
from typing import Any

import torch
import torchvision
from torch import fx, nn
from torch.nn import functional as nnf
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .fused_conv import fused
from .network import EvaluationTransform, NetworkError, last_layer
from .own_head import OwnHead

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# Their published weights bring the pictures to this scale themselves; here the transform does.
SCALED_BY_HALVES = ("googlenet", "inception_v3")
POOLS = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
PADDED = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
IN_PLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
_tracing = Lock()  # it changes torch.nn.Module while it runs


class SplitNetwork(nn.Module):
    """Somebody's network as `features` and `head` around one layer; all share their weights.

    `layer`: the layer's name in the network, None for the last map. `own_head`: what has been put
    in place of the library's last layers. Nothing in it works in place: that would change what
    attribution methods hold on to. Raises NetworkError for a layer that cannot be explained.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        transform: EvaluationTransform,
        layer: str | None = None,
        own_head: OwnHead | None = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.own_head = own_head
        self.network = network
        self.transform = transform
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False
        trace = _traced(network)
        _fix_size(trace.graph, transform.size)
        try:
            maps = trace.maps(network, transform.size)
        except (RuntimeError, AssertionError, ValueError) as error:
            raise _too_odd(name, transform.size, error) from error
        self.layer = layer or _last_map(network, trace, maps)
        self._graph = trace.graph
        # By its place: a copy's graph has nodes of its own.
        self._at = list(trace.graph.nodes).index(_chosen(trace, self.layer, maps))
        self._parts = self._cut()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N x 3 x S x S to logits N x classes."""
        return self.network(x)

    @property
    def features(self) -> nn.Module:
        """N x 3 x S x S to the layer's activations N x C x h x w."""
        return self._parts[0]

    @property
    def head(self) -> nn.Module:
        """Activations N x C x h x w to logits N x classes; without a training's dropout."""
        return self._parts[1]

    @property
    def mixes_places(self) -> bool:
        """Whether attention follows the layer: its channels then say nothing of their places."""
        nodes = getattr(getattr(self.head, "graph", None), "nodes", ())
        called = " ".join(str(node.target).lower() for node in nodes)
        attends = "attention" in called or ("softmax" in called and "matmul" in called)
        return attends or any("Attention" in type(m).__name__ for m in self.head.modules())

    def fold(self) -> None:
        """Put each batch norm behind a conv into that conv, and the activation, too, in place."""
        modules = dict(self.network.named_modules())
        for conv, norm in _conv_readers(self._graph, modules):
            if norm and (type(modules[conv]), type(modules[norm])) == (nn.Conv2d, nn.BatchNorm2d):
                self.network.set_submodule(conv, fuse_conv_bn_eval(modules[conv], modules[norm]))
                self.network.set_submodule(norm, nn.Identity())
        modules = dict(self.network.named_modules())
        # What the explained node gives stays as it is: its activation is not put before it.
        explained = list(self._graph.nodes)[self._at]
        for conv, behind in _conv_readers(self._graph, modules, explained):
            activation = modules[behind] if behind else None
            if layer := fused(modules[conv], activation):
                self.network.set_submodule(conv, layer)
                if layer.activation is activation:
                    self.network.set_submodule(behind, nn.Identity())
        self._parts = self._cut()

    def _cut(self) -> tuple[nn.Module, nn.Module]:
        return _cut(self.network, list(self._graph.nodes)[self._at])

    def _apply(self, *args: Any, **more: Any) -> "SplitNetwork":
        super()._apply(*args, **more)
        self._parts = self._cut()  # a moved buffer is a new one
        return self


class _Trace(fx.Tracer):
    """A tracer that keeps which node is each module's output."""

    def __init__(self) -> None:
        super().__init__(param_shapes_constant=True)
        self.outputs: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is one step: timm's layers that pad by the picture's size, too."""
        padded = isinstance(m, PADDED) and type(m).__name__.endswith("Same")
        return padded or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Any, args: tuple, kwargs: dict) -> Any:
        path = self.path_of_module(m)
        output = super().call_module(m, forward, args, kwargs)
        if isinstance(output, fx.Proxy):
            self.outputs[path] = output.node
        return output

    def maps(self, network: nn.Module, size: int) -> dict[fx.Node, tuple[int, ...]]:
        """The shape N x C x h x w of every node with one, in the order in which they run."""
        shapes = _Shapes(network, self.graph)
        parameter = next(network.parameters())
        was_training = network.training
        with torch.no_grad():
            network.eval()  # or batch norms would learn from the zeros
            shapes.run(torch.zeros(1, 3, size, size).to(parameter))
        network.train(was_training)
        return shapes.found


class _Shapes(fx.Interpreter):
    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.found: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.ndim == 4 and n.op != "placeholder":
            self.found[n] = tuple(value.shape)
        return value


def traced_graph(network: nn.Module) -> fx.Graph:
    """What a network does, step by step, in evaluation mode. Raises NetworkError."""
    return _traced(network).graph


def _traced(network: nn.Module) -> _Trace:
    trace = _Trace()
    was_training = network.training
    try:
        with _tracing:
            trace.graph = trace.trace(network.eval())
    except Exception as error:  # a forward of any kind fails in any way
        raise NetworkError(
            f"The network {type(network).__name__} decides by the picture what it runs, so it "
            f"cannot be split ({str(error)[:80]}): use another one."
        ) from error
    finally:
        network.train(was_training)
    for node in trace.graph.nodes:
        _out_of_place(node)
    return trace


def _fix_size(graph: fx.Graph, size: int) -> None:
    """Put the pictures' known size in place of what the graph reads from their shape."""
    known = {1: 3, 2: size, 3: size}
    for node in graph.nodes:
        if node.target is operator.getitem and _is_shape(node.args[0]) and node.args[1] in known:
            for user in list(node.users):
                user.args = fx.node.map_arg(
                    user.args, lambda a, n=node: known[n.args[1]] if a is n else a
                )


def _out_of_place(node: fx.Node) -> None:
    """Let one step of a graph make a new tensor in place of changing its input."""
    if node.op == "call_function":
        node.target = IN_PLACE.get(node.target, node.target)
        if node.kwargs.get("inplace"):
            node.kwargs = {**node.kwargs, "inplace": False}
        if node.target is nnf.relu and len(node.args) > 1:
            node.args = node.args[:1]
    elif node.op == "call_method" and node.target.endswith("_") and node.target[-2:-1] != "_":
        node.target = node.target.removesuffix("_")


def _last_map(network: nn.Module, trace: _Trace, maps: dict[fx.Node, tuple[int, ...]]) -> str:
    """The last layer whose map is still a map: behind the last conv, before the pooling."""
    modules = dict(network.named_modules())
    answer = last_layer(network)
    order = {node: index for index, node in enumerate(trace.graph.nodes)}
    cuts = _cuts(trace.graph)
    wide = [node for node in maps if maps[node][2] * maps[node][3] > 1]

    def at(kinds: Any) -> list[int]:
        found = (n for n in wide if n.op == "call_module")
        own = ((n, modules[str(n.target)]) for n in found)
        return [
            order[n] for n, m in own if (m is answer if kinds is None else isinstance(m, kinds))
        ]

    last = min(at(None), default=len(order))  # SqueezeNet's answer is a map, too
    conv = max((index for index in at(nn.Conv2d) if index < last), default=0)
    end = min((index for index in at(POOLS) if index > conv), default=last)
    good = [
        (order[node], -len(path), path)
        for path, node in trace.outputs.items()
        if node in wide
        and node in cuts
        and conv <= order[node] < min(end, last)
        and not isinstance(modules[path], nn.Dropout)
    ]
    if not good:
        raise NetworkError(
            f"The network {type(network).__name__} has no map to explain: give it larger pictures."
        )
    return max(good)[2]


def _chosen(trace: _Trace, layer: str, maps: dict[fx.Node, tuple[int, ...]]) -> fx.Node:
    cuts, node = _cuts(trace.graph), trace.outputs.get(layer)
    if node in cuts and node in maps:
        return node
    good = [path for path, at in trace.outputs.items() if at in maps and at in cuts]
    known = ", ".join(sorted({path.partition(".")[0] for path in good} | set(good[-8:])))
    if node is None:
        near = get_close_matches(layer, good, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise NetworkError(f"The network has no layer {layer}{meant}: use one such as {known}.")
    if node not in maps:
        raise NetworkError(f"The layer {layer} gives no map N x C x h x w: use one of {known}.")
    raise NetworkError(f"Something goes past the layer {layer}: use one such as {known}.")


def _behind(at: fx.Node) -> set[fx.Node]:
    """What the answer needs besides a node's output."""
    output = next(node for node in at.graph.nodes if node.op == "output")
    found, waiting = {output}, [output]
    while waiting:
        for before in waiting.pop().all_input_nodes:
            if before is not at and before not in found and not _counts_pictures(before):
                found.add(before)
                waiting.append(before)
    return found


def _cuts(graph: fx.Graph) -> set[fx.Node]:
    """The nodes that all which a picture gives to the answer goes through."""
    order = {node: index for index, node in enumerate(graph.nodes)}
    output = next(node for node in graph.nodes if node.op == "output")
    live = _before(output)
    cuts: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    reach = 0
    for node, index in order.items():
        # Further inputs, which have defaults, come from no picture: timm's transformers have some.
        from_picture = order[node] == 0 or not seen.isdisjoint(node.all_input_nodes)
        if node not in live or not from_picture or _counts_pictures(node):
            continue
        if seen and reach <= index:
            cuts.add(node)
        seen.add(node)
        reach = max([reach, *(order[user] for user in node.users if user in live)])
    return cuts


def _before(node: fx.Node) -> set[fx.Node]:
    found, waiting = {node}, [node]
    while waiting:
        for before in waiting.pop().all_input_nodes:
            if before not in found and not _counts_pictures(before):
                found.add(before)
                waiting.append(before)
    return found


def _counts_pictures(node: fx.Node) -> bool:
    """Whether a node is the first number of the input's shape."""
    whole = node.args[0] if node.args else None
    if node.target == "size":
        return whole.op == "placeholder" and node.args[1:] == (0,)
    return node.target is operator.getitem and node.args[1] == 0 and _is_shape(whole)


def _is_shape(node: Any) -> bool:
    """Whether a node is the input's shape."""
    return isinstance(node, fx.Node) and node.target is getattr and node.args[0].op == "placeholder"


def _cut(network: nn.Module, at: fx.Node) -> tuple[nn.Module, nn.Module]:
    """`features` and `head` of a network around one node of its graph."""
    first, second = fx.Graph(), fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in at.graph.nodes:
        if node.op != "output":
            copies[node] = first.node_copy(node, copies.__getitem__)
        if node is at:
            break
    first.output(copies[at])
    copies = {at: second.placeholder("activations")}
    behind = _behind(at)
    for node in at.graph.nodes:
        if _counts_pictures(node):
            shape = second.call_function(getattr, (copies[at], "shape"))
            copies[node] = second.call_function(operator.getitem, (shape, 0))
        elif node in behind:
            copies[node] = second.node_copy(node, copies.__getitem__)
    return _module(network, first), _as_chain(_module(network, second))


def _module(network: nn.Module, graph: fx.Graph) -> fx.GraphModule:
    module = fx.GraphModule(network, graph)
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _as_chain(head: fx.GraphModule) -> nn.Module:
    """The head as nn.Sequential where it is a plain chain of layers, else as it is."""
    layers: list[nn.Module] = []
    _, *steps, output = head.graph.nodes
    previous = next(iter(head.graph.nodes))
    for node in steps:
        layer = _as_layer(head, node)
        if layer is None or node.all_input_nodes != [previous]:
            return head
        layers.append(layer)
        previous = node
    return nn.Sequential(*layers) if output.args[0] is previous else head


def _as_layer(head: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    if node.op == "call_module":
        return head.get_submodule(str(node.target))
    if node.target is torch.flatten and node.args[1:] == (1,) and not node.kwargs:
        return nn.Flatten()
    if node.target is nnf.dropout and not node.kwargs.get("training", True):
        return nn.Identity()
    if node.target in (nnf.relu, torch.relu):
        return nn.ReLU()
    return None


def _conv_readers(
    graph: fx.Graph, modules: dict[str, nn.Module], last: fx.Node | None = None
) -> Iterator[tuple[str, str]]:
    """The names of each conv and of the layer that alone reads it, "" where that is none.

    Behind the node `last` nothing is named.
    """
    called = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if called[str(node.target)] == 1 and isinstance(modules[str(node.target)], nn.Conv2d):
            behind = _reader(node, last, modules)
            yield str(node.target), behind if called[behind] == 1 else ""


def _reader(node: fx.Node, last: fx.Node | None, modules: dict[str, nn.Module]) -> str:
    """The name of the layer that alone reads a node, past empty ones; "" for none."""
    while node is not last and len(node.users) == 1:
        node = next(iter(node.users))
        if node.op != "call_module":
            break
        if type(modules[str(node.target)]) is not nn.Identity:
            return str(node.target)
    return ""


# --- the libraries


def build_by_name(
    name: str,
    classes: int,
    transform: EvaluationTransform | None = None,
    layer: str | None = None,
    own_head: OwnHead | None = None,
) -> SplitNetwork:
    """A network such as `torchvision:resnet18`, with random weights. Raises NetworkError."""
    transform = transform or usual_transform(name)
    network = bare_network(name, classes, transform.size)
    if own_head:
        _put_head(name, network, own_head, classes)
    return SplitNetwork(name, network, transform, layer, own_head)


def _put_head(name: str, network: nn.Module, own_head: OwnHead, classes: int) -> None:
    try:
        network.get_submodule(own_head.place)
    except AttributeError as error:
        raise NetworkError(f"{name} has no {own_head.place}: import the version anew.") from error
    network.set_submodule(own_head.place, own_head.module(classes))


@torch.no_grad()
def shape_into(network: nn.Module, place: str, size: int) -> tuple[int, ...]:
    """The shape, without N, of what goes into one of a library network's modules.

    Raises NetworkError where it takes no pictures of that size.
    """
    found: list[tuple[int, ...]] = []
    module, was_training = network.get_submodule(place), network.training
    handle = module.register_forward_pre_hook(lambda _, args: found.append(tuple(args[0].shape)))
    try:
        network.eval()(torch.zeros(1, 3, size, size, device=next(network.parameters()).device))
    except RuntimeError as error:
        raise NetworkError(
            f"It takes no pictures of {size} x {size}: give another --size."
        ) from error
    finally:
        handle.remove()
        network.train(was_training)
    return found[0][1:]


@torch.no_grad()
def runs_in_order(network: nn.Module, place: str, size: int) -> bool:
    """Whether what goes into a module is what the parts before it give, run one after another.

    Of a map only each channel's mean is held against it. The network's weights must be numbers.
    """
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    found: list[torch.Tensor] = []
    hook = network.get_submodule(place).register_forward_pre_hook(
        lambda _, args: found.append(args[0])
    )
    y = x
    try:
        network.eval()(x)
        for name, part in network.named_children():
            if name == place.partition(".")[0]:
                break
            y = part(y)
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return False
    finally:
        hook.remove()
    mine, theirs = (t.flatten(2).mean(2) if t.ndim == 4 else t for t in (y, found[0]))
    return mine.shape == theirs.shape and torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5)


def torchvision_names() -> list[str]:
    """The classification networks of torchvision."""
    return torchvision.models.list_models(module=torchvision.models)


def bare_network(name: str, classes: int, size: int) -> nn.Module:
    """A library's network as it is, for pictures of a size. Raises NetworkError."""
    library, short = _parted(name)
    if library == "timm":
        return _of_timm(name, short, classes, size)
    options: dict[str, Any] = {}
    if short in SCALED_BY_HALVES:
        options = {"aux_logits": False, "init_weights": False}
    elif short.startswith("vit_"):
        options = {"image_size": size}
    elif short.startswith("maxvit"):
        options = {"input_size": (size, size)}
    try:
        return torchvision.models.get_model(short, weights=None, num_classes=classes, **options)
    except (ValueError, AssertionError) as error:
        raise _too_odd(name, size, error) from error


def _of_timm(name: str, short: str, classes: int, size: int) -> nn.Module:
    """A network of timm's; a transformer's is made for a size. Raises NetworkError."""
    config = _config(name, short)
    fixed = config.get("fixed_input_size") and size != config["input_size"][-1]
    options = {"img_size": size} if fixed else {}
    try:
        return _timm().create_model(short, num_classes=classes, exportable=True, **options)
    except (ValueError, AssertionError, RuntimeError) as error:
        raise _too_odd(name, size, error) from error


@cache
def _config(name: str, short: str) -> dict[str, Any]:
    """How timm publishes a network, behind whose name a tag may stand. Raises NetworkError."""
    try:
        return _timm().create_model(short).pretrained_cfg
    except RuntimeError as error:  # the tag is none
        raise NetworkError(
            f"There is no network {name}: leave out what is behind the dot."
        ) from error


def _too_odd(name: str, size: int, error: Exception) -> NetworkError:
    """A size that a network cannot divide into its patches, or shrinks to nothing."""
    usual = usual_transform(name).size
    why = f"{error}".partition("\n")[0].partition(". ")[0].rstrip(".!")
    return NetworkError(
        f"{name} takes no pictures of {size} x {size} pixels ({why}): give another --size, such as "
        f"the usual {usual}."
    )


@cache
def usual_transform(name: str) -> EvaluationTransform:
    """How a picture goes into a library's network with its published weights."""
    library, short = _parted(name)
    if library == "timm":
        usual = _config(name, short)
        return EvaluationTransform(usual["input_size"][-1], usual["mean"], usual["std"])
    weights = torchvision.models.get_model_weights(short).DEFAULT
    mean, std = HALVES if short in SCALED_BY_HALVES else IMAGENET
    return EvaluationTransform(weights.transforms().crop_size[0], mean, std)


def _parted(name: str) -> tuple[str, str]:
    """Library and name within it, if that is there. Raises NetworkError."""
    library, _, short = name.partition(":")
    if library not in ("torchvision", "timm"):
        raise NetworkError(f"There is no library {library}: use torchvision:NAME or timm:NAME.")
    known = torchvision_names() if library == "torchvision" else _timm().list_models()
    if short not in known and (library, short.partition(".")[0] in known) != ("timm", True):
        near = ", ".join(get_close_matches(short, known, 3)) or ", ".join(known[:80])
        raise NetworkError(f"There is no network {name}: use one such as {near}.")
    return library, short


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise NetworkError('timm is not installed: pip install "timm>=1,<2".') from error
    return timm
