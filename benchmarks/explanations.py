"""Speed of explanations: ours, the naive way, other packages and the floor, in one run:

    python -m benchmarks.explanations [--data DIR] [--model v2] [--repetitions 15]

One table for one and for two torch threads, each measured in a fresh process. Everything is timed
from an RGB crop to heatmaps of the crop's size; the candidates take turns, so that what else the
machine does hits all alike. Each package is used as its own README does: constructed once,
outside of the timing. `pip install grad-cam torchcam` brings the other two; without them their
rows say so.

The floor is the arithmetic that the network's dense layers ask for, divided by the machine's
matrix speed (its best 2048 x 2048 x 2048 product in this very run). Leaving out channels that are
zero for a crop, one can get below it.
"""

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam, LayerIntegratedGradients
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from maskexplain.data.folder import csv_beside, list_pictures, read_crop, select
from maskexplain.data.samples import example_pictures
from maskexplain.errors import UserError
from maskexplain.explain.explain import Way, answer_and_explain, answer_and_explain_all, explain
from maskexplain.memory import keep_memory
from maskexplain.models.checkpoints import list_versions, read_checkpoint
from maskexplain.models.version import Model, open_model

WAYS = [Way("grad_cam"), Way("integrated_gradients")]
STEPS = 50
THREADS = (1, 2)
CALLERS = (1, 4)
FACES = 8
ANSWERS = 8  # of each reading of the answers per second
MATRIX = 2048
MIN_NAIVE, MAX_PEER, MAX_FLOOR, MAX_DIFFERENCE = 6.0, 1.0, 2.0, 1e-4  # the goals

OURS, NAIVE = "ours, in one call", "the naive way: Captum's layer methods"
OUR_CAM, CAPTUM, JACOBGIL, TORCHCAM = (
    "ours",
    "Captum's LayerGradCam",
    "pytorch-grad-cam",
    "torch-cam",
)
VERSIONS, BATCH, SINGLE = "every version, one after the other", "in one batch", "one by one"
PRODUCT = "matrix product"

Candidates = dict[str, Callable[[], object]]
# From a crop to its heatmap at the crop's size.
CamWay = Callable[[Image.Image], np.ndarray]


@dataclass(frozen=True)
class Timing:
    """What was read at every repetition: seconds, or answers per second."""

    readings: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.readings)

    def text(self, scale: float) -> str:
        """The median and, in brackets, the quartiles."""
        low, high = (scale * np.percentile(self.readings, at) for at in (25, 75))
        return f"{scale * self.median:.1f} ({low:.1f}-{high:.1f})"


@dataclass(frozen=True)
class Agreement:
    """How far our maps agree with others', for the timed face.

    `differences`: the largest one from Captum's layer methods over the peak, by method.
    `correlations`: with the other packages' Grad-CAM, both cut at zero. `steps`: of our integral.
    """

    differences: dict[str, float]
    correlations: dict[str, float]
    steps: int


@dataclass(frozen=True)
class Measured:
    """All readings under one number of torch threads.

    `seconds` by candidate; `missing`: why a package could not be used; `answers`: answers per
    second by number of callers; `operations`: floating-point operations of the two floors.
    """

    threads: int
    seconds: dict[str, Timing]
    missing: dict[str, str]
    answers: dict[int, Timing]
    operations: dict[str, int]
    agreement: Agreement

    @property
    def speed(self) -> float:
        """The machine's matrix speed in operations per second."""
        return 2 * MATRIX**3 / min(self.seconds[PRODUCT].readings)

    def floor(self, row: str) -> float:
        """Seconds that the operations of `row` take at the matrix speed."""
        return self.operations[row] / self.speed

    def ratio(self, one: str, other: str) -> float:
        return self.seconds[one].median / self.seconds[other].median

    @property
    def fastest_peer(self) -> str:
        known = (name for name in PEERS if name in self.seconds)
        return min(known, key=lambda name: self.seconds[name].median)


# The ways to do it


def plain_network(name: str) -> nn.Module:
    """A version's network as PyTorch gives it: no channels_last, gradients for every weight."""
    return read_checkpoint(name).network.eval()


def last_layer(network: nn.Module) -> nn.Module:
    """The layer whose output ours explains: the ReLU behind the last conv."""
    return network.features[-1]


