"""Start a command under sandlock. A script of its own: sandlock confines what its process starts.

Called as `python sandlock_launch.py SETTINGS COMMAND...`, with the arguments of
`sandlock.Sandbox` as JSON.
"""

from __future__ import annotations

import json
import sys


def main() -> int:
    """Run it on this process's own streams; its exit code is ours."""
    from sandlock import Sandbox  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

    return Sandbox(**json.loads(sys.argv[1])).run_interactive(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
