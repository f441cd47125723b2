#!/usr/bin/env python3
"""Whether a service stays as it is: `benches/soak.py [--program PATH] [--minutes 30] [--entities 1024000]`.

Four senders push 20,000 logins a second over `/_bulk`, with the clock's time; every tenth is of an address and an account
that were never seen. The bound of entities is reached early and kept to. Twice a minute an address that was never seen
fails 60 logins on a machine of its own within half a second; that each of them is told says that nobody goes untracked.
Every five seconds it looks at the memory and at each queue. The plateau begins with the first look before which two
snapshots were written while the number of entities grew by less than 0.1 %: the bound is reached in every key group then,
and whatever a snapshot needs was needed once. From then on memory must stay within 5 %, the most against the least; queues
must stay within their bounds all the time, and every document acknowledged must have been judged.
"""

import argparse
import functools
import pathlib
import tempfile
import time

from pushing import Senders, login, stamp
from serving import Service, load

CLIENTS = 4
BATCH = 250
EVERY = 0.05
NEW_SHARE = 10
ATTACK_TURNS = 10
FAILURES = 6
GROWTH_MAX = 0.001
SNAPSHOTS = 2
QUEUES = {"stakeout_queue_deliveries": 256, "stakeout_events_waiting": 1 << 17, "stakeout_collector_connections": 512}


@functools.cache
def bodies(worker):
    """Bodies to be sent in turn, in pieces between which the names of new addresses and accounts stand."""
    made = []
    for number in range(64):
        lines = []
        for place in range(BATCH):
            mixed = ((worker * 64 + number) * BATCH + place) * 2654435761 % 2**32
            outcome = "success" if mixed % 499 else "failure"
            host = f"host{mixed % 20}"
            if place % NEW_SHARE == 0:
                new = f"@new@.{place // NEW_SHARE}"
                lines.append(login("@time@", new, f"new{new}", "gateway", "success"))
            else:
                lines.append(login("@time@", f"10.1.{mixed >> 8 & 7}.{mixed & 255}", f"user{mixed % 500}", host, outcome))
        made.append("".join(lines))
    return made


def make(attack_every, worker, turn):
    """A request. Each address `a.b.c.` of new ones is of one sender and turn; the first sender also attacks."""
    now = time.time()
    made = bodies(worker)
    number = turn * CLIENTS + worker
    network = f"{11 + number // 65536 % 100}.{number // 256 % 256}.{number % 256}"
    body = made[turn % len(made)].replace("@time@", stamp(now)).replace("@new@", network)
    lines = []
    if worker == 0 and turn % attack_every < ATTACK_TURNS:
        attack = turn // attack_every
        for place in range(FAILURES):
            at = stamp(now + place * 1e-6)
            lines.append(login(at, f"203.0.{attack // 256}.{attack % 256}", f"admin{attack}", f"target{attack}", "failure"))
    return (body + "".join(lines)).encode(), BATCH + len(lines)


def has_settled(looks):
    """Whether the last of these looks, (entities, snapshots) each, is one of the plateau."""
    entities, snapshots = looks[-1]
    return any(
        snapshots - earlier >= SNAPSHOTS and entities <= held * (1 + GROWTH_MAX) for held, earlier in looks[:-1] if held
    )


def told_range(what, held):
    """A line of the range of some measurements of memory, and the most in terms of the least."""
    least, most = min(held, default=0), max(held, default=0)
    print(f"memory {least / 1e6:.0f} to {most / 1e6:.0f} MB {what}: {(most / least - 1) * 100 if least else 0:.1f} %")
    return most / least if least else float("inf")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/stakeout")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--entities", type=int, default=1_024_000, help="the bound of each kind, rounded to 1,024")
    wanted = parser.parse_args()
    seconds = wanted.minutes * 60
    attack_every = int(30 / EVERY)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "stakeout.yaml").write_text(
            f"data_dir: {folder}/data\nhttp: {{ listen: '127.0.0.1:0' }}\nbudget: {{ alerts_per_day: 1000000 }}\n"
            f"bounds: {{ entities_per_key_group_max: {wanted.entities // 1024} }}\n"
            f"sinks: [{{ type: file, path: '{folder}/alerts' }}]\n"
        )
        with Service(wanted.program, folder) as service:
            begun, cpu = time.time(), service.cpu_seconds()
            senders = Senders(service.address, functools.partial(make, attack_every), CLIENTS, EVERY, seconds)
            bounded, plateau, looks, all_held, held, most, loads = None, None, [], [], [], {}, []
            while senders.alive() and time.time() - begun < seconds - 1:
                time.sleep(5)
                seen, now, memory = service.metrics(), time.time() - begun, service.memory()
                if bounded is None and seen["stakeout_shared_baseline_events_total"] > 0:
                    bounded = now
                looks.append((seen["stakeout_entities"], seen["stakeout_store_snapshot_seconds_count"]))
                if plateau is None and bounded is not None and has_settled(looks):
                    plateau = now
                all_held.append(memory)
                if plateau is not None:
                    held.append(memory)
                for key in [*QUEUES, "stakeout_store_journal_bytes", "stakeout_sink_backlog_alerts", "stakeout_event_lag_seconds"]:
                    most[key] = max(most.get(key, 0), seen.get(key, 0))
                loads.append(load())
                if len(loads) % 12 == 0:
                    print(
                        f"minute {now / 60:.0f}: {memory / 1e6:.0f} MB, {seen['stakeout_entities']:,.0f} entities, "
                        f"{seen['stakeout_events_total']:,.0f} events, lag {seen['stakeout_event_lag_seconds']:.1f} s",
                        flush=True,
                    )
            sent = senders.finish()
            length = time.time() - begun
            seen = service.wait_until("all was judged", lambda seen: seen["stakeout_events_total"] >= sent["documents"], 60)
            time.sleep(2)
            seen, cpu = service.metrics(), service.cpu_seconds() - cpu
            store = sum(file.stat().st_size for file in (folder / "data").iterdir())
            told = (folder / "alerts").read_text() if (folder / "alerts").exists() else ""
            attacks = int((seconds / EVERY - ATTACK_TURNS) // attack_every) + 1
            found = sum(f'"target{attack}"' in told for attack in range(attacks))
            ended = service.terminate()
        print(
            f"{sent['documents']:,} documents in {length:.0f} s, {sent['documents'] / length:,.0f} a second; "
            f"{seen['stakeout_events_total']:,.0f} judged; {cpu / length:.2f} cores; load {min(loads):.1f} to {max(loads):.1f}"
        )
        print(
            f"bound reached after {bounded or 0:.0f} s; {seen['stakeout_entities']:,.0f} entities at the end, "
            f"{seen['stakeout_shared_baseline_events_total']:,.0f} visits of others; {found} of {attacks} attackers told"
        )
        told_range("from the beginning", all_held)
        growth = told_range(f"from the plateau on, which began after {plateau or 0:.0f} s", held)
        print(f"store {store / 1e6:.0f} MB; ended in {ended:.1f} s")
        for key, value in most.items():
            print(f"at most {value:,.1f} {key}" + (f" of {QUEUES[key]:,}" if key in QUEUES else ""))
        faults = [key for key, bound in QUEUES.items() if most[key] > bound]
        if growth > 1.05:
            faults.append("memory")
        if faults or seen["stakeout_events_total"] != sent["documents"] or found < attacks:
            raise SystemExit(f"not as it must be: {faults or 'an event or an attacker is missing'}")


if __name__ == "__main__":
    main()
