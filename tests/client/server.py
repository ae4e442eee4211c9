"""Starts the server under test on a free port and ends it."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_PATIENCE_S = 60


def program():
    """The server being judged: Shoal, or what SHOAL_TEST_SERVER names."""
    named = os.environ.get("SHOAL_TEST_SERVER")
    if named:
        found = shutil.which(named)
        assert found, f"SHOAL_TEST_SERVER: no program {named}"
        return found
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = target / "debug" / "shoal"
    assert path.is_file(), f"{path} does not exist: run cargo build"
    return str(path)


class Server:
    def __init__(self, *arguments, shards=1):
        self.directory = tempfile.TemporaryDirectory(prefix="shoal-client-")
        self.socket = os.path.join(self.directory.name, "socket")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(os.path.join(self.directory.name, "log"), "w+")
        judged = program()
        command = [
            judged, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", self.directory.name, "--unixsocket", self.socket,
            "--enable-debug-command", "yes", *arguments,
        ]
        if os.path.basename(judged) == "shoal":
            command += ["--shards", str(shards)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT
        )
        self._wait()

    def _wait(self):
        deadline = time.monotonic() + START_PATIENCE_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, "the server ended:\n" + self.said()
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(64):
                        return
            except OSError:
                time.sleep(0.01)
        raise AssertionError("no answer to PING:\n" + self.said())

    def said(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.directory.cleanup()
