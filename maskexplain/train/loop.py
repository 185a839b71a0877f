"""The training loop of every version: resumable, stops on a loss that is not finite."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from io import BytesIO
from math import cos, isfinite, pi
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..data.folder import Pixels, Progress, quietly
from ..errors import UserError
from ..files import write_file, write_json
from ..models.by_name import usual_transform
from ..models.checkpoints import write_weights
from ..models.network import build_network, check_network
from ..models.results import Epoch
from ..results.scores import logits_of, score
from . import processes
from .augment import AUGMENTS
from .mix import class_maps, draw_epoch, hide_some, share_outside
from .recipe import STARTS, Recipe

# Called after every step with the epoch (from 0), the step's loss and the learning rate.
OnStep = Callable[[int, float, float], object]
# Called after every epoch with its line of the history.
OnEpoch = Callable[[Epoch], object]


EVERY = 180.0  # seconds between two checkpoints in an epoch: what a killed training loses
# Share of a batch's statistics in a batch norm's running ones, at least. Some published networks
# take .01, which takes hundreds of steps to leave the start: a short training then seems to fail.
NORM_MOMENTUM = 0.1
CPU = torch.device("cpu")
VARIED_ON_CPU = ("mps",)  # it lacks some of the operations


class TrainingError(UserError):
    """Training cannot start, go on, or be resumed."""


@dataclass
class Begun:
    """How far the epoch in work is: its steps' losses and its seconds before the last checkpoint.

    `generator`: torch's state then; None where the epoch is at its beginning.
    """

    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    generator: torch.Tensor | None = None


@dataclass
class Training:
    """What an interrupted training resumes from.

    `data` is the fingerprint of the pictures; `history` its epochs, `begun` the one in work;
    `average` is the
    running mean of the weights, where the recipe wants one. `kept` is the digest of
    best.safetensors as this training wrote it. `teachers` are not kept with it: who resumes gives
    those of the recipe anew.
    """

    recipe: Recipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau | None
    data: str = ""
    history: list[Epoch] = field(default_factory=list)
    begun: Begun = field(default_factory=Begun)
    average: AveragedModel | None = None
    teachers: list[nn.Module] = field(default_factory=list)
    kept: str = ""

    @property
    def digest(self) -> str:
        """Which training it is: of recipe and data, however many epochs or others are asked for."""
        content = {**_without_counts(self.recipe.to_dict()), "data": self.data}
        return sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.network.parameters()).device

    @cached_property
    def through(self) -> nn.Module:
        """Gives activations and logits of inputs; trains with torchrun's other processes."""
        return processes.shared(self.network)

    @property
    def answering(self) -> nn.Module:
        """The network whose weights are validated and shipped."""
        return self.average.module if self.average else self.network

    @property
    def best(self) -> Epoch:
        """The epoch that ships: the last, or the one with the highest balanced accuracy on val.

        Of equal ones, that with the lowest loss.
        """
        if self.recipe.keep == "last":
            return self.history[-1]
        return max(self.history, key=lambda e: (e.val_balanced_accuracy, -e.val_loss))


def has_bf16(device: torch.device = CPU) -> bool:
    """Whether a device has bf16 instructions; without them autocast is slower than fp32."""
    if device.type != "cpu":
        return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def start(recipe: Recipe, data: str = "", device: torch.device = CPU) -> Training:
    """A training at its beginning, seeded by the recipe.

    Raises UserError where the recipe's pretrained weights are not installed.
    """
    torch.manual_seed(recipe.seed)
    network = _build(recipe)
    check_network(network, recipe.network, len(recipe.task))
    if recipe.start:
        STARTS[recipe.start](network)
    return _around(recipe, network, data, device)


def _build(recipe: Recipe) -> nn.Module:
    transform = None
    if recipe.size is not None:
        transform = replace(usual_transform(recipe.network), size=recipe.size)
    network = build_network(recipe.network, len(recipe.task), transform)
    for module in network.modules() if ":" in recipe.network else ():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None:
            module.momentum = max(module.momentum, NORM_MOMENTUM)
    return network


