"""Fills a server, loads it with a workload, and takes the figures of that.

What `compare` and `scaling` have in common: data sets, workloads, CPU per request, and ratios. This
module does not know which servers are compared, nor what the figures ought to be.
"""

import hashlib
import os
import platform
import re
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from servers import BenchError, encode, program_version

KEY = "key:__rand_int__"  # The load generator puts 12 digits in: 16 bytes.
VALUE_16 = "v" * 16
VALUE_4K = "v" * 4096
MILLION = 1_000_000
PROBE_S = 0.25


@dataclass(frozen=True)
class DataSet:
    """What every server holds while the workloads that name it run."""
    keys: int
    value: str = ""
    expires: bool = False

    def command(self, index):
        value = self.value.encode() or b"%d" % (MILLION * 1000 + index)
        expiry = (b"EX", b"1000000") if self.expires else ()
        return encode(b"SET", b"key:%012d" % index, value, *expiry)


@dataclass(frozen=True)
class Elements:
    """`keys` elements in collections of `each`, all in one where that is 0, each written by the words
    of `command`, in which `{}` is the element's number and `[]` the collection's. The words from
    `once` on are repeated for many elements of one command; where `once` is 0 a command has one."""
    keys: int
    command: tuple
    each: int = 0
    once: int = 2

    def collections(self, keys):
        return 1 if not self.each else -(-keys // self.each)

    def commands(self, keys):
        each = self.each or keys
        for start in range(0, keys, each):
            yield from self._one(start // each, start, min(start + each, keys))

    def _one(self, collection, start, end):
        step = 100 if self.once else 1
        for at in range(start, end, step):
            words = [word.replace("[]", str(collection)) for word in self.command[:self.once]]
            for index in range(at, min(at + step, end)):
                # Not in order: a tree that is filled from one end is not what it is later.
                number = (index * 7919) % 1_000_003 if not self.each else (
                    index % self.each * (collection + 1))
                words += [word.replace("{}", f"{number:012d}").replace("[]", str(collection))
                          for word in self.command[self.once:]]
            yield encode(*words)


# A script of one call, and one of a thousand.
GET_SCRIPT = "return redis.call('get',KEYS[1])"
LONG_SCRIPT = "for i=1,1000 do redis.call('get',KEYS[1]) end return 1"


def sha1(script):
    return hashlib.sha1(script.encode()).hexdigest()


FIELD = "fld:__rand_int__"
MEMBER = "mbr:__rand_int__"

DATA_SETS = {
    "empty": DataSet(0),
    "strings": DataSet(MILLION, VALUE_16),
    "integers": DataSet(MILLION),
    # A tenth of the keys, so that several servers fit in memory: 400 MB is far beyond any cache.
    "strings-4k": DataSet(MILLION // 10, VALUE_4K),
    "list": Elements(3 * MILLION, ("RPUSH", "list", "val:{}")),
    "hash": Elements(MILLION, ("HSET", "hash", "fld:{}", VALUE_16)),
    "set": Elements(MILLION, ("SADD", "set", "mbr:{}")),
    "zset": Elements(MILLION, ("ZADD", "zset", "{}", "mbr:{}")),
    "stream": Elements(MILLION, ("XADD", "stream", "*", "field", "val:{}"), once=0),
    # Two sets of 10,000 members, every other of which is in both.
    "two-sets": Elements(20_000, ("SADD", "set[]", "mbr:{}"), each=10_000),
}


@dataclass(frozen=True)
class Workload:
    name: str
    data_set: str
    command: tuple
    clients: int = 50
    pipeline: int = 1
    # What is loaded before, for EVALSHA.
    script: str = ""


@dataclass
class Sample:
    """One workload on one server in one round."""
    cpu_us: float
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    busy: float
    # Between the server's shards, per request; 0 where there are none.
    messages: float
    wakes: float


def split(text):
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def progress(text):
    print(text, file=sys.stderr, flush=True)


def describe_environment(programs, generator):
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_generator": generator.description(),
        "servers": {name: program_version(path) for name, path in programs.items()},
    }


def fill(server, data_set, keys=None):
    keys = data_set.keys if keys is None else keys
    with server.connect() as connection:
        if isinstance(data_set, Elements):
            connection.load_elements(data_set.commands(keys))
            keys = data_set.collections(keys)
        else:
            connection.load(keys, data_set.command)
        held = connection.call("DBSIZE")
        if held != keys:
            raise BenchError(f"{server.name} holds {held} keys after a load of {keys}")
    stray = server.stray_cpus()
    if stray:
        progress(f"warning: {server.name} may also run on cores {sorted(stray)}")


def measure(server, workload, request_counts, options):
    server.resume()
    check_answer(server, workload)
    place = (server.name, workload.name)
    if place not in request_counts:
        wanted = options.requests or requests_for(server, workload, options)
        # Full pipelines of all clients, so that exactly that many are sent.
        unit = workload.pipeline * workload.clients
        request_counts[place] = max(8, wanted // unit) * unit
    run_load(server, workload, request_counts[place] // 8, options)

    # Accepting and closing the connections is no part of a request. A run of one pipeline per
    # client costs little else, and is subtracted.
    few = workload.pipeline * workload.clients
    few_cpu_us, _ = charged_load(server, workload, few, options)
    requests = request_counts[place]
    sent_before = server.mesh_counters()
    all_cpu_us, report = charged_load(server, workload, requests, options)
    sent = [after - before for before, after in zip(sent_before, server.mesh_counters())]
    cpu_us = (all_cpu_us - few_cpu_us) / (requests - few)
    server.check_alive()
    server.pause()
    return Sample(cpu_us=cpu_us, busy=cpu_us / 1e6 * report.requests_per_s,
                  requests_per_s=report.requests_per_s, p50_ms=report.p50_ms,
                  p99_ms=report.p99_ms, p999_ms=report.p999_ms,
                  messages=sent[0] / requests, wakes=sent[1] / requests)


def charged_load(server, workload, requests, options):
    before = server.cpu_ns()
    report = run_load(server, workload, requests, options)
    return (server.cpu_ns() - before) / 1000, report


def check_answer(server, workload):
    """The load generator counts error replies like any other: one command is looked at."""
    key = f"key:{0:012d}"
    with server.connect() as connection:
        if workload.script:
            connection.call("SCRIPT", "LOAD", workload.script)
        number = f"{0:012d}"
        words = (key if part == KEY else part.replace("__rand_int__", number)
                 for part in workload.command)
        reply = connection.call(*words)
    if reply is None:
        raise BenchError(f"{server.name}: {workload.name} finds no key")


def requests_for(server, workload, options):
    """How many requests fill --seconds: what the server does in a probe, doubled until the probe
    is long enough to judge."""
    requests = workload.clients * workload.pipeline * 20
    while True:
        started = time.monotonic()
        report = run_load(server, workload, requests, options)
        if time.monotonic() - started > PROBE_S:
            return int(report.requests_per_s * options.seconds)
        requests *= 2


def run_load(server, workload, requests, options):
    words = options.generator.command(
        server.port, workload.command, workload.clients, workload.pipeline,
        keys=DATA_SETS[workload.data_set].keys or MILLION, requests=requests)
    try:
        return options.generator.run(words, limit_s=60 + 20 * options.seconds)
    except BenchError as error:
        server.check_alive()
        raise BenchError(f"{server.name}, {workload.name}: {error}") from error


def median_of(samples, figure):
    return statistics.median(sample[figure] for sample in samples)


def ratios(by_server, server, baseline, figure):
    """Per round, so that what the machine did in that round cancels out."""
    pairs = zip(by_server[server], by_server[baseline])
    return [mine[figure] / base[figure] for mine, base in pairs]
