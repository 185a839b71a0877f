"""The page and its HTTP API on one port, as `maskexplain serve`.

python app.py [--models v1 v2] [--data DIR] [--share] [--auth USER:PASSWORD] [--host] [--port]
              [--threads N] [--device NAME] [--root-path /PATH] [--cors ORIGIN ...] [--mcp]
"""

import sys

from maskexplain.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command("serve", "app.py"))
