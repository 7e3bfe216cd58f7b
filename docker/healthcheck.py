"""A container's HEALTHCHECK: `healthcheck.py [VARIABLE [PATH]]`, by default HTTP_PORT and /ready.

Asks 127.0.0.1 on the port that the variable names. Without a path a connection is enough: a request would run the function.
Standard library only, so that the interpreter starts in a few milliseconds (`python -IS`).
"""

import os
import socket
import sys

SECONDS_MAX = 4.0
STATUS_OK = b"200"


def main() -> int:
    """0 where it answers 200, else 1 with the reason."""
    variable, path = (*sys.argv[1:], "")[:2] if sys.argv[1:] else ("HTTP_PORT", "/ready")
    port = os.environ.get(variable, "")
    if not port.isdecimal():
        return _refuse(f"{variable} must be the port that is asked, was {port!r}")
    try:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=SECONDS_MAX) as connection:
            if not path:
                return 0
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").read(500)
    except OSError as error:
        return _refuse(f"port {port} does not answer: {error}")
    status = answer.split(b" ", 2)[1:2]
    return 0 if status == [STATUS_OK] else _refuse(answer.decode("latin-1"))


def _refuse(reason: str) -> int:
    sys.stderr.write(f"healthcheck: {reason}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
