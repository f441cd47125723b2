#!/usr/bin/env python3
"""What several instances over Kafka need: `benches/scaling.py [--tables | --check docs/scaling.md | --program PATH]`.

--tables    prints the tables of `docs/scaling.md`, from the figures at the top of this file
--check     exits 0 only when that page holds them as they are printed
--program   simulates one to three `detect` instances on this machine, runs them, and prints both: the rate, and the
            processor time of the instances and of the broker

The simulation goes in steps of a hundredth of a second. Instances and broker want processor time, and share what there
is; an instance judges what its partitions hold, and stands still while a transaction commits or a state is written.
"""

import argparse
import math
import os
import pathlib
import tempfile
import time

# What was measured (`benches/README.md`), on one core of the machine named there.
MEMORY_BYTES_ENTITY = 1_220  # `benches/kafka.py --part restore`: all that `detect` holds, by entity
STATE_BYTES_ENTITY = 413  # the same: bytes on the topic of state
RECORDS_AN_EVENT = 0.97  # `benches/kafka.py --part throughput`: to how many partitions an event goes
RECORD_BYTES_PACKED = 37  # this script, as brokers keep it (zstd); the log repeats itself, as logs do
DETECT_NS_RECORD = 2_843  # this script: 352,000 records a CPU second
COLLECT_NS_EVENT = 5_400  # the throughput part
STATE_NS_BYTE = 10  # the restore part: 496 MB in 5.1 s, while judging waits
MARK_BYTES_PACKED = 40
TRANSACTION_SECONDS = 0.03  # `stakeout_kafka_transaction_seconds` of `detect` in the latency part

# What is chosen.
BUSY = 0.6  # share of a core that is planned for: what gathered in an outage is caught up with the rest
COPIES = 3
COMMIT_SECONDS = 0.5
STATE_BYTES_PARTITION_MAX = 64 << 20  # what a partition's state, and its transaction, should not be larger than
STATE_BYTES_SECOND = 50e6  # what the topic of state may take all together
EVENTS_HOURS = 24  # how long events are kept
STEP = 0.01


def plan(entities, events_second):
    """Instances, partitions, network and disk for so many entities and events a second."""
    records = events_second * RECORDS_AN_EVENT
    state = entities * STATE_BYTES_ENTITY
    collect = math.ceil(events_second * COLLECT_NS_EVENT / 1e9 / BUSY)
    interval = min(600, max(30, state / STATE_BYTES_SECOND))
    # Writing states takes its part of the time.
    judging = records * DETECT_NS_RECORD / 1e9 + state / interval * STATE_NS_BYTE / 1e9
    detect = math.ceil(judging / BUSY)
    wanted = max(24, 2 * detect, state / STATE_BYTES_PARTITION_MAX)
    partitions = min(1024, 2 ** math.ceil(math.log2(wanted)) if wanted > 24 else 24)
    marks = collect * partitions / COMMIT_SECONDS
    into = records * RECORD_BYTES_PACKED + marks * MARK_BYTES_PACKED + state / interval
    out = records * RECORD_BYTES_PACKED + marks * MARK_BYTES_PACKED
    disk = COPIES * (records * RECORD_BYTES_PACKED * 3600 * EVENTS_HOURS + 2 * state)
    return {
        "collect": collect,
        "detect": detect,
        "partitions": partitions,
        "memory": entities * MEMORY_BYTES_ENTITY / detect,
        "state": state / partitions,
        "pause": state / partitions * STATE_NS_BYTE / 1e9,
        "interval": interval,
        "marks": marks,
        "into": into * COPIES,
        "out": out,
        "disk": disk,
    }


def size(number):
    for unit in ["B", "kB", "MB", "GB", "TB"]:
        if number < 1000 or unit == "TB":
            return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"
        number /= 1000


def tables():
    lines = [
        "| entities | events a second | `collect` | `detect` | partitions | memory each | state a partition | written every | "
        "standstill | marks a second | brokers take | and give | disk |",
        "| --- " * 13 + "|",
    ]
    for entities in [10_000, 1_000_000, 100_000_000]:
        for events in [10_000, 100_000, 1_000_000, 10_000_000]:
            found = plan(entities, events)
            lines.append(
                f"| {entities:,} | {events:,} | {found['collect']} | {found['detect']} | {found['partitions']} | "
                f"{size(found['memory'])} | {size(found['state'])} | {found['interval']:.0f} s | "
                f"{found['pause'] * 1000:.0f} ms | {found['marks']:,.0f} | {size(found['into'])}/s | "
                f"{size(found['out'])}/s | {size(found['disk'])} |"
            )
    return "\n".join(lines)


