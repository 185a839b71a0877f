"""Train one version from its recipe, as `maskexplain train`:  python train.py v2 --data DIR"""

import sys

from maskexplain.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("train", "train.py"))
