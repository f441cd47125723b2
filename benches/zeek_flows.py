#!/usr/bin/env python3
"""Zeek logs of a clean desktop and of an infected host: alerts a host-day, and how many malicious host-hours are covered.

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/zeek_flows.py [--binary PROGRAM] [--no-budget]

DIR holds zeek-flows/{ubuntu-benign-2023-02-20,ctu-botnet-4} (stratosphereips, IDPS-Comparison-Tool). All logs of a folder are
replayed together. The unit is (source host, hour); it is positive when it has a flow that is labelled Malicious, and left out when
it has none but one labelled Unknown. It is covered when an alert, in its last form, names the host and its event.start to
event.end overlaps the hour. Labels are only read here, after the replay. Trivial baselines stand beside: a bar on flows, and one on
different peers, of a host in an hour, at the largest value of the clean desktop; and an alert every hour.
"""
import argparse, collections, datetime, gzip, json, os, pathlib, subprocess, sys

HOUR = 3600


def flows(folder):
    """(host, hour) -> [flows, peers, labels] of conn.log."""
    found, fields = collections.defaultdict(lambda: [0, set(), collections.Counter()]), []
    for line in gzip.open(folder / "conn.log.labeled.gz", "rt", errors="replace"):
        cells = line.rstrip("\n").split("\t")
        if cells[0] == "#fields":
            fields = cells[1:]
        if line.startswith("#"):
            continue
        row = dict(zip(fields, cells))
        held = found[row["id.orig_h"], int(float(row["ts"]) // HOUR)]
        held[0] += 1
        held[1].add(row["id.resp_h"])
        held[2][row["label"]] += 1
    return found


def alerts_of(binary, folder, more):
    """The last form of each alert: (rule, names, first second, last second, first told)."""
    run = subprocess.run([binary, "replay", str(folder), "--format", "ecs", "--quiet", *more], capture_output=True, text=True)
    if run.returncode not in (0, 1):
        sys.exit(f"zeek_flows: {folder}: {run.stderr}")
    first, last = {}, {}
    for line in run.stdout.splitlines():
        document = json.loads(line)
        first.setdefault(document["event"]["id"], document["@timestamp"])
        last[document["event"]["id"]] = document
    instant = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    told = []
    for key, alert in last.items():
        if "merged_into" in alert["stakeout"]:
            continue
        names = set(map(str, alert["stakeout"]["entity"].values())) | {alert.get("source", {}).get("ip")}
        told.append((alert["rule"]["id"], names, instant(alert["event"]["start"]), instant(alert["event"]["end"]), instant(first[key])))
    return told


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/stakeout")
    parser.add_argument("--no-budget", action="store_true")
    options = parser.parse_args()
    reference = os.environ.get("STAKEOUT_REFERENCE_DATA")
    if not reference:
        sys.exit("zeek_flows: skipped, STAKEOUT_REFERENCE_DATA is not set")
    more = ["--no-budget"] if options.no_budget else []
    root = pathlib.Path(reference, "zeek-flows")

    clean = flows(root / "ubuntu-benign-2023-02-20")
    told = alerts_of(options.binary, root / "ubuntu-benign-2023-02-20", more)
    hosts = collections.Counter(host for host, _ in clean)
    desktop = hosts.most_common(1)[0][0]
    days = (max(hour for _, hour in clean) - min(hour for _, hour in clean) + 1) / 24
    print(f"clean desktop: {sum(held[0] for held in clean.values())} flows, {days * 24:.0f} h, {len(told)} alerts, "
          f"{len(told) / days:.2f} a host-day {dict(collections.Counter(rule for rule, *_ in told)) or ''}")
    flows_bar = max(held[0] for (host, _), held in clean.items() if host == desktop)
    peers_bar = max(len(held[1]) for (host, _), held in clean.items() if host == desktop)

    infected = flows(root / "ctu-botnet-4")
    told = alerts_of(options.binary, root / "ctu-botnet-4", more)
    positive = {unit for unit, held in infected.items() if held[2]["Malicious"]}
    negative = {unit for unit, held in infected.items() if unit not in positive and not held[2]["Unknown"]}
    host = max(positive, key=lambda unit: infected[unit][2]["Malicious"])[0]
    begin = min(hour for name, hour in infected if name == host)
    days = (max(hour for name, hour in infected if name == host) - begin + 1) / 24

    def covered(unit):
        name, hour = unit
        return any(name in names and first < (hour + 1) * HOUR and end >= hour * HOUR for _, names, first, end, _ in told)

    def row(what, has, alerts):
        hit, false = sum(map(has, positive)), sum(map(has, negative))
        print(f"| {what} | {hit} of {len(positive)} ({100 * hit / len(positive):.0f} %) | {false} of {len(negative)} | {alerts} |")

    print(f"infected host {host}, {days:.1f} days: malicious host-hours covered, other host-hours covered, alerts a day")
    row("Stakeout", covered, f"{len(told) / days:.2f}")
    for what, has in ((f"more than {flows_bar} flows", lambda unit: infected[unit][0] > flows_bar),
                      (f"more than {peers_bar} peers", lambda unit: len(infected[unit][1]) > peers_bar),
                      ("always", lambda _: True)):
        units = [unit for unit in infected if has(unit)]
        row(what, has, f"{len(units) / days:.2f}")
    first = min((when for _, names, _, _, when in told if host in names), default=None)
    malicious = min(hour for name, hour in positive if name == host) * HOUR
    print(f"first alert about the host: {'none' if first is None else f'{(first - malicious) / HOUR:.1f} h after the first malicious hour began'}; "
          f"{dict(collections.Counter(rule for rule, *_ in told))}")


if __name__ == "__main__":
    main()