def simulate(instances, records, cores, detect_ns, broker_ns, transaction=TRANSACTION_SECONDS):
    """How long so many instances take for records that are there, and how much processor time that costs."""
    left = [records / instances] * instances
    standing, committed = [0.0] * instances, [0.0] * instances
    broker_owed, now, detect_cpu, broker_cpu = 0.0, 0.0, 0.0, 0.0
    while any(count > 0 for count in left):
        wants = [STEP if count > 0 and standing[place] <= now else 0.0 for place, count in enumerate(left)]
        broker_wants = min(broker_owed, 2 * STEP)
        share = min(1.0, cores * STEP / max(sum(wants) + broker_wants, 1e-12))
        for place, want in enumerate(wants):
            judged = min(left[place], want * share / (detect_ns / 1e9))
            left[place] -= judged
            detect_cpu += judged * detect_ns / 1e9
            broker_owed += judged * broker_ns / 1e9
            if now - committed[place] >= COMMIT_SECONDS:
                committed[place] = standing[place] = now + transaction
        broker_owed -= broker_wants * share
        broker_cpu += broker_wants * share
        now += STEP
    return now, detect_cpu, broker_cpu


def cpu_of(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def broker_cpu(cluster):
    """Of the broker and of what its script has started."""
    own = cluster.broker.pid
    children = pathlib.Path(f"/proc/{own}/task/{own}/children").read_text().split()
    return sum(cpu_of(pid) for pid in [own, *map(int, children)])


def measure(program, folder, instances, events):
    from kafka import Cluster, Role, write_log

    with Cluster(program, folder, 24) as cluster:
        last = write_log(cluster.log, events, 20_000)
        with Role(program, "collect", folder, "collector") as collect:
            cluster.published(last - 1)
            collect.terminate()
        records, size_all = cluster.records("events")
        kept = sum(path.stat().st_size for path in (folder / "broker").rglob("stakeout.events-*/*.log"))
        packed = kept / records
        roles = [Role(program, "detect", folder, f"detector-{number}") for number in range(instances)]
        try:
            given = lambda: sum(role.metrics().get("stakeout_kafka_partition_up", 0) for role in roles)
            while given() < cluster.partitions + 1:
                time.sleep(0.02)
            began, broker = time.time(), broker_cpu(cluster)
            used = sum(role.cpu_seconds() for role in roles)
            while not all(role.has_judged() for role in roles):
                time.sleep(0.05)
            took = time.time() - began
            return {
                "records": records,
                "bytes": size_all / records,
                "packed": packed,
                "seconds": took,
                "detect": sum(role.cpu_seconds() for role in roles) - used,
                "broker": broker_cpu(cluster) - broker,
            }
        finally:
            for role in roles:
                role.terminate()


def compare(program, events, most):
    """The costs of a record are taken from one instance; what two and three need is predicted from them."""
    cores, costs = os.cpu_count(), None
    for instances in range(1, most + 1):
        with tempfile.TemporaryDirectory(prefix="stakeout-scaling-") as folder:
            found = measure(program, pathlib.Path(folder), instances, events)
        records = found["records"]
        # Others work on this machine too: the cores that there were are those that were used, if all were wanted.
        used = (found["detect"] + found["broker"]) / found["seconds"]
        if costs is None:
            costs = found["detect"] / records * 1e9, found["broker"] / records * 1e9
            print(f"a record has {found['bytes']:.0f} bytes, {found['packed']:.0f} on disk, and costs "
                  f"{costs[0]:,.0f} ns of detect and {costs[1]:,.0f} ns of the broker")
        seconds, detect, broker = simulate(instances, records, min(cores, max(used, 0.1)), *costs)
        print(f"{instances} instances: measured {records / found['seconds']:,.0f} records a second, {found['detect']:.1f} CPU s, "
              f"broker {found['broker']:.1f}; simulated {records / seconds:,.0f} ({found['seconds'] / seconds:.2f} of it), "
              f"{detect:.1f}, {broker:.1f}; {used:.2f} cores were to be had; load {os.getloadavg()[0]:.1f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", action="store_true")
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--program", type=pathlib.Path)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--instances", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.tables:
        print(tables())
    if arguments.check and tables() not in arguments.check.read_text():
        raise SystemExit(f"{arguments.check} does not hold the tables that --tables prints")
    if arguments.program:
        compare(arguments.program, arguments.events, arguments.instances)


if __name__ == "__main__":
    main()
