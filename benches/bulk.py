#!/usr/bin/env python3
"""How many events a second `stakeout run` takes durably over `/_bulk`.

    benches/bulk.py [--program PATH] [--seconds 20] [--clients 4] [--batch 1000]

Starts the program (a release build) on a store of its own, sends batches from several processes, each of which waits for
its answer before it sends the next, and tells how many documents were acknowledged a second. Then it kills the program
and waits until it has taken up its state again. That no acknowledged document is lost is tested in tests/intake.rs.
"""

import argparse
import http.client
import json
import multiprocessing
import pathlib
import re
import subprocess
import tempfile
import time


def batch(size, seed):
    """Logins of 500 people from 2,000 addresses, as a shipper sends them."""
    lines = []
    for number in range(size):
        mixed = (seed * size + number) * 2654435761 % 2**32
        document = {
            "@timestamp": f"2026-03-02T{seed // 60 % 24:02}:{seed % 60:02}:{number * 60 // size:02}Z",
            "event": {"category": "authentication", "outcome": "success" if mixed % 9 else "failure"},
            "user": {"name": f"user{mixed % 500}"},
            "source": {"ip": f"10.1.{mixed >> 8 & 7}.{mixed & 255}"},
            "host": {"name": f"host{mixed >> 16 & 31}"},
        }
        lines.append('{"create":{"_index":"logs"}}\n' + json.dumps(document, separators=(",", ":")) + "\n")
    return "".join(lines).encode()


def client(address, size, first, until, answers):
    """Sends until the time is up. Batches are made beforehand, so that what is measured is not Python's JSON."""
    bodies = [batch(size, first * 1000 + number) for number in range(50)]
    connection = http.client.HTTPConnection(address, timeout=60)
    sent, waits = 0, []
    answers.put(None)
    number = 0
    while time.time() < until.value or until.value == 0:
        if until.value == 0:
            time.sleep(0.01)
            continue
        begun = time.time()
        connection.request("POST", "/_bulk", bodies[number % len(bodies)], {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse()
        text = answer.read()
        number += 1
        if answer.status == 429:
            time.sleep(0.05)
            continue
        assert answer.status == 200 and b'"errors":false' in text[:80], (answer.status, text[:200])
        sent += size
        waits.append(time.time() - begun)
    answers.put((sent, waits))


def start(program, folder):
    child = subprocess.Popen(
        [program, "run", "--config", folder / "stakeout.yaml"], stderr=subprocess.PIPE, text=True
    )
    for line in child.stderr:
        if found := re.search(r"listen=(\S+)", line):
            return child, found[1]
    raise SystemExit("the program ended")


def metric(address, name):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def cpu_seconds(child):
    fields = pathlib.Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/stakeout")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--batch", type=int, default=1000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "stakeout.yaml").write_text(
            f"data_dir: {folder}/data\nhttp: {{ listen: '127.0.0.1:0' }}\nsinks: [{{ type: file, path: {folder}/alerts }}]\n"
        )
        child, address = start(wanted.program, folder)
        try:
            answers, until = multiprocessing.Queue(), multiprocessing.Value("d", 0)
            workers = [
                multiprocessing.Process(target=client, args=(address, wanted.batch, number, until, answers))
                for number in range(wanted.clients)
            ]
            for worker in workers:
                worker.start()
            for _ in workers:
                answers.get()
            cpu, begun = cpu_seconds(child), time.time()
            until.value = begun + wanted.seconds
            results = [answers.get() for _ in workers]
            length = time.time() - begun
            cpu = cpu_seconds(child) - cpu
            peak = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{child.pid}/status").read_text())[1]
            sent = sum(count for count, _ in results)
            waits = sorted(wait for _, waits in results for wait in waits)
            seen = metric(address, "stakeout_collector_messages_total")
            assert seen >= sent, (seen, sent)
            child.kill()
            child.wait()
            begun = time.time()
            child, address = start(wanted.program, folder)
            ready = time.time() - begun
            store = sum(file.stat().st_size for file in (folder / "data").iterdir())
            print(
                f"{sent / length:,.0f} durable events a second ({sent:,} in {length:.1f} s, {wanted.clients} clients, "
                f"batches of {wanted.batch}); answers in {waits[len(waits) // 2] * 1000:.0f} ms (median), "
                f"{waits[len(waits) * 99 // 100] * 1000:.0f} ms (99 %); {cpu:.1f} CPU s, {sent / cpu:,.0f} a CPU second; "
                f"{int(peak) // 1024} MB of memory, {store / 1e6:.0f} MB of store; ready "
                f"{ready:.1f} s after a kill"
            )
        finally:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main()
