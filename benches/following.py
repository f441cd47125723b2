#!/usr/bin/env python3
"""What the service needs to follow a log: `benches/following.py BINARY [LINES]`.

Writes sshd lines of 2,000 users and 2,000 sources on 50 hosts (seeded), lets `stakeout run` follow them as one file, and
prints CPU time, memory and the size of the store once everything was judged and a snapshot was written.
"""

import datetime
import random
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path


def write_log(path, lines):
    choose = random.Random(1)
    at = datetime.datetime(2026, 3, 2)
    with path.open("w") as log:
        for _ in range(lines):
            at += datetime.timedelta(milliseconds=choose.expovariate(1 / 600))
            log.write(
                f"{at.isoformat(timespec='milliseconds')}Z web{choose.randrange(50)} sshd[{choose.randrange(30000)}]: "
                f"Accepted publickey for user{int(choose.paretovariate(1)) % 2000} "
                f"from 10.20.{choose.randrange(8)}.{choose.randrange(250)} port {choose.randrange(1024, 65000)} ssh2\n"
            )


def metrics(address):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if not line.startswith("#")}


def main():
    binary = sys.argv[1]
    lines = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        log = folder / "auth.log"
        write_log(log, lines)
        (folder / "stakeout.yaml").write_text(
            "http: { listen: '127.0.0.1:0' }\n"
            f"data_dir: {folder}/data\n"
            f"inputs: {{ files: ['{log}'] }}\n"
            "store: { snapshot_every: 20s }\n"
            f"sinks: [{{ type: file, path: '{folder}/alerts.json' }}]\n"
        )
        with open(folder / "said", "w") as said:
            service = subprocess.Popen([binary, "run", "--config", folder / "stakeout.yaml"], stderr=said)
        try:
            began = time.time()
            address = None
            seen = {}
            while seen.get("stakeout_events_total", 0) < lines or seen.get("stakeout_store_snapshot_bytes", 0) == 0:
                if time.time() - began > 600 or service.poll() is not None:
                    sys.exit("not judged: " + (folder / "said").read_text()[-2000:])
                time.sleep(0.2)
                if address is None:
                    words = (folder / "said").read_text().split("listen=")
                    address = words[1].split()[0] if len(words) > 1 else None
                else:
                    seen = metrics(address)
            store = sum(file.stat().st_size for file in (folder / "data").iterdir())
            print("| lines | bytes | CPU s | memory MB | store MB | entities |")
            print("| --- | --- | --- | --- | --- | --- |")
            print(
                f"| {lines:,} | {log.stat().st_size:,} | {seen['process_cpu_seconds_total']:.1f} "
                f"| {seen['process_resident_memory_bytes'] / 1e6:.0f} | {store / 1e6:.0f} "
                f"| {seen['stakeout_entities']:,.0f} |"
            )
        finally:
            service.terminate()
            service.wait(30)


if __name__ == "__main__":
    main()
