"""A recipe for your own classes and any network: maskexplain train NAME --network N --data DIR

v3's variation of the pictures, class weights, a temperature and an "unsure" threshold; the best
epoch on val ships. It starts from published weights where these are on this machine.
"""

from collections import Counter
from collections.abc import Sequence
from functools import partial

from ..data.folder import Picture
from ..models.network import build_network
from ..task import Task
from .pretrained import start_at_hand
from .recipe import AUGMENTS, TRAIN_SIZE, Recipe
from .v3 import vary

BATCH = 32
FEWEST_EPOCHS, MOST_EPOCHS = 8, 200  # however many or few pictures there are


def own_recipe(network: str, task: Task, pictures: Sequence[Picture]) -> Recipe:
    """How to train a network by name on these pictures. Raises NetworkError."""
    # Others' networks see pictures as large as they are held; ours have a size of their own.
    size = TRAIN_SIZE if ":" in network else build_network(network, len(task)).transform.size
    start = start_at_hand(network)
    return Recipe(
        name="own",
        network=network,
        size=size if ":" in network else None,
        augment=_vary_to(size),
        epochs=_epochs(pictures, 400 if start else 2000),  # random weights take longer
        batch_size=BATCH,
        learning_rate=5e-4 if start else 1e-3,  # published weights are not to be forgotten
        weight_decay=0.02,  # AdamW's usual range
        class_weights=_balanced(task, pictures),
        plateau=None,
        seed=1,
        optimizer="adamw",
        warm_up=0.1,  # published weights are not to be shaken at once
        label_smoothing=0.05,  # some labels are wrong
        start=start,
        autocast=False,  # slower for the depthwise convs of many networks
        calibrate=True,
        task=task,
    )


def _epochs(pictures: Sequence[Picture], steps: int) -> int:
    """As many epochs as give these steps: a small folder is gone through more often."""
    each = max(1, sum(p.split == "train" for p in pictures) // BATCH)
    return min(MOST_EPOCHS, max(FEWEST_EPOCHS, round(steps / each)))


def _vary_to(size: int) -> str:
    """The name of v3's variation for pictures of a size.

    Nothing is laid over a picture: whether that changes the answer is known of masks alone.
    """
    name = f"vary_{size}"

    AUGMENTS[name] = partial(vary, without=("cover",), size=size)  # type: ignore[call-arg]
    return name


def _balanced(task: Task, pictures: Sequence[Picture]) -> tuple[float, ...]:
    """Weights by which every class counts as much as any other; 1 each where all are as many."""
    counts = Counter(p.label for p in pictures if p.split == "train")
    total = sum(counts.values()) / len(task)
    return tuple(round(total / max(1, counts[label]), 4) for label in range(len(task)))
