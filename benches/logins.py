#!/usr/bin/env python3
"""Login attacks injected into a real sshd log: is each found, and how many alerts does the log make as it is?

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/logins.py [STAKEOUT]

DIR holds auth/elastic_auth.log.gz (elastic/examples, Apache-2.0). Skips with a message when it is not set. The attacks come
from sources and, for the third, a network that the log never has; no label of the log is looked at.
A trivial baseline stands beside: a source with five failures within five minutes.
"""
import collections, datetime, gzip, json, os, random, re, subprocess, sys, tempfile

reference = os.environ.get("STAKEOUT_REFERENCE_DATA")
if not reference:
    sys.exit("logins: skipped, STAKEOUT_REFERENCE_DATA is not set")
binary = sys.argv[1] if len(sys.argv) > 1 else "target/release/stakeout"
lines = gzip.open(os.path.join(reference, "auth/elastic_auth.log.gz"), "rt", errors="replace").read().splitlines()
YEAR = 2026
rng = random.Random(7)


def when(line):
    return datetime.datetime.strptime(f"{YEAR} {line[:15]}", "%Y %b %d %H:%M:%S")


def line_of(t, host, verb, user, address, process):
    stamp = t.strftime("%b ") + f"{t.day:2d}" + t.strftime(" %H:%M:%S")
    return f"{stamp} {host} sshd[{process}]: {verb} password for {user} from {address} port {rng.randrange(1024, 65000)} ssh2"


host = lines[0].split()[3]
accepted = collections.Counter(m.group(1) for l in lines if (m := re.search(r"Accepted \S+ for (\S+) from", l)))
user = accepted.most_common(1)[0][0]
last = when(lines[-1])


def spray(day):
    t, address = last.replace(hour=13, minute=7, second=0) - datetime.timedelta(days=day), "203.0.113.77"
    return address, [
        line_of(t + datetime.timedelta(seconds=4 * (50 * k + i)), host, "Failed", f"invalid user person{i:02d}", address, 40000 + i)
        for k in range(2) for i in range(50)
    ]


def slow(day):
    t, address = last.replace(hour=2, minute=3, second=11) - datetime.timedelta(days=day), "203.0.113.91"
    return address, [
        line_of(t + datetime.timedelta(minutes=10 * i, seconds=rng.randrange(60)), host, "Failed", "root", address, 42000 + i)
        for i in range(144)
    ]


def stolen(day):
    t, address = last.replace(hour=11, minute=20, second=5) - datetime.timedelta(days=day), "198.51.100.23"
    tries = [line_of(t + datetime.timedelta(seconds=9 * i), host, "Failed", user, address, 44000 + i) for i in range(4)]
    return address, tries + [line_of(t + datetime.timedelta(seconds=50), host, "Accepted", user, address, 44010)]


def replay(log):
    with tempfile.NamedTemporaryFile("w", suffix=".log") as file:
        file.write("\n".join(log) + "\n")
        file.flush()
        command = [binary, "replay", file.name, "--format", "ecs", "--year", str(YEAR), "--quiet"]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"logins: {run.stderr}")
    alerts = {}
    for line in run.stdout.splitlines():
        document = json.loads(line)
        alerts[document["event"]["id"]] = document
    return list(alerts.values())


def trivial(log):
    held, told = collections.defaultdict(list), set()
    for line in log:
        m = re.search(r"Failed password for .* from (\S+) port", line)
        if m:
            t = when(line)
            held[m.group(1)] = [x for x in held[m.group(1)] if (t - x).total_seconds() < 300] + [t]
            if len(held[m.group(1)]) >= 5:
                told.add((m.group(1), t.date()))
    return told


as_it_is = replay(lines)
days = collections.Counter(alert["@timestamp"][:10] for alert in as_it_is)
span = (last - when(lines[0])).days + 1
simple = collections.Counter(day for _, day in trivial(lines))
print("| what | Stakeout | five failures in five minutes |\n| --- | --- | --- |")
print(f"| alerts on the log as it is, {span} days | {len(as_it_is)} | {sum(simple.values())} |")
print(f"| most on one day | {max(days.values(), default=0)} | {max(simple.values(), default=0)} |")
names = {
    "spray over 50 users, 2 tries each": spray,
    "one guess in 10 minutes for a day": slow,
    "success from a never-seen network after 4 failures": stolen,
}
for name, attack in names.items():
    found = simple_found = 0
    for day in (1, 3, 6, 9, 12):
        address, injected = attack(day)
        log = sorted(lines + injected, key=when)
        about = lambda alert: address in json.dumps([alert.get("related"), alert["stakeout"]["entity"]])
        found += any(about(alert) for alert in replay(log))
        simple_found += any(source == address for source, _ in trivial(log))
    print(f"| {name}: found at 5 places of the log | {found} of 5 | {simple_found} of 5 |")