def _around(recipe: Recipe, network: nn.Module, data: str, device: torch.device) -> Training:
    # channels_last: measured three times faster for these convs on a CPU.
    network = network.to(device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(recipe, network)
    return Training(
        recipe,
        network,
        optimizer,
        make_plateau(recipe, optimizer),
        data,
        average=make_average(recipe, network),
    )


def save(training: Training, path: Path) -> None:
    """Write what `resume` reads."""
    state = {
        "recipe": training.recipe.to_dict(),
        "data": training.data,
        "network": training.network.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict() if training.scheduler else None,
        "average": training.average.state_dict() if training.average else None,
        "history": [asdict(epoch) for epoch in training.history],
        "begun": vars(training.begun),
        "kept": training.kept,
    }
    # By bytes: torch's own writer tells of a full disk in an error of its own.
    content = BytesIO()
    torch.save(state, content)
    write_file(path, lambda beside: beside.write_bytes(content.getbuffer()))


def _without_counts(recipe: dict) -> dict:
    """A recipe's values, however many epochs, or trainings beside this one, are asked for."""
    return {n: value for n, value in {**recipe, "epochs": None}.items() if n != "trainings"}


def weights_digest(file: Path) -> str:
    """The digest of a weights file; empty where there is none."""
    return sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


def resume(
    recipe: Recipe, path: Path, data: str = "", exact: bool = False, device: torch.device = CPU
) -> Training:
    """Read an interrupted training of the same recipe and data. Raises TrainingError.

    More or fewer epochs, or trainings beside it, may be asked for, unless `exact`. Another device
    may go on with it.
    """
    training = _around(recipe, _build(recipe), data, device)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        both = state["recipe"], recipe.to_dict()
        stored, asked = both if exact else map(_without_counts, both)
        if stored != asked or state["data"] != data:
            raise ValueError("another recipe or other data")
        training.network.load_state_dict(state["network"])
        training.optimizer.load_state_dict(state["optimizer"])
        if training.scheduler:
            training.scheduler.load_state_dict(state["scheduler"])
        if training.average:
            training.average.load_state_dict(state["average"])
        training.history = [Epoch(**epoch) for epoch in state["history"]]
        training.begun = Begun(**state["begun"])
        training.kept = state["kept"]
    # A damaged file fails in many ways, and each has the same remedy.
    except Exception as error:
        raise TrainingError(
            f"{path} cannot be resumed (damaged, of another recipe or other data, or with other "
            "epochs than its teachers): give another --runs, or start over with --fresh."
        ) from error
    return training


def fit(
    training: Training,
    train: Pixels,
    val: Pixels,
    folder: Path,
    bf16: bool = False,
    on_step: OnStep = lambda *step: None,
    on_epoch: OnEpoch = lambda line: None,
    every: float = EVERY,
) -> Training:
    """Train until the recipe's last epoch; `folder` gets last.pt, best.safetensors, history.json.

    `train` is held at any size, as its augmentation wants it; `val` at the network's input size.
    last.pt is written behind every epoch, and in between whenever `every` seconds have passed.
    Of torchrun's processes the first one alone writes; the files are there when any returns.
    Raises TrainingError where the loss stops being finite; the best epoch so far stays on disk.
    ValueError where the teachers of the recipe are not there.
    """
    if len(training.teachers) != len(training.recipe.teachers):
        raise ValueError("a training needs the teachers of its recipe")
    for epoch in range(len(training.history), training.recipe.epochs):
        checkpoints = _Checkpoints(training, folder / "last.pt", every, on_step)
        loss = train_epoch(training, train, epoch, bf16, checkpoints.on_step)
        line = validate(training, val, epoch + 1, loss)
        line = replace(line, seconds=round(checkpoints.seconds, 1))
        training.history.append(line)
        if processes.is_first():
            _keep(training, folder)
        on_epoch(line)
    processes.wait()
    return training


def _keep(training: Training, folder: Path) -> None:
    """Write what there is behind an epoch."""
    if training.best is training.history[-1]:
        recipe, best = training.recipe, folder / "best.safetensors"
        write_weights(best, training.answering, recipe.network, recipe.task, half=False)
        training.kept = weights_digest(best)
    lines = [asdict(epoch) for epoch in training.history]
    write_json(folder / "history.json", {"history": lines})
    save(training, folder / "last.pt")


class _Checkpoints:
    """Saves an epoch in work whenever `every` seconds have passed; `on_step` is called first."""

    def __init__(self, training: Training, path: Path, every: float, on_step: OnStep) -> None:
        self.training, self.path, self.every, self.then = training, path, every, on_step
        self.began = self.saved = time.perf_counter()
        self.before = training.begun.seconds

    @property
    def seconds(self) -> float:
        """How long the epoch was worked on, before an interruption and since."""
        return self.before + time.perf_counter() - self.began

    def on_step(self, epoch: int, loss: float, rate: float) -> None:
        """After a step."""
        self.then(epoch, loss, rate)
        if processes.is_first() and time.perf_counter() - self.saved >= self.every:
            begun = self.training.begun
            begun.seconds, begun.generator = self.seconds, torch.get_rng_state()
            save(self.training, self.path)
            self.saved = time.perf_counter()


def train_epoch(
    training: Training, data: Pixels, epoch: int, bf16: bool, on_step: OnStep = lambda *step: None
) -> float:
    """One pass over the epoch's pictures in random order, or the rest of it; the mean loss."""
    recipe = training.recipe
    batches = _batches(recipe, data, epoch)
    training.network.train()
    losses = training.begun.losses
    if training.begun.generator is not None:
        torch.set_rng_state(training.begun.generator)
    for step in range(len(losses), len(batches)):
        set_rate(recipe, training.optimizer, (epoch + step / len(batches)) / recipe.epochs)
        _seed(training, epoch, step)
        loss = _loss(training, data, batches[step], bf16)
        mean = processes.add_up(loss.detach().clone()).item() / processes.count()
        losses.append(_check(mean, f"{recipe.name} is", epoch, f", step {step + 1}"))
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        if training.average:
            training.average.update_parameters(training.network)
        on_step(epoch, losses[-1], training.optimizer.param_groups[0]["lr"])
    training.begun = Begun()
    return sum(losses) / len(losses)


def epoch_inputs(
    training: Training, data: Pixels, epoch: int, progress: Progress = quietly
) -> Iterator[torch.Tensor]:
    """What an epoch (from 0) would show the network: inputs N x 3 x S x S, batch after batch."""
    for step, rows in enumerate(progress(_batches(training.recipe, data, epoch))):
        _seed(training, epoch, step)
        x, *_ = _batch(training, data, rows)
        yield x


def _batches(recipe: Recipe, data: Pixels, epoch: int) -> tuple[torch.Tensor, ...]:
    """The rows of each of an epoch's batches.

    Seeded by the epoch: a resumed training draws what an uninterrupted one would have drawn.
    """
    torch.manual_seed(recipe.seed * 1000 + epoch)
    return _order(recipe, data).split(recipe.batch_size)


def _seed(training: Training, epoch: int, step: int) -> None:
    """Let each process draw for its own pictures, and a resumed training what it would have drawn.

    One process on the CPU goes on with the epoch's own draws, which its checkpoints hold.
    """
    if processes.count() > 1 or training.device.type != "cpu":
        which = f"{training.recipe.seed} {epoch} {step} {processes.number()}"
        torch.manual_seed(int(sha256(which.encode()).hexdigest()[:15], 16))


def _loss(training: Training, data: Pixels, batch: torch.Tensor, bf16: bool) -> torch.Tensor:
    """The loss of a batch's rows; of several processes' losses, each of its share, the mean is."""
    recipe, device, rows = training.recipe, training.device, processes.share(batch)
    # Who has no share gives the loss of one picture, which counts nothing: all must take part.
    x, targets, middles = _batch(training, data, rows if len(rows) else batch[:1])
    whole, pictures = _counts(training, data, rows, batch)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16 and _autocasts(training)):
        activations, logits = training.through(x)
    weights = torch.tensor(recipe.class_weights, device=device)
    smoothing = recipe.label_smoothing
    loss = nn.functional.cross_entropy(logits.float(), targets, weights, label_smoothing=smoothing)
    if middles is None:
        return whole * loss
    maps = class_maps(training.network.head, activations.float())
    return whole * loss + pictures * recipe.focus * share_outside(maps, middles)


