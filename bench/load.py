"""Runs the load generator, valkey-benchmark or redis-benchmark, and reads its report.

A generator in C is used because a server must be loaded by something cheaper than itself. This
module knows the generator's options and report, and no workloads.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import PEERS, BenchError, program_version


@dataclass
class LoadReport:
    requests: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    # (upper bound in ms, requests that took at most that), ascending.
    cumulative: list


class LoadGenerator:
    def __init__(self, cpus):
        """`cpus` are the cores that it may use: a number, or several."""
        self.cpus = {cpus} if isinstance(cpus, int) else set(cpus)
        self.path = self._find()

    @staticmethod
    def _find():
        """Valkey's is preferred: it costs the least per request."""
        for name in ("valkey-benchmark", "redis-benchmark"):
            if os.access(PEERS / name, os.X_OK):
                return PEERS / name
        found = shutil.which("redis-benchmark")
        if not found:
            raise BenchError("no load generator: run bench/peers, or install redis-tools")
        return Path(found)

    def description(self):
        return f"{self.path.name} {program_version(self.path)}"

    def command(self, port, command, clients, pipeline, keys=1, requests=None, options=()):
        """The words that start it. Every `__rand_int__` in `command` becomes 12 random digits
        below `keys`."""
        count = [] if requests is None else ["-n", str(requests)]
        cpu_list = ",".join(str(cpu) for cpu in sorted(self.cpus))
        return ["taskset", "-c", cpu_list, str(self.path), "-h", "127.0.0.1", "-p", str(port),
                "-c", str(clients), "-P", str(pipeline), "-r", str(keys), "--precision", "3",
                *count, *options, *command]

    def run(self, command, limit_s):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise BenchError(f"the load did not finish within {limit_s:.0f} s") from None
        if done.returncode != 0:
            raise BenchError(f"the load failed: {(done.stderr or done.stdout)[-1000:]}")
        return parse_report(done.stdout)


def parse_report(printed):
    requests = re.search(r"(\d+) requests completed in", printed)
    throughput = re.search(r"throughput summary: ([\d.]+|inf)", printed)
    columns = re.search(r"latency summary \(msec\):\s*\n([^\n]*)\n([^\n]*)", printed)
    percentiles, _, rest = printed.partition("Cumulative distribution of latencies")
    line = r"([\d.]+)% <= ([\d.]+) milliseconds \(cumulative count (\d+)\)"
    steps = re.findall(line, percentiles)
    spread = re.findall(line, rest)
    if not (requests and throughput and columns and steps and spread):
        raise BenchError(f"the load generator's report is not understood:\n{printed[-1000:]}")
    latency = dict(zip(columns.group(1).split(), map(float, columns.group(2).split())))
    return LoadReport(
        requests=int(requests.group(1)),
        requests_per_s=float(throughput.group(1)),
        p50_ms=latency["p50"],
        p99_ms=latency["p99"],
        # The report steps through 99.805 % and 99.902 %.
        p999_ms=next(float(ms) for percent, ms, _ in steps if float(percent) >= 99.9),
        max_ms=latency["max"],
        cumulative=[(float(ms), int(count)) for _, ms, count in spread],
    )
