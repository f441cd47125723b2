#!/usr/bin/env python3
"""What an outage of sinks costs: `benches/sinks.py [--program PATH] [--minutes 5]`.

A webhook and a real Alertmanager are configured and not there. Meanwhile a sender pushes 2,000 logins a second, and twice
a second an address that was never seen fails 60 logins on a machine of its own, which makes an alert. After the outage
both are started. Then every document that the file sink has must be at the webhook, each once, with the forms of each
alert in their order, and Alertmanager must show each alert. What waits lies in the store: memory is told beside it.
"""

import argparse
import collections
import functools
import http.server
import json
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from pushing import Senders, login, stamp
from serving import Service, load

EVERY = 0.05
BATCH = 100
ATTACK_EVERY = 10
FAILURES = 60


@functools.cache
def bodies():
    made = []
    for number in range(64):
        mixed = [(number * BATCH + place) * 2654435761 % 2**32 for place in range(BATCH)]
        made.append(
            "".join(login("@time@", f"10.1.{m >> 8 & 7}.{m & 255}", f"user{m % 500}", f"host{m % 20}", "success") for m in mixed)
        )
    return made


def make(worker, turn):
    now = time.time()
    lines = [bodies()[turn % 64].replace("@time@", stamp(now))]
    attack = turn // ATTACK_EVERY
    if turn % ATTACK_EVERY == 0:
        source = f"203.{attack >> 16 & 255}.{attack >> 8 & 255}.{attack & 255}"
        for place in range(FAILURES):
            lines.append(login(stamp(now + place * 1e-6), source, f"admin{attack}", f"target{attack}", "failure"))
        return "".join(lines).encode(), BATCH + FAILURES
    return "".join(lines).encode(), BATCH


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def receive(port, arrived):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.append((self.headers["webhook-id"], body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def start_alertmanager(folder, port):
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    if program is None:
        raise SystemExit("Alertmanager is not installed (Debian: prometheus-alertmanager)")
    (folder / "alertmanager.yml").write_text("route: { receiver: none }\nreceivers: [{ name: none }]\n")
    with (folder / "alertmanager.said").open("w") as said:
        return subprocess.Popen(
            [
                program,
                f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/alertmanager",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=said,
            stderr=said,
        )


def shown(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/alerts", timeout=60) as answer:
        return json.load(answer)


def key(document):
    return f"{document['event']['id']}:{document['stakeout']['count']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/stakeout")
    parser.add_argument("--minutes", type=float, default=5)
    wanted = parser.parse_args()
    seconds = wanted.minutes * 60
    hook, manager, arrived = free_port(), free_port(), []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "stakeout.yaml").write_text(
            f"data_dir: {folder}/data\nhttp: {{ listen: '127.0.0.1:0' }}\nbudget: {{ alerts_per_day: 1000000 }}\nsinks:\n"
            f"  - {{ type: file, name: file, path: '{folder}/alerts' }}\n"
            f"  - {{ type: webhook, name: hook, url: 'http://127.0.0.1:{hook}/' }}\n"
            f"  - {{ type: alertmanager, name: manager, url: 'http://127.0.0.1:{manager}' }}\n"
        )
        alertmanager = None
        with Service(wanted.program, folder) as service:
            try:
                begun, held = time.time(), []
                senders = Senders(service.address, make, 1, EVERY, seconds)
                while senders.alive() and time.time() - begun < seconds - 1:
                    time.sleep(min(5, seconds / 10))
                    held.append(service.memory())
                sent = senders.finish()
                # What comes last waits until its input has been quiet.
                time.sleep(5)
                seen = service.metrics()
                backlog = {sink: seen[f'stakeout_sink_backlog_alerts{{sink="{sink}"}}'] for sink in ("file", "hook", "manager")}
                receive(hook, arrived)
                alertmanager = start_alertmanager(folder, manager)
                begun = time.time()
                service.wait_until("everything was delivered", lambda seen: seen["stakeout_sink_backlog_alerts"] == 0, 300)
                took = time.time() - begun
                time.sleep(3)
                after = service.memory()
                documents = [json.loads(line) for line in (folder / "alerts").read_text().splitlines()]
                alerts = shown(manager)
                service.terminate()
            finally:
                if alertmanager is not None:
                    alertmanager.terminate()
                    alertmanager.wait()
        told, got = [key(document) for document in documents], [identity for identity, _ in arrived]
        counts = collections.defaultdict(list)
        for _, body in arrived:
            document = json.loads(body)
            counts[document["event"]["id"]].append(document["stakeout"]["count"])
        disordered = sum(found != sorted(found) for found in counts.values())
        people = {
            (document["rule"]["id"], json.dumps(document["stakeout"]["entity"], sort_keys=True))
            for document in documents
            if document["stakeout"].get("merged_into") is None
        }
        print(
            f"{sent['documents']:,} documents; {len(told):,} forms of {len(counts):,} alerts in {seconds:.0f} s without sinks; "
            f"waiting at the end: {backlog}; load {load():.1f}"
        )
        print(
            f"delivered {took:.1f} s after they were started: webhook {len(got):,}, of them again {len(got) - len(set(got))}, "
            f"missing {len(set(told) - set(got))}, alerts out of order {disordered}, same order as told: {got == told}; "
            f"Alertmanager shows {len(alerts):,} of {len(people):,}"
        )
        third = len(held) // 3
        print(
            f"memory {min(held[third:]) / 1e6:.0f} to {max(held[third:]) / 1e6:.0f} MB in the last two thirds of the outage, "
            f"{after / 1e6:.0f} MB after it"
        )
        if set(told) - set(got) or disordered or len(alerts) != len(people):
            raise SystemExit("something was lost or out of order")


if __name__ == "__main__":
    main()