def enlarged(maps: torch.Tensor, crop: Image.Image) -> np.ndarray:
    """Maps 1 x 1 x h x w at the crop's size, H x W."""
    size = (crop.height, crop.width)
    return LayerAttribution.interpolate(maps.detach(), size, "bilinear")[0, 0].numpy()


def predicted(network: nn.Module, inputs: torch.Tensor) -> int:
    with torch.no_grad():
        return int(network(inputs)[0].argmax())


def naive_way(network: nn.Module) -> Callable[..., list[np.ndarray]]:
    """Answer, Grad-CAM and integrated gradients as Captum's tutorials call them."""
    cam = LayerGradCam(network, last_layer(network))
    integral = LayerIntegratedGradients(network, last_layer(network))

    def run(crop: Image.Image, steps: int = STEPS) -> list[np.ndarray]:
        inputs = network.transform(crop)[None]
        target = predicted(network, inputs)
        values = integral.attribute(inputs, target=target, n_steps=steps).sum(1, keepdim=True)
        return [enlarged(maps, crop) for maps in (cam.attribute(inputs, target=target), values)]

    return run


def captum_cam(network: nn.Module) -> CamWay:
    cam = LayerGradCam(network, last_layer(network))

    def run(crop: Image.Image) -> np.ndarray:
        inputs = network.transform(crop)[None]
        return enlarged(cam.attribute(inputs, target=predicted(network, inputs)), crop)

    return run


def pytorch_grad_cam(network: nn.Module) -> CamWay:
    from pytorch_grad_cam import GradCAM  # optional, as is torchcam

    cam = GradCAM(model=network, target_layers=[last_layer(network)])

    def run(crop: Image.Image) -> np.ndarray:
        maps = cam(input_tensor=network.transform(crop)[None], targets=None)
        return enlarged(torch.from_numpy(maps)[None], crop)

    return run


def torch_cam(network: nn.Module) -> CamWay:
    from torchcam.methods import GradCAM

    cam = GradCAM(network, target_layer=last_layer(network))

    def run(crop: Image.Image) -> np.ndarray:
        output = network(network.transform(crop)[None])
        return enlarged(cam(output.squeeze(0).argmax().item(), output)[0][None], crop)

    return run


PEERS: dict[str, Callable[[nn.Module], CamWay]] = {
    CAPTUM: captum_cam,
    JACOBGIL: pytorch_grad_cam,
    TORCHCAM: torch_cam,
}


def open_peers(name: str) -> tuple[dict[str, CamWay], dict[str, str]]:
    """The packages that are installed, each with a network of its own, and why others are not."""
    ways, missing = {}, {}
    for title, opener in PEERS.items():
        try:
            ways[title] = opener(plain_network(name))
        except ImportError as error:
            missing[title] = f"not installed: {error}"
    return ways, missing


# Measuring


def interleaved(candidates: Candidates, repetitions: int, done: Callable) -> dict[str, Timing]:
    """Seconds of each candidate, taking turns; each round starts with another one."""
    names = list(candidates)
    readings: dict[str, list[float]] = {name: [] for name in names}
    for work in candidates.values():
        work()  # the first call also sets things up
    for turn in range(repetitions):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            candidates[name]()
            readings[name].append(time.perf_counter() - began)
        done()
    return {name: Timing(tuple(values)) for name, values in readings.items()}


def answers_per_second(model: Model, crop: Image.Image, repetitions: int) -> dict[int, Timing]:
    """Answers with both heatmaps per second, for one and for four threads that ask at once."""

    def ask(callers: int) -> None:
        with ThreadPoolExecutor(callers) as pool:
            list(pool.map(lambda _: answer_and_explain(model, crop, WAYS), range(ANSWERS)))

    work = {str(callers): partial(ask, callers) for callers in CALLERS}
    seconds = interleaved(work, repetitions, done=lambda: None)
    return {
        callers: Timing(tuple(ANSWERS / s for s in seconds[str(callers)].readings))
        for callers in CALLERS
    }


