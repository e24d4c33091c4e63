"""Start a Python process that inherits one socket, and nothing else of the process that starts it.

A fork would inherit the broker's memory, and with it credentials and the queries of others. So the processes that
see SQL, or make those that do, are started afresh: isolated from the environment's Python settings (`-I`), with the
environment given here and no other.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Mapping


def start(
    entry: str, channel: socket.socket, folder: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Run `entry` ("package.module:function") with the descriptor of `channel` and `folder`. Raises OSError."""
    module, _, function = entry.partition(":")
    program = f"import sys, {module} as entry; entry.{function}(int(sys.argv[1]), sys.argv[2])"
    return subprocess.Popen(
        [sys.executable, "-I", "-c", program, str(channel.fileno()), folder],
        env=environment,
        pass_fds=(channel.fileno(),),
        stdin=subprocess.DEVNULL,
    )
