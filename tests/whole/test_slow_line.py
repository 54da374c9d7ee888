"""The relay that stands for a slow line: everything passes, in order, counted, and no faster than the line."""

import socket
import threading
import time

from benchmarks.slow_line import Line

CONTENT = bytes(range(256)) * 160  # 41 kB


def test_everything_passes_in_order_and_no_faster_than_the_line():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            for _ in range(2):
                made, _ = server.accept()
                with made:
                    assert made.recv(5) == b"hello"
                    made.sendall(CONTENT)

        threading.Thread(target=answer, daemon=True).start()
        line = Line(server.getsockname()[1], mbit=4.0, latency=20.0)
        port = int(line.address.rpartition(":")[2])
        for number in (1, 2):
            started = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
                client.sendall(b"hello")
                got = b"".join(iter(lambda: client.recv(65536), b""))
            assert got == CONTENT
            assert line.came == number * len(CONTENT)
            assert time.monotonic() - started > len(CONTENT) / 5e5 + 0.02