def count_operations(network: nn.Module) -> dict[str, int]:
    """Of a dense network: forward once, and the head forward and backward at every step.

    For Grad-CAM alone: forward once, and the head backward once. Only the activations get a
    gradient.
    """
    size = network.transform.size
    inputs = torch.zeros(1, 3, size, size)
    with torch.no_grad():
        activations = network.features(inputs)
        once = _counted(lambda: network(inputs))
        head = _counted(lambda: network.head(activations))
    return {
        OURS: once + _counted(partial(_slopes, network.head, activations, STEPS)),
        OUR_CAM: once + _counted(partial(_slopes, network.head, activations, 1)) - head,
    }


def _slopes(head: nn.Module, activations: torch.Tensor, rows: int) -> None:
    activations = activations.repeat(rows, 1, 1, 1).requires_grad_()
    head(activations).sum().backward()


def _counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def compare(model: Model, crop: Image.Image, peers: dict[str, CamWay]) -> Agreement:
    """Our maps of the timed face against the others'."""
    ours = answer_and_explain(model, crop, WAYS).explanations
    steps = ours[1].steps
    naive = naive_way(plain_network(model.name))(crop, steps)
    positive = np.maximum(ours[0].heatmap, 0)
    return Agreement(
        {
            explanation.method: float(abs(explanation.heatmap - theirs).max() / abs(theirs).max())
            for explanation, theirs in zip(ours, naive, strict=True)
        },
        {name: correlation(positive, np.maximum(way(crop), 0)) for name, way in peers.items()},
        steps,
    )


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; NaN where a map is the same everywhere, as one that was cut to nothing."""
    if not (np.ptp(one) and np.ptp(other)):
        return float("nan")
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def our_candidates(model: Model, crops: Sequence[Image.Image]) -> Candidates:
    """Ours for one face, for one face by every version, and for many faces."""
    crop, versions = crops[0], [open_model(name) for name in list_versions()]
    return {
        OURS: lambda: answer_and_explain(model, crop, WAYS),
        OUR_CAM: lambda: explain(model, crop, "grad_cam"),
        VERSIONS: lambda: [answer_and_explain(each, crop, WAYS) for each in versions],
        BATCH: lambda: answer_and_explain_all(model, crops, WAYS),
        SINGLE: lambda: [answer_and_explain(model, each, WAYS) for each in crops],
    }


def measure(name: str, crops: Sequence[Image.Image], repetitions: int) -> Measured:
    """Everything, in this process, under the number of threads that it was started with."""
    keep_memory()  # the other ways gain by it, too
    model, crop = open_model(name), crops[0]
    peers, missing = open_peers(name)
    left, right = torch.rand(2, MATRIX, MATRIX)
    candidates = our_candidates(model, crops) | {
        NAIVE: partial(naive_way(plain_network(name)), crop),
        **{title: partial(way, crop) for title, way in peers.items()},
        PRODUCT: lambda: left @ right,
    }
    threads = torch.get_num_threads()
    with tqdm(total=repetitions, desc=f"torch threads: {threads}", leave=False) as bar:
        seconds = interleaved(candidates, repetitions, bar.update)
    answers = answers_per_second(model, crop, max(3, repetitions // 3))
    operations = count_operations(model.network)
    agreement = compare(model, crop, peers)
    return Measured(threads, seconds, missing, answers, operations, agreement)


def measure_apart(threads: int, *arguments: object) -> Measured:
    """`measure` in a fresh process: OpenMP reads its setting only once, at the start."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(measure, *arguments).result()


def some_crops(folder: Path | None) -> list[Image.Image]:
    """Eight faces: the first ones of the data's test split, or the example pictures."""
    if folder is None:
        examples = [example.image for example in example_pictures()]
        return list(islice(chain.from_iterable(repeat(examples)), FACES))
    pictures = select(list_pictures(folder, csv_beside(folder)), "test")
    return [read_crop(picture.file) for picture in pictures[:FACES]]


# The table


def row(title: str, cells: Iterable[str]) -> str:
    return f"{title:<44}" + "".join(f"{cell:>26}" for cell in cells)


def times(title: str, results: Sequence[Measured], name: str) -> str:
    """A row of milliseconds, or of the reason why there are none."""
    if name not in results[0].seconds:
        return f"  {title:<42}{results[0].missing[name]}"
    return row(f"  {title}", (r.seconds[name].text(1000) for r in results))


