"""The server processes that the benchmarks measure, and the little RESP they need to fill them.

A `Server` is a private process on a loopback port, in a directory of its own, pinned to the
cores it is given; it is ended by its process id and its directory is removed. While another server is under
load a server can be `paused`, so that not even its timers run on the measured core.

This module must not know workloads or results: `measure` and the programs do.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PEERS = REPOSITORY / "target" / "peers" / "bin"
SHOAL = REPOSITORY / "target" / "release" / "shoal"
SERVER_NAMES = ("shoal", "valkey", "redis", "redis7")

START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20
REPLY_TIMEOUT_S = 60

# One message of this many commands is small enough for every server's read buffer to take in a
# few reads, and large enough that Python's own cost per message does not matter.
LOAD_BATCH = 1000


class BenchError(Exception):
    """What keeps a measurement from being taken, worded for whoever started it."""


def server_program(name, shoal):
    """The path of the program behind a server name, or an error that says how to get it."""
    if name == "shoal":
        path, remedy = Path(shoal), "cargo build --release"
    elif name in ("valkey", "redis"):
        path, remedy = PEERS / f"{name}-server", "bench/peers"
    elif name == "redis7":
        path = Path(shutil.which("redis-server") or "/usr/bin/redis-server")
        remedy = "apt-get install redis-server"
    else:
        raise BenchError(f"unknown server '{name}': one of {', '.join(SERVER_NAMES)}")
    if not os.access(path, os.X_OK):
        raise BenchError(f"{name}: there is no program {path}; get it with: {remedy}")
    return path


def program_version(path):
    """The first dotted number that `--version` prints."""
    printed = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    match = re.search(r"\d+\.\d+(\.\d+)?", printed)
    return match.group() if match else "unknown"


def unwind_on_signals():
    """SIGTERM and SIGHUP leave through the `finally` blocks, which end the servers."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    def __init__(self, name, program, cpus, launcher=(), threads=1):
        """`cpus` are the cores that it may use: a number, or several. `launcher` holds words, such
        as `nice`, through which the program is started. `threads` is how many shards it has, or
        I/O threads."""
        self.name = name
        self.port = free_port()
        self.cpus = {cpus} if isinstance(cpus, int) else set(cpus)
        self.directory = Path(tempfile.mkdtemp(prefix=f"shoal-bench-{name}-"))
        self.log = open(self.directory / "log", "wb")
        cpu_list = ",".join(str(cpu) for cpu in sorted(self.cpus))
        arguments = [
            # The kernel ends the server with this process, should it be killed.
            "setpriv", "--pdeathsig", "KILL", *launcher, "taskset", "-c", cpu_list, str(program),
            "--port", str(self.port), "--bind", "127.0.0.1",
            "--save", "", "--appendonly", "no", "--dir", str(self.directory),
        ]
        if name == "shoal":
            arguments += ["--shards", str(threads)]
        else:
            arguments += ["--io-threads", str(threads)]
        try:
            # All these words and the wrappers of bench/peers exec: the child's id is the server's.
            self.process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        except OSError as error:
            self._remove_directory()
            raise BenchError(f"{name}: {error}") from error
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def pid(self):
        return self.process.pid

    def _wait_until_ready(self):
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.name} ended at its start:\n{self.log_tail()}")
            try:
                with self.connect() as connection:
                    if connection.call("PING") == "PONG":
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise BenchError(
            f"{self.name} did not answer within {START_TIMEOUT_S} s:\n{self.log_tail()}")

    def log_tail(self):
        return (self.directory / "log").read_bytes()[-2000:].decode(errors="replace")

    def connect(self):
        return Connection(self.port)

    def pause(self):
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid, signal.SIGCONT)

    def check_alive(self):
        if self.process.poll() is not None:
            raise BenchError(f"{self.name} ended under load:\n{self.log_tail()}")

    def cpu_ns(self):
        """CPU time of all threads so far, in nanoseconds, io_uring's kernel workers included."""
        total = 0
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except FileNotFoundError:
                pass  # The thread ended between the listing and the read.
        return total

    def mesh_counters(self):
        """Messages and wake-ups between the shards so far, as INFO tells; 0 where it does not."""
        with self.connect() as connection:
            told = connection.call("INFO", "shoal")
        counts = (re.search(rf"^{name}:(\d+)", told, re.MULTILINE)
                  for name in ("messages_sent", "wakes_sent"))
        return [int(count.group(1)) if count else 0 for count in counts]

    def stray_cpus(self):
        """Cores other than the server's own that some thread of it may run on."""
        stray = set()
        for task in os.listdir(f"/proc/{self.pid}/task"):
            try:
                stray |= os.sched_getaffinity(int(task)) - self.cpus
            except ProcessLookupError:
                pass
        return stray

    def resident_bytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024

    def settled_resident_bytes(self, still_s=1.0, limit_s=30.0):
        """Resident bytes once they have not moved for `still_s`: tables are still being resized
        and emptied pages handed back for a while after the last command."""
        deadline = time.monotonic() + limit_s
        seen, since = self.resident_bytes(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < still_s:
            time.sleep(0.05)
            now = self.resident_bytes()
            if now != seen:
                seen, since = now, time.monotonic()
        return seen

    def stop(self):
        if self.process.poll() is None:
            self.resume()  # A stopped process does not see SIGTERM.
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._remove_directory()

    def _remove_directory(self):
        self.log.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def encode(*arguments):
    """A command as a RESP array."""
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        data = argument if isinstance(argument, bytes) else str(argument).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Connection:
    """A blocking RESP2 connection for what goes around a measurement, never inside one."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=REPLY_TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()

    def call(self, *arguments):
        """The reply to one command; an error reply is raised."""
        self.socket.sendall(encode(*arguments))
        return self._reply(arguments[0])

    def _reply(self, command):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2].decode(errors="replace")
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            raise BenchError(f"{command}: {rest}")
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            return self.reader.read(length + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self._reply(command) for _ in range(int(rest))]
        raise BenchError(f"{command}: reply of unknown kind {line[:20]!r}")

    def load(self, count, command_of):
        """Sends `command_of(0..count)`, encoded writes that answer +OK, one batch ahead of the
        replies."""
        outstanding = 0
        for start in range(0, count, LOAD_BATCH):
            batch = [command_of(index) for index in range(start, min(start + LOAD_BATCH, count))]
            self.socket.sendall(b"".join(batch))
            if outstanding:
                self._expect_ok(outstanding)
            outstanding = len(batch)
        if outstanding:
            self._expect_ok(outstanding)

    def load_elements(self, commands):
        """Sends encoded writes of any reply, one batch ahead of the replies."""
        outstanding = 0
        batch = []
        for command in commands:
            batch.append(command)
            if len(batch) == 100:
                outstanding = self._next_batch(batch, outstanding)
                batch = []
        outstanding = self._next_batch(batch, outstanding)
        self._next_batch([], outstanding)

    def _next_batch(self, batch, outstanding):
        self.socket.sendall(b"".join(batch))
        for _ in range(outstanding):
            self._reply("a write of the load")
        return len(batch)

    def _expect_ok(self, count):
        replies = self.reader.read(5 * count)
        if replies != b"+OK\r\n" * count:
            wrong = next((line for line in replies.split(b"\r\n") if line != b"+OK"), replies[:80])
            raise BenchError(f"a write of the load was answered {wrong[:80]!r}")
