"""Train one version from its recipe, as `maskexplain train`:  python train.py v2 --data DIR"""

import sys

from maskexplain.cli import run
from maskexplain.cli.train import STOPPED, main, parse

if __name__ == "__main__":
    sys.exit(run("train.py", lambda: main(parse()), STOPPED))