def _counts(
    training: Training, data: Pixels, rows: torch.Tensor, batch: torch.Tensor
) -> tuple[float, float]:
    """What means over a process's rows count in those over the batch: 1 in one process.

    First for the loss, which weights classes where the answers are labels; then for pictures.
    """
    recipe, others = training.recipe, processes.count()
    pictures = others * len(rows) / len(batch)
    if recipe.focus or training.teachers:
        return pictures, pictures
    weights = torch.tensor(recipe.class_weights)[data.labels]
    return others * (weights[rows].sum() / weights[batch].sum()).item(), pictures


def _autocasts(training: Training) -> bool:
    """Whether bf16 may be used: what recipes say of it is measured on CPUs."""
    return training.recipe.autocast or training.device.type == "cuda"


def _batch(
    training: Training, data: Pixels, rows: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Inputs as the network gets them, what it should answer, and for a focus the middles (0..1).

    The answers are class indices N or, with teachers or a focus, probabilities N x classes.
    """
    recipe, pixels, labels = training.recipe, data.pixels[rows], data.labels[rows]
    if not recipe.focus:
        x = _inputs(training, _varied(training, pixels, labels))
        return x, _taught(training, x, labels), None
    middles = nn.functional.interpolate(data.middles[rows], pixels.shape[-2:])
    both = _varied(training, torch.cat([pixels, middles], 1), labels)
    x = _inputs(training, both[:, :3])
    middles = both[:, 3:].to(x.device).float() / 255
    targets = _taught(training, x, nn.functional.one_hot(labels, len(recipe.task)).to(x))
    x, targets = hide_some(x, targets, middles, recipe.hide)
    return x, targets, middles


def _varied(training: Training, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The pictures changed by the recipe's transform, on the training's device."""
    augment, device = AUGMENTS[training.recipe.augment], training.device
    if device.type in VARIED_ON_CPU:
        return augment(pixels, labels)
    with device:  # what the transform draws lies there, too
        return augment(pixels.to(device), labels.to(device))


def _inputs(training: Training, pixels: torch.Tensor) -> torch.Tensor:
    x = training.network.transform.normalise(pixels.to(training.device))
    return x.contiguous(memory_format=torch.channels_last)


def _taught(training: Training, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the teachers answer (probabilities N x classes); without any, the labels."""
    return mean_answer(training.teachers, x) if training.teachers else labels.to(x.device)


def _order(recipe: Recipe, data: Pixels) -> torch.Tensor:
    """Rows of one epoch, in random order."""
    return draw_epoch(data, recipe.mix) if recipe.mix else torch.randperm(len(data.labels))


def _check(loss: float, whose: str, epoch: int, step: str = "") -> float:
    if not isfinite(loss):
        raise TrainingError(
            f"The loss of {whose} {loss} in epoch {epoch + 1}{step}: lower the "
            "learning rate or check the data; the best epoch so far is kept."
        )
    return loss


def validate(training: Training, val: Pixels, epoch: int, train_loss: float) -> Epoch:
    """The line of an epoch (from 1): loss and scores on val; steps the scheduler by the loss.

    Raises TrainingError where the loss is not finite.
    """
    part = logits_of(training.answering, processes.share(val.pixels))
    logits = processes.join(part, len(val.labels))
    weight = torch.tensor(training.recipe.class_weights)
    loss = nn.functional.cross_entropy(logits, val.labels, weight=weight).item()
    _check(loss, f"{training.recipe.name} on val is", epoch - 1)
    rate = training.optimizer.param_groups[0]["lr"]
    if training.scheduler:
        training.scheduler.step(loss)
    scores = score(val.labels, logits.argmax(1), training.recipe.task)
    return Epoch(
        epoch=epoch,
        train_loss=train_loss,
        val_loss=loss,
        val_balanced_accuracy=scores.balanced_accuracy,
        val_recall={name: r.recall for name, r in scores.per_class.items()},
        learning_rate=rate,
    )


@torch.no_grad()
def mean_answer(teachers: Sequence[nn.Module], x: torch.Tensor) -> torch.Tensor:
    """Mean of the teachers' probabilities N x classes for the pupil's inputs N x 3 x S x S."""
    return torch.stack([teacher(x).softmax(1) for teacher in teachers]).mean(0)


OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


def make_optimizer(recipe: Recipe, network: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over all weights."""
    return OPTIMIZERS[recipe.optimizer](
        network.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,  # one pass over the weights: 20 ms a step, and not 130
    )


def make_plateau(
    recipe: Recipe, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.ReduceLROnPlateau | None:
    """The scheduler that the validation loss steps, None where the recipe has none."""
    if recipe.plateau is None:
        return None
    patience, factor = recipe.plateau
    return torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", patience=patience, factor=factor
    )


def make_average(recipe: Recipe, network: nn.Module) -> AveragedModel | None:
    """A running mean of the weights (and of the norms' statistics), None where there is none."""
    if recipe.average is None:
        return None
    mean = get_ema_multi_avg_fn(recipe.average)
    return AveragedModel(network, multi_avg_fn=mean, use_buffers=True)


def one_cycle(progress: float, warm_up: float) -> float:
    """Share of the full learning rate at `progress` (0..1) through the training.

    Up in a straight line during the share `warm_up`, then down a half cosine to 0 (Smith and
    Topin 2017; Loshchilov and Hutter 2016). A function of progress alone: nothing to resume.
    """
    if progress < warm_up:
        return progress / warm_up
    return (1 + cos(pi * (progress - warm_up) / (1 - warm_up))) / 2


def set_rate(recipe: Recipe, optimizer: torch.optim.Optimizer, progress: float) -> None:
    """Set the learning rate of this moment, where the recipe has a cycle."""
    if recipe.warm_up is not None:
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * one_cycle(progress, recipe.warm_up)
