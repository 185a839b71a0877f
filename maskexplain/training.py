"""The training loop of every version: resumable, stops on a loss that is not finite."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from .checkpoints import write_weights
from .data import Pixels
from .errors import UserError
from .evaluate import logits_of
from .files import write_file, write_json
from .model import build_network
from .recipes import AUGMENTS, Recipe
from .statistics import score

# Called after every step with the epoch (from 0), the step's loss and the learning rate.
OnStep = Callable[[int, float, float], object]
# Called after every epoch with its line of the history.
OnEpoch = Callable[[dict], object]


class TrainingError(UserError):
    """Training cannot start, go on, or be resumed."""


@dataclass
class Training:
    """What an interrupted training resumes from.

    `data` is the fingerprint of the pictures; `history` holds a dict an epoch.
    """

    recipe: Recipe
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.ReduceLROnPlateau | None
    data: str = ""
    history: list[dict] = field(default_factory=list)

    @property
    def best(self) -> dict:
        """The epoch with the highest balanced accuracy on val; of equal ones, the lowest loss."""
        return max(self.history, key=lambda e: (e["val_balanced_accuracy"], -e["val_loss"]))


def has_bf16() -> bool:
    """Whether this processor has bf16 instructions; without them autocast is slower than fp32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def start(recipe: Recipe, data: str = "") -> Training:
    """A training at its beginning, seeded by the recipe."""
    torch.manual_seed(recipe.seed)
    # channels_last: measured three times faster for these convs on a CPU.
    network = build_network(recipe.network).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(
        network.parameters(),
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True,  # one pass over the weights: 20 ms a step, and not 130
    )
    scheduler = None
    if recipe.plateau:
        patience, factor = recipe.plateau
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode="min", patience=patience, factor=factor
        )
    return Training(recipe, network, optimizer, scheduler, data)


def save(training: Training, path: Path) -> None:
    """Write what `resume` reads."""
    state = {
        "recipe": training.recipe.to_dict(),
        "data": training.data,
        "network": training.network.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scheduler": training.scheduler.state_dict() if training.scheduler else None,
        "history": training.history,
    }
    write_file(path, lambda beside: torch.save(state, beside))


def resume(recipe: Recipe, path: Path, data: str = "") -> Training:
    """Read an interrupted training of the same recipe and data. Raises TrainingError."""
    training = start(recipe, data)
    try:
        state = torch.load(path, weights_only=True)
        stored = {**state["recipe"], "epochs": recipe.epochs}  # more epochs may be asked for
        if stored != recipe.to_dict() or state["data"] != data:
            raise ValueError("another recipe or other data")
        training.network.load_state_dict(state["network"])
        training.optimizer.load_state_dict(state["optimizer"])
        if training.scheduler:
            training.scheduler.load_state_dict(state["scheduler"])
        training.history = state["history"]
    # A damaged file fails in many ways, and each has the same remedy.
    except Exception as error:
        raise TrainingError(
            f"{path} cannot be resumed (damaged, or of another recipe or other data): "
            "start over with --fresh."
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
) -> Training:
    """Train until the recipe's last epoch; `folder` gets last.pt, best.safetensors, history.json.

    `train` is held at any size, as its augmentation wants it; `val` at the network's input size.
    Raises TrainingError where the loss stops being finite; the best epoch so far stays on disk.
    """
    for epoch in range(len(training.history), training.recipe.epochs):
        began = time.perf_counter()
        loss = train_epoch(training, train, epoch, bf16, on_step)
        line = {"epoch": epoch + 1, "train_loss": loss, **validate(training, val)}
        line["seconds"] = round(time.perf_counter() - began, 1)
        training.history.append(line)
        if training.best is line:
            write_weights(
                folder / "best.safetensors", training.network, training.recipe.network, half=False
            )
        write_json(folder / "history.json", {"history": training.history})
        save(training, folder / "last.pt")
        on_epoch(line)
    return training


def train_epoch(
    training: Training, data: Pixels, epoch: int, bf16: bool, on_step: OnStep = lambda *step: None
) -> float:
    """One pass over the data in random order; returns the mean loss."""
    recipe, network = training.recipe, training.network
    augment = AUGMENTS[recipe.augment]
    # Seeded by the epoch: a resumed training draws what an uninterrupted one would have drawn.
    torch.manual_seed(recipe.seed * 1000 + epoch)
    criterion = nn.CrossEntropyLoss(weight=torch.tensor(recipe.class_weights))
    network.train()
    losses = []
    for batch in torch.randperm(len(data.labels)).split(recipe.batch_size):
        labels = data.labels[batch]
        x = network.transform.normalise(augment(data.pixels[batch], labels))
        x = x.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(x)
        loss = criterion(logits.float(), labels)
        losses.append(_check(loss.item(), epoch, len(losses)))
        training.optimizer.zero_grad()
        loss.backward()
        training.optimizer.step()
        on_step(epoch, losses[-1], training.optimizer.param_groups[0]["lr"])
    return sum(losses) / len(losses)


def _check(loss: float, epoch: int, step: int) -> float:
    if loss != loss or loss in (float("inf"), float("-inf")):
        raise TrainingError(
            f"The loss is {loss} in epoch {epoch + 1}, step {step + 1}: lower the learning rate "
            "or check the data; the best epoch so far is kept."
        )
    return loss


def validate(training: Training, val: Pixels) -> dict:
    """Loss and balanced accuracy on val; steps the scheduler by the loss."""
    logits = logits_of(training.network, val.pixels)
    weight = torch.tensor(training.recipe.class_weights)
    loss = nn.functional.cross_entropy(logits, val.labels, weight=weight).item()
    rate = training.optimizer.param_groups[0]["lr"]
    if training.scheduler:
        training.scheduler.step(loss)
    scores = score(val.labels, logits.argmax(1))
    return {
        "val_loss": loss,
        "val_balanced_accuracy": scores.balanced_accuracy,
        "val_recall": {name: r.recall for name, r in scores.per_class.items()},
        "learning_rate": rate,
    }
