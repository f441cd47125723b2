#!/usr/bin/env python3
"""How long from an event at the collector to its alert at a webhook:
`benches/latency.py [--program PATH] [--seconds 60] [--entities 0]`.

Four senders push 20,000 logins a second in requests of 250 over `/_bulk`, with the clock's time. Among them, four times a
second, an address that was never seen fails 60 logins of one account on a machine of its own within half a second.
The delay is from the moment before the request is written that holds the event which the alert names as its time
(`@timestamp`) to the moment at which the webhook's receiver has the body; of an alert's forms the first counts.
With `--entities` there is state of so many addresses before: what judging waits for a snapshot of them is told beside.
"""

import argparse
import collections
import datetime
import functools
import http.server
import json
import pathlib
import tempfile
import threading
import time

from pushing import Senders, login, stamp
from serving import Service, load

CLIENTS = 4
BATCH = 250
EVERY = 0.05
ATTACKERS_A_SECOND = 4
FAILURES = 60
ATTACK_SECONDS = 0.5
MARK = "@time@"
# Of new entities: as many in a request, and as often.
FILLING = 1000
FILLING_EVERY = 0.08


@functools.cache
def benign(worker):
    """Bodies to be sent in turn: logins of 500 people from 2,000 addresses, one in 30 of which fails."""
    bodies = []
    for number in range(64):
        lines = []
        for place in range(BATCH):
            mixed = ((worker * 64 + number) * BATCH + place) * 2654435761 % 2**32
            outcome = "success" if mixed % 31 else "failure"
            lines.append(
                login(MARK, f"10.1.{mixed >> 8 & 7}.{mixed & 255}", f"user{mixed % 500}", f"host{mixed % 20}", outcome)
            )
        bodies.append("".join(lines))
    return bodies


def make(last, worker, turn):
    """A request. Attacks are dealt out to the senders, and each request holds what is due of them; none begins after `last`."""
    bodies = benign(worker)
    now = time.time()
    body = bodies[turn % len(bodies)].replace(MARK, stamp(now))
    of_turn = int(ATTACK_SECONDS / EVERY)
    lines = []
    # The attackers of this sender begin every so many turns, shifted by sender.
    begin_every = int(CLIENTS / ATTACKERS_A_SECOND / EVERY)
    for age in range(of_turn):
        begun = turn - age
        if 0 <= begun <= last and begun % begin_every == worker * begin_every // CLIENTS:
            number = begun // begin_every * CLIENTS + worker
            source = f"203.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            for place in range(FAILURES // of_turn):
                # Each a microsecond later, so that the alert's time names its request.
                lines.append(login(stamp(now + place * 1e-6), source, f"admin{number}", f"target{number}", "failure"))
    return (body + "".join(lines)).encode(), BATCH + len(lines)


def fill(worker, turn):
    """A request of logins, each of an address and an account that were never seen."""
    now, first = stamp(time.time()), (turn * CLIENTS + worker) * FILLING
    lines = [
        login(now, f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", f"person{number}", f"host{number % 20}", "success")
        for number in range(first, first + FILLING)
    ]
    return "".join(lines).encode(), FILLING


def waits(seen, before):
    """What single waits for a snapshot came to: how many, and the bounds under which all and 99 % of them were."""
    name = "stakeout_store_snapshot_wait_seconds"
    counts = {
        float(key.split('le="')[1].split('"')[0]): value - before.get(key, 0)
        for key, value in seen.items()
        if key.startswith(name + "_bucket{")
    }
    count = counts.get(float("inf"), 0)
    under = lambda share: min((bound for bound, held in counts.items() if held >= count * share), default=0)
    return f"{count:.0f} waits, {under(0.99) * 1000:.0f} ms at most (99 %), {under(1) * 1000:.0f} ms at most"


def receive(arrived):
    """A receiver of webhooks on a port of its own; notes when each body was there."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.append((time.time(), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def delays(arrived):
    """Of each alert's first form: seconds from its time to its arrival; and how many there are by detector."""
    found, detectors = [], collections.Counter()
    for at, body in arrived:
        document = json.loads(body)
        if document["stakeout"]["count"] == 1:
            begun = datetime.datetime.fromisoformat(document["@timestamp"]).timestamp()
            found.append(at - begun)
            detectors[document["rule"]["id"]] += 1
    return sorted(found), detectors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/stakeout")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--entities", type=int, default=0)
    wanted = parser.parse_args()
    arrived = []
    receiver = receive(arrived)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "stakeout.yaml").write_text(
            f"data_dir: {folder}/data\nhttp: {{ listen: '127.0.0.1:0' }}\nbudget: {{ alerts_per_day: 1000000 }}\n"
            f"sinks: [{{ type: webhook, url: 'http://127.0.0.1:{receiver.server_port}/' }}]\n"
        )
        with Service(wanted.program, folder) as service:
            if wanted.entities:
                length = wanted.entities / FILLING / CLIENTS * FILLING_EVERY
                filled = Senders(service.address, fill, CLIENTS, FILLING_EVERY, length).finish()
                service.wait_until("there is state", lambda seen: seen["stakeout_events_total"] >= filled["documents"])
            before = service.metrics()
            print(f"{before['stakeout_entities']:,.0f} entities, {service.memory() / 1e6:.0f} MB; load {load():.1f}", flush=True)
            cpu, begun = service.cpu_seconds(), time.time()
            # What comes last waits until the input has been quiet for 2 s.
            last = int((wanted.seconds - 3) / EVERY)
            senders = Senders(service.address, functools.partial(make, last), CLIENTS, EVERY, wanted.seconds)
            sent = senders.finish()
            length, cpu = time.time() - begun, service.cpu_seconds() - cpu
            time.sleep(4)
            seen = service.metrics()
            found, detectors = delays(arrived)

            def quantile(share):
                return found[min(int(len(found) * share), len(found) - 1)] * 1000

            print(
                f"{sent['documents'] / length:,.0f} events a second for {length:.0f} s ({sent['again']} requests again, a request "
                f"at most {sent['late'] * 1000:.0f} ms late, answered in {sent['slowest'] * 1000:.0f} ms at most); "
                f"{cpu / length:.2f} cores; load {load():.1f}"
            )
            print(
                f"{len(found)} alerts of some {int((wanted.seconds - 3) * ATTACKERS_A_SECOND)} attackers, {len(arrived)} documents: "
                f"median {quantile(0.5):.0f} ms, 90 % {quantile(0.9):.0f} ms, 99 % {quantile(0.99):.0f} ms, "
                f"most {quantile(1):.0f} ms; {dict(detectors)}; "
                f"snapshots {seen['stakeout_store_snapshot_seconds_count'] - before['stakeout_store_snapshot_seconds_count']:.0f} "
                f"of {seen['stakeout_store_snapshot_bytes'] / 1e6:.0f} MB; "
                f"{seen['stakeout_store_snapshot_seconds_sum'] - before['stakeout_store_snapshot_seconds_sum']:.1f} s waited for them; "
                f"{waits(seen, before)}"
            )


if __name__ == "__main__":
    main()