def floor(results: Sequence[Measured], name: str) -> str:
    title = f"  the floor: {results[0].operations[name] / 1e9:.2f} GFLOP"
    return row(title, (f"{1000 * r.floor(name):.1f}" for r in results))


def speed_table(results: Sequence[Measured]) -> list[str]:
    shown = partial(times, results=results)
    count = len(results[0].seconds[OURS].readings)
    return [
        row(
            f"milliseconds: median of {count} (quartiles)",
            (f"threads: {r.threads}" for r in results),
        ),
        row("matrix speed, GFLOP/s", (f"{r.speed / 1e9:.0f}" for r in results)),
        "answer, Grad-CAM and integrated gradients",
        *[shown(name, name=name) for name in (OURS, NAIVE)],
        floor(results, OURS),
        shown(VERSIONS, name=VERSIONS),
        "Grad-CAM alone",
        *[shown(name, name=name) for name in (OUR_CAM, *PEERS)],
        floor(results, OUR_CAM),
        f"{FACES} faces: answers, Grad-CAM and integrated gradients",
        *[shown(name, name=name) for name in (BATCH, SINGLE)],
    ]


def answers_table(results: Sequence[Measured]) -> list[str]:
    """Answers per second, and which number of torch threads wins."""
    lines = [
        f"answers per second, each with both heatmaps: median of {_count(results)} (quartiles)"
    ]
    for callers in CALLERS:
        best = max(results, key=lambda r: r.answers[callers].median).threads
        cells = (r.answers[callers].text(1) for r in results)
        lines.append(row(f"  asked by {callers} at once: best with threads {best}", cells))
    return lines


def _count(results: Sequence[Measured]) -> int:
    return len(results[0].answers[CALLERS[0]].readings)


def goal(title: str, values: Sequence[float], limit: float, at_least: bool = False) -> str:
    """A row of ratios, each with whether it reaches its goal."""

    def cell(value: float) -> str:
        reached = value >= limit if at_least else value <= limit
        return f"{value:.3g} {'reached' if reached else 'missed'}"

    sign = ">=" if at_least else "<="
    return row(f"  {title} ({sign} {limit:g})", map(cell, values))


def goals_table(results: Sequence[Measured]) -> list[str]:
    floors = {
        name: [r.seconds[name].median / r.floor(name) for r in results] for name in (OURS, OUR_CAM)
    }
    peers = [r.ratio(OUR_CAM, r.fastest_peer) for r in results]
    return [
        "ratios of the medians, and their goals",
        goal("the naive way / ours", [r.ratio(NAIVE, OURS) for r in results], MIN_NAIVE, True),
        goal("our Grad-CAM / the fastest package's", peers, MAX_PEER),
        row("  which is", (r.fastest_peer for r in results)),
        goal("ours / its floor", floors[OURS], MAX_FLOOR),
        goal("our Grad-CAM / its floor", floors[OUR_CAM], MAX_FLOOR),
        goal("one batch / one by one", [r.ratio(BATCH, SINGLE) for r in results], 1.0),
    ]


def agreement_table(results: Sequence[Measured]) -> list[str]:
    found = [r.agreement for r in results]
    return [
        f"values: from Captum's layer methods, over the peak ({found[0].steps} steps)",
        *[goal(name, [a.differences[name] for a in found], MAX_DIFFERENCE) for name in WAYS],
        "correlation of our Grad-CAM, cut at zero, with",
        *[
            row(f"  {name}", (f"{a.correlations[name]:.5f}" for a in found))
            for name in found[0].correlations
        ],
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--data", type=Path, help="an image folder; else the example pictures")
    parser.add_argument("--model", default="v2")
    parser.add_argument("--repetitions", type=int, default=15)
    args = parser.parse_args()
    crops = some_crops(args.data)
    results = [measure_apart(n, args.model, crops, args.repetitions) for n in THREADS]
    size = "{} x {}".format(*crops[0].size)
    print(f"one face of {size} pixels, {args.model}, on {os.cpu_count()} cores")
    for part in (speed_table, answers_table, goals_table, agreement_table):
        print(*part(results), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"benchmarks.explanations: {error}")
