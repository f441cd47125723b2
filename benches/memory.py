#!/usr/bin/env python3
"""What does an entity cost in memory, and does it cost more when it is seen again?

Usage: benches/memory.py [STAKEOUT] [--entities N] [--rich SHARE]

Sources of connections, each with a count, a magnitude and a category baseline; the detectors are made here. A pass is
eight hours of Zeek JSON lines in which every source makes two connections, four hours apart, to one or two ports; a share
of the sources (`--rich`) makes four in each hour, to 32 ports in all. The second pass is the same a day later.
Nothing is strange enough to be told: what triage keeps of open incidents, some 2 kB each, is bounded and no entity's.
Memory is what the process holds (VmRSS) after it has read a pass and waits for more, less the same with few sources.
The trivial baseline beside it: the entity's address and hash and three numbers in a table of entries without pointers.
"""
import argparse, os, subprocess, tempfile, time

FEW = 1000
DAY = 86_400
HOUR = 3600
DETECTOR = """title: {name}
id: source_{name}
description: Made to measure memory.
entity: source.ip
detection:
  selection:
    event.category: network
  condition: selection
measure: {measure}
at_least: {at_least}
windows: [1h]
baseline:
  kind: {kind}
  half_life: 14d
  prior: {prior}
sentence: 'showed {{{shown}}} in {{window}}'
level: low
tags: [attack.discovery]
falsepositives:
  - None is told
"""

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("binary", nargs="?", default="target/release/stakeout")
options.add_argument("--entities", type=int, default=1_000_000)
options.add_argument("--rich", type=float, default=0.0, help="the share of sources with 32 values, 0 to 1")
asked = options.parse_args()


def write_detectors(folder):
    kinds = [
        ("connections", "count", "10", "count", "{ mean: 1, dispersion: 2, weight: 20 }", "seen"),
        (
            "bytes",
            "{ sum: source.bytes }",
            "20MB",
            "magnitude",
            "{ active: 0.5, typical: 2000, spread: 1, weight: 20 }",
            "seen",
        ),
        ("port", "{ category: destination.port }", "2", "category", "{ discount: 0.2, strength: 3 }", "value"),
    ]
    for name, measure, at_least, kind, prior, shown in kinds:
        text = DETECTOR.format(name=name, measure=measure, at_least=at_least, kind=kind, prior=prior, shown=shown)
        with open(os.path.join(folder, f"source_{name}.yml"), "w") as file:
            file.write(text)


def line(seconds, source, port):
    address = f"10.{source >> 16 & 255}.{source >> 8 & 255}.{source & 255}"
    return (
        f'{{"ts":{seconds:.6f},"uid":"C{source}","id.orig_h":"{address}","id.orig_p":40000,'
        f'"id.resp_h":"198.51.100.9","id.resp_p":{port},"proto":"tcp","conn_state":"SF","duration":0.1,'
        f'"orig_bytes":{500 + source % 97 * 30},"resp_bytes":100,"orig_pkts":5,"resp_pkts":5}}\n'
    )


def is_rich(source):
    return source * 2_654_435_761 % 2**32 < asked.rich * 2**32


def lines_of_pass(begin, entities):
    """Every source, hour by hour, then two late lines that close what was open."""
    for hour in range(8):
        for source in range(entities):
            seconds = begin + hour * HOUR + source * HOUR / entities
            if is_rich(source):
                yield from (line(seconds, source, 1 + 4 * hour + port) for port in range(4))
            elif hour % 4 == 0:
                yield line(seconds, source, 443 if (source + hour // 4) % 3 else 53)
    yield line(begin + 11 * HOUR, 0, 443)
    yield line(begin + 14 * HOUR, 0, 443)


def status(process, key):
    with open(f"/proc/{process.pid}/status") as file:
        return next(int(row.split()[1]) * 1024 for row in file if row.startswith(key))


def cpu(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def wait_until_idle(process):
    """The input has been read when no CPU time was used for two seconds."""
    last, since = cpu(process), time.monotonic()
    while time.monotonic() - since < 2:
        time.sleep(0.2)
        now = cpu(process)
        if now != last:
            last, since = now, time.monotonic()


def resident(entities, folder):
    """Bytes held after each of two passes, and the most at any time."""
    command = [asked.binary, "replay", "-", "--detectors", folder, "--threads", "1", "--format", "ecs", "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    held = []
    for number in range(2):
        batch = []
        for text in lines_of_pass(1_767_225_600 + number * DAY, entities):
            batch.append(text)
            if len(batch) == 10_000:
                process.stdin.write("".join(batch).encode())
                batch.clear()
        process.stdin.write("".join(batch).encode())
        process.stdin.flush()
        wait_until_idle(process)
        held.append(status(process, "VmRSS"))
    most = status(process, "VmHWM")
    process.stdin.close()
    if process.wait() not in (0, 2):
        raise SystemExit(f"memory: stakeout ended with {process.returncode}")
    return held, most


def trivial(entities):
    """Address, hash and three numbers an entity, packed, in a table that is at most seven eighths full."""
    buckets = 8
    while buckets * 7 / 8 < entities:
        buckets *= 2
    return buckets * (4 + 8 + 3 * 8 + 1) / entities


with tempfile.TemporaryDirectory() as folder:
    write_detectors(folder)
    few, _ = resident(FEW, folder)
    many, most = resident(asked.entities, folder)

print("| entities | of them with 32 values | after one pass | after a second | at most | address, hash, 3 numbers |")
print("| --- | --- | --- | --- | --- | --- |")
each = [(held - base) / (asked.entities - FEW) for held, base in zip(many, few)]
peak = (most - few[0]) / (asked.entities - FEW)
print(
    f"| {asked.entities:,} | {asked.rich:.0%} | {each[0]:.0f} bytes each | {each[1]:.0f} | {peak:.0f} "
    f"| {trivial(asked.entities):.0f} |"
)
