#!/usr/bin/env python3
"""Stakeout's roles over a real broker on this machine: `benches/kafka.py --program PATH [--part throughput|latency|restore]`.

throughput  one `detect` instance, all default detectors, exactly once, reads a topic of routed events from its beginning;
            beside it two that do nothing with it read the same topic with read_committed: a consumer on rdkafka
            (`cargo build --release --example bare_consumer`), and kcat to /dev/null
latency     20,000 events a second are pushed to a `collect` instance; from the moment before a request is written that
            holds the event which an alert names as its time to the moment at which a read_committed reader has the alert
restore     a million sources of connections, each seen twice, are learned; how long until an instance has taken all of it up again, from the topic of
            state and from its own copy

One broker, started by `deploy/kafka/broker`; it takes its share of the same processors.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import time

import restart
from latency import BATCH, CLIENTS, EVERY, make
from pushing import Senders
from serving import Service

HERE = pathlib.Path(__file__).resolve().parent.parent
PORT = 39092
BEGIN = 1_780_000_000


class Role(Service):
    """An instance of a role: its folder holds its data, the configuration is shared."""

    def __init__(self, program, role, folder, name):
        self.role, self.name, self.data = role, name, folder / name
        self.data.mkdir(exist_ok=True)
        self.began = time.time()
        self.said = self.data / "said"
        environment = {**os.environ, "STAKEOUT_DATA_DIR": str(self.data), "NO_COLOR": "1"}
        command = [program, role, "--config", folder / "stakeout.yaml", "--instance", name]
        with self.said.open("w") as said:
            self.child = subprocess.Popen(command, stderr=said, env=environment)
        self.address = None
        while self.address is None:
            if found := re.search(r"listen=(\S+)", self.said.read_text()):
                self.address = found[1]
            elif self.child.poll() is not None:
                raise SystemExit(f"{role} ended: " + self.said.read_text()[-2000:])
            else:
                time.sleep(0.01)

    def lag(self):
        """Records that were not committed yet; nothing while not every partition is known."""
        metrics = self.metrics()
        lags = [value for key, value in metrics.items() if key.startswith("stakeout_kafka_lag_records{")]
        up = metrics.get("stakeout_kafka_partition_up", 0)
        return sum(lags) if lags and up == len(lags) else None

    def has_judged(self):
        """Whether everything that is there was taken and judged: a partition that waits for what others have summed up
        has taken more than it has judged."""
        return self.lag() == 0 and self.metrics().get("stakeout_kafka_partitions_waiting", 0) == 0


class Cluster:
    """A broker, the configuration on it, and its topics."""

    def __init__(self, program, folder, partitions):
        self.folder, self.partitions = folder, partitions
        self.broker = subprocess.Popen(
            [HERE / "deploy/kafka/broker", "run", "--until-eof", "--port", str(PORT), "--data", folder / "broker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "KAFKA_HEAP": "1g"},
        )
        if not self.broker.stdout.readline().startswith(b"ready"):
            raise SystemExit("the broker did not start")
        self.log = folder / "log.json"
        self.log.touch()
        (folder / "stakeout.yaml").write_text(
            f"http: {{ listen: '127.0.0.1:0' }}\ninputs:\n  files: ['{self.log}']\n"
            f"kafka: {{ brokers: '127.0.0.1:{PORT}', partitions: {partitions} }}\n"
        )
        subprocess.run([program, "topics", "--create", "--config", folder / "stakeout.yaml"], check=True,
                       stdout=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.broker.stdin.close()
        self.broker.wait(60)

    def kcat(self, topic, *arguments):
        return ["kcat", "-b", f"127.0.0.1:{PORT}", "-C", "-q", "-o", "beginning", "-t", f"stakeout.{topic}",
                "-X", "isolation.level=read_committed", *arguments]

    def records(self, topic):
        counted = subprocess.run(f"{' '.join(self.kcat(topic, '-e', '-f', '%S,'))} | tr ',' '\\n'", shell=True,
                                 stdout=subprocess.PIPE, check=True).stdout.split()
        return len(counted), sum(map(int, counted))

    def published(self, last):
        """Waits until a mark from behind this time stands in the last partition."""
        command = ["kcat", "-b", f"127.0.0.1:{PORT}", "-C", "-q", "-e", "-o", "-5", "-p", str(self.partitions - 1),
                   "-t", "stakeout.events", "-X", "isolation.level=read_committed"]
        while True:
            told = subprocess.run(command, stdout=subprocess.PIPE).stdout.decode()
            marks = [json.loads(line)["mark"]["watermark"] for line in told.splitlines() if '"mark"' in line]
            if marks and max(marks) > last * 10**9:
                return
            time.sleep(0.5)


def write_log(path, events, sources, seconds=7200):
    """Connections and logins of so many sources over so many seconds, as ECS lines; gives the second of the last. Each
    hour is an epoch, and no partition is judged further than two beyond what all have summed up: more hours in the same
    time measure that way, and not judging."""
    with path.open("a") as log:
        for number in range(events):
            at = BEGIN + number * seconds / events
            mixed = number * 2654435761 % 2**32
            source = mixed % sources if sources < events else number % sources
            address = f"10.{source >> 16 & 255}.{source >> 8 & 255}.{source & 255}"
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"
            if number % 2:
                rest = f'"event":{{"category":"authentication","outcome":"{"failure" if mixed % 40 == 0 else "success"}"}},"user":{{"name":"user{mixed % 500}"}},"host":{{"name":"host{mixed % 50}"}}'
            else:
                rest = f'"event":{{"category":"network"}},"destination":{{"ip":"203.0.113.{mixed % 40}","port":443}},"network":{{"transport":"tcp","bytes":{mixed % 100_000}}}'
            log.write(f'{{"@timestamp":"{stamp}","source":{{"ip":"{address}"}},{rest}}}\n')
    return BEGIN + (events - 1) * seconds // events


def children_cpu():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def throughput(program, consumer, folder, events):
    with Cluster(program, folder, 24) as cluster:
        last = write_log(cluster.log, events, 20_000)
        with Role(program, "collect", folder, "collector") as collect:
            began = time.time()
            cluster.published(last - 1)
            print(f"collect published in {time.time() - began:.1f} s, {collect.cpu_seconds():.1f} CPU s")
            collect.terminate()
        records, size = cluster.records("events")
        print(f"{events} events are {records} records of {size / records:.0f} bytes")
        bare = []
        for turn in range(3):
            before, began = children_cpu(), time.time()
            with open(os.devnull, "w") as nowhere:
                subprocess.run(cluster.kcat("events", "-e"), stdout=nowhere, check=True)
            took, cpu = time.time() - began, children_cpu() - before
            print(f"kcat: {took:.1f} s, {cpu:.1f} CPU s, {records / took:,.0f} records a second")
            before = children_cpu()
            told = subprocess.run([consumer, f"127.0.0.1:{PORT}", "stakeout.events"], stdout=subprocess.PIPE, check=True)
            counted, _, took = told.stdout.split()
            bare.append(records / float(took))
            print(f"bare consumer: {float(took):.1f} s from its first record, {children_cpu() - before:.1f} CPU s, "
                  f"{bare[-1]:,.0f} records a second")
            if int(counted) != records:
                raise SystemExit(f"it found {int(counted)} records")
        with Role(program, "detect", folder, "detector") as detect:
            detect.wait_until("every partition was begun",
                              lambda seen: seen.get("stakeout_kafka_partition_up", 0) == cluster.partitions + 1)
            began, cpu = time.time(), detect.cpu_seconds()
            while not detect.has_judged():
                time.sleep(0.05)
            took, cpu = time.time() - began, detect.cpu_seconds() - cpu
            print(f"detect: {took:.1f} s, {cpu:.1f} CPU s, {records / took:,.0f} records a second, "
                  f"{records / cpu:,.0f} a CPU second; {time.time() - detect.began:.1f} s from its start, "
                  f"{detect.memory() >> 20} MB")
            detect.terminate()
        print(f"detect / bare consumer = {records / took / max(bare):.2f}")


def latency(program, folder, seconds):
    with Cluster(program, folder, 24) as cluster, Role(program, "collect", folder, "collector") as collect, \
            Role(program, "detect", folder, "detector") as detect:
        while detect.lag() is None:
            time.sleep(0.2)
        reader = subprocess.Popen(cluster.kcat("alerts", "-u"), stdout=subprocess.PIPE)
        os.set_blocking(reader.stdout.fileno(), False)
        arrived, began = [], time.time()
        turns = int(seconds / EVERY)
        senders = Senders(collect.address, lambda worker, turn: make(turns - 20, worker, turn), CLIENTS, EVERY, seconds)
        known, rest = set(), b""
        while time.time() < began + seconds + 5:
            rest += reader.stdout.read() or b""
            *whole, rest = rest.split(b"\n")
            for line in whole:
                document = json.loads(line)
                if document["event"]["id"] not in known:
                    known.add(document["event"]["id"])
                    arrived.append((time.time(), document))
            time.sleep(0.005)
        senders.finish()
        reader.send_signal(signal.SIGTERM)
        reader.wait()
        delays = []
        for at, document in arrived:
            said = document["@timestamp"]
            event = time.mktime(time.strptime(said[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone + float("0" + said[19:-1])
            if document["rule"]["id"] == "user_login_failures" or document["rule"]["id"] == "source_login_failures":
                delays.append(at - event)
        delays.sort()
        share = lambda part: delays[min(len(delays) - 1, int(len(delays) * part))]
        print(f"{len(delays)} alerts at {CLIENTS * BATCH / EVERY:,.0f} events a second: p50 {share(0.5):.2f} s, "
              f"p90 {share(0.9):.2f} s, p99 {share(0.99):.2f} s, most {delays[-1]:.2f} s; "
              f"lag at the end {detect.lag():.0f} records")


def restore(program, folder, sources):
    with Cluster(program, folder, 24) as cluster:
        for number in range(2):
            restart.append(cluster.log, number, sources)
        last = restart.BEGIN + 3600 + 3500 * (sources - 1) // sources
        with Role(program, "collect", folder, "collector") as collect:
            cluster.published(last - 1)
            collect.terminate()
        records, _ = cluster.records("events")
        with Role(program, "detect", folder, "detector") as detect:
            while not detect.has_judged():
                time.sleep(0.2)
            print(f"{detect.metrics()['stakeout_entities']:,.0f} entities learned from {records} records in "
                  f"{time.time() - detect.began:.0f} s, {detect.cpu_seconds():.1f} CPU s, {detect.memory() >> 20} MB; kept in "
                  f"{detect.terminate():.1f} s")
        copies = sum(path.stat().st_size for path in (folder / "detector/detect-detector").glob("*.state"))
        for how in ["its own copy", "the topic of state"]:
            if how != "its own copy":
                for path in (folder / "detector/detect-detector").glob("*.state"):
                    path.unlink()
            with Role(program, "detect", folder, "detector") as detect:
                detect.wait_until("everything was taken up",
                                  lambda seen: seen.get("stakeout_kafka_partition_up", 0) == cluster.partitions + 1)
                text = detect.said.read_text()
                given = time.time() - detect.began
                slowest = max(map(int, re.findall(r"(\d+) ms$", text, re.M)), default=0)
                entities = detect.metrics()["stakeout_entities"]
                print(f"from {how}: {entities:,.0f} entities, {copies >> 20} MB in {given:.1f} s from its start, the slowest partition {slowest} ms, "
                      f"{detect.memory() >> 20} MB")
                detect.terminate()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=HERE / "target/release/stakeout")
    parser.add_argument("--consumer", type=pathlib.Path, default=HERE / "target/release/examples/bare_consumer")
    parser.add_argument("--part", choices=["throughput", "latency", "restore"])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    parts = {
        "throughput": lambda folder: throughput(arguments.program, arguments.consumer, folder, arguments.events),
        "latency": lambda folder: latency(arguments.program, folder, arguments.seconds),
        "restore": lambda folder: restore(arguments.program, folder, arguments.events),
    }
    for name, run in parts.items():
        if arguments.part in (None, name):
            print(f"== {name}", flush=True)
            with tempfile.TemporaryDirectory(prefix="stakeout-kafka-") as folder:
                run(pathlib.Path(folder))


if __name__ == "__main__":
    main()
