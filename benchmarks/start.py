"""How long the server takes from its start to its first answer, beside its largest imports alone.

python -m benchmarks.start [--rounds 5] [--models v1 v2 v3]

Each round starts the one and the other once; whatever else the machine does meets both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from maskexplain.errors import UserError
from tools.served import free_port, started

GOAL = 5.0  # seconds, on a machine that does nothing else
IMPORTS = "import torch, gradio"


def to_first_answer(models: Sequence[str]) -> float:
    """Seconds until /healthz answers."""
    port = free_port()
    begin = time.perf_counter()
    command = ("app.py", "--models", *models, "--port", str(port))
    with started(command, f"http://127.0.0.1:{port}/healthz"):
        return time.perf_counter() - begin


def to_import() -> float:
    """Seconds that a Python takes which imports PyTorch and Gradio, and ends."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=["v1", "v2", "v3"])
    args = parser.parse_args()
    load = os.getloadavg()[0]
    taken = [(to_first_answer(args.models), to_import()) for _ in range(args.rounds)]
    print(f"{len(taken)} starts; the machine's load before: {load:.1f}\n")
    print("| seconds | median | least to most | goal |\n| --- | --- | --- | --- |")
    rows = (f"{len(args.models)} versions, to the first answer", f"`{IMPORTS}` alone")
    for title, one, goal in zip(rows, zip(*taken, strict=True), (f"{GOAL:.0f}", ""), strict=True):
        span = f"{min(one):.1f} to {max(one):.1f}"
        print(f"| {title} | {statistics.median(one):.1f} | {span} | {goal} |")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"benchmarks.start: {error}")
