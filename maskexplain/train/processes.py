"""Training in several processes that torchrun started: each learns from its share of every batch.

The loss, its gradients and the statistics of batch norms are those of the whole batch. So the
number of processes changes a result by rounding alone, and by what is drawn at random for each
picture. The first process alone prints, writes and holds locks. Without torchrun there is one
process, and all of this does nothing.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from hashlib import sha256
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as nnf
from torch.nn.parallel import DistributedDataParallel
from torch.overrides import TorchFunctionMode

from ..errors import UserError
from ..models.version import pick_device

PATIENCE = timedelta(hours=12)  # for the first process: it may paint or measure for long
SOON = timedelta(seconds=10)  # in which the first process has met an error that all meet
ENDED = "the first process has ended"


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def number() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Whether this is the process that prints and writes."""
    return number() == 0


@contextmanager
def together() -> Iterator[None]:
    """Join the processes that torchrun started, for what is done inside.

    An error ends all of them; it is told once. Raises UserError where another process ended.
    """
    if not dist.is_torchelastic_launched() or os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    store, rank, size = next(dist.rendezvous("env://"))
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    try:
        with _told() if is_first() else _silent(store):
            yield
    finally:
        if is_first():
            with suppress(RuntimeError):  # torchrun, which keeps the store, may be gone
                store.set(ENDED, "")
        dist.destroy_process_group()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        time.sleep(0)  # Ctrl-C, which ended the other one, ends this one, too
        if not _lost(error):
            raise
        raise UserError(
            "Another process of this training has ended, so this one does. The same command goes "
            "on from what was saved last."
        ) from error


@contextmanager
def _silent(store: dist.Store) -> Iterator[None]:
    """Print nothing; end without a word where the first process has ended or says the same."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        try:
            yield
        except KeyboardInterrupt:
            _ended(store)
            sys.exit(130)
        except UserError as error:
            if _ended(store):
                sys.exit(2)
            raise UserError(f"process {number()}: {error}") from error
        except RuntimeError as error:
            if not _lost(error):
                raise
            sys.exit(2)


def _ended(store: dist.Store) -> bool:
    """Whether the first process has ended, or does so soon."""
    try:
        store.wait([ENDED], SOON)
    except RuntimeError:  # torch's errors of its store are of this kind
        return False
    return True


def _lost(error: RuntimeError) -> bool:
    """Whether an error is that another process has gone; gloo has no kind of its own for that."""
    return isinstance(error, dist.DistError) or "gloo" in str(error) or "by peer" in str(error)


def own_device(name: str) -> torch.device:
    """The device of this process: with several of them each has a GPU of its own, or the CPU.

    Raises UserError for a device that this machine lacks, or has too few of.
    """
    if count() == 1:
        return pick_device(name)
    here, there = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if there >= here else "cpu"
    device = pick_device(name)
    if device.type == "mps":
        raise UserError("Processes cannot share an Apple GPU: use --device cpu, or no torchrun.")
    if device.type == "cpu":
        return device
    if there < here:
        raise UserError(
            f"{here} processes need {here} GPUs, and this machine has {there}: use "
            f"--nproc-per-node {there}, or --device cpu."
        )
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


# --- what they tell each other


def add_up(values: torch.Tensor) -> torch.Tensor:
    """The sum of the processes' tensors, in place."""
    if count() > 1:
        dist.all_reduce(values)
    return values


def share(rows: torch.Tensor) -> torch.Tensor:
    """This process's part of rows; all of them in one process."""
    return rows.tensor_split(count())[number()]


def join(part: torch.Tensor, rows: int) -> torch.Tensor:
    """All rows' values, of what each process has for its `share` of them."""
    whole = part.new_zeros(rows, *part.shape[1:])
    share(whole).copy_(part)
    return add_up(whole)


def wait() -> None:
    """Wait until all processes are here."""
    add_up(torch.zeros(1))


@contextmanager
def one_by_one() -> Iterator[None]:
    """The first process does what is inside before the others do it: they find its files."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def agree(text: str) -> bool:
    """Whether all processes have the same text."""
    if count() == 1:
        return True
    least = torch.frombuffer(bytearray(sha256(text.encode()).digest()), dtype=torch.uint8)
    most = least.clone()
    dist.all_reduce(least, dist.ReduceOp.MIN)
    dist.all_reduce(most, dist.ReduceOp.MAX)
    return torch.equal(least, most)


# --- the network


class _Sum(torch.autograd.Function):
    """The sum over the processes. What each adds to any process's loss is in its gradient."""

    @staticmethod
    def forward(ctx: object, values: torch.Tensor) -> torch.Tensor:
        return add_up(values.clone())

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        return add_up(gradient.clone())


class SharedNorms(TorchFunctionMode):
    """While it is entered, batch norms of any kind count the pictures of all processes.

    torch's own SyncBatchNorm does that on GPUs alone; this does it everywhere, so that the tests
    on a CPU see what runs on GPUs.
    """

    def __torch_function__(
        self, function: Callable, types: object, args: Sequence = (), kwargs: dict | None = None
    ) -> Any:
        shared = _batch_norm if function is nnf.batch_norm else function
        return shared(*args, **(kwargs or {}))


def _batch_norm(
    x: torch.Tensor,
    running_mean: torch.Tensor | None,
    running_var: torch.Tensor | None,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> torch.Tensor:
    """nnf.batch_norm over all processes; x: N x C or N x C x places."""
    if not training:
        return nnf.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    mean, variance, values = _statistics(x.float(), [0, *range(2, x.ndim)])
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(variance * values / (values - 1).clamp(min=1), momentum)
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    shape = [1, -1, *[1] * (x.ndim - 2)]
    return torch.addcmul(shift.view(shape), x.float(), scale.view(shape)).to(x.dtype)


def _statistics(
    x: torch.Tensor, places: list[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean and variance of each channel, and of how many values, over all processes.

    Each process's own are put together, which loses less than a sum of squares.
    """
    variance, mean = torch.var_mean(x, places, correction=0)  # C
    size = x.new_full(mean.shape, x.numel() / x.shape[1])
    table = x.new_zeros(count(), 3, len(mean))
    table[number()] = torch.stack([size, mean, variance])
    sizes, means, variances = _Sum.apply(table).unbind(1)  # each processes x C
    total = sizes.sum(0)
    mean = (sizes * means).sum(0) / total
    variance = (sizes * (variances + (means - mean) ** 2)).sum(0) / total
    return mean, variance, total


class _Through(nn.Module):
    """A network's activations and logits in one pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with SharedNorms() if count() > 1 else nullcontext():
            activations = self.network.features(x)
            return activations, self.network.head(activations)


def shared(network: nn.Module) -> nn.Module:
    """What gives a network's activations and logits, and gradients that are all processes' mean."""
    through = _Through(network)
    if count() == 1:
        return through
    # Each process computes the same statistics of batch norms: there is nothing to send.
    return DistributedDataParallel(
        through, forward_sync_buffers=False, find_unused_parameters=_has_unused(network)
    )


def _has_unused(network: nn.Module) -> bool:
    """Whether some weights add nothing to the answer."""
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    size, was_training = cast(int, network.transform.size), network.training
    logits = network.eval()(torch.zeros(1, 3, size, size, device=weights[0].device))
    network.train(was_training)
    slopes = torch.autograd.grad(logits.sum(), weights, allow_unused=True)
    return any(slope is None for slope in slopes)
