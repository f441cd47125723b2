#!/usr/bin/env python3
"""DNS tunnels, window by window: is every window of a tunnel covered by an alert, and how many alerts do benign queries make?

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/dns_tunnel.py [--binary PROGRAM] [--no-budget] [--queries-min N]
       benches/dns_tunnel.py [...] --tunnels FILE... --benign FILE...

DIR holds dns-tunnel/{normal,tunnel}-*.pcap.gz (GraphTunnel, IEEE TIFS 2024). The unit is (client, registered domain, 5 minutes).
A tunnel's window counts when it has N queries or more (20); a window of a tunnel's capture belongs to the tunnel unless its
domain is one that the benign captures ask for too. It is covered when an alert, in its last form, is about that client and domain
and its event.start to event.end overlaps the window. No domain's name is known to the detector or to this script.
Two trivial baselines stand beside: a bar on different names in a window, and one on the length of the longest name; their
bars are the largest value that a benign window has, so they make no false alarm on the very data that set them.
The captures are read here by a parser of this script's own; the public suffix list is Debian's package publicsuffix.
"""
import argparse, collections, datetime, gzip, json, os, pathlib, struct, subprocess, sys

WINDOW_SECONDS = 300
SUFFIXES = "/usr/share/publicsuffix/public_suffix_list.dat"


def suffix_rules():
    try:
        lines = open(SUFFIXES, encoding="utf-8").read().splitlines()
    except OSError as error:
        sys.exit(f"dns_tunnel: {error} (install publicsuffix)")
    return {line.strip() for line in lines if line.strip() and not line.startswith("//")}


def split_name(name, rules):
    """The registered domain and what stands in front of it; none for a bare public suffix."""
    parts = name.lower().split(".")
    suffix = 1
    for begin in range(len(parts)):
        rest = ".".join(parts[begin:])
        if "!" + rest in rules:
            suffix = len(parts) - begin - 1
            break
        if rest in rules or ".".join(["*"] + parts[begin + 1:]) in rules:
            suffix = max(suffix, len(parts) - begin)
    if len(parts) <= suffix:
        return None, ""
    return ".".join(parts[-suffix - 1:]), ".".join(parts[:-suffix - 1])


def frames(data):
    """(seconds, link type, frame) of a pcap or pcapng."""
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        yield from frames_of_pcapng(data)
        return
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    scale = 1e9 if data[:4] in (b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d") else 1e6
    link, at = struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF, 24
    while at + 16 <= len(data):
        seconds, fraction, kept, _ = struct.unpack_from(order + "IIII", data, at)
        yield seconds + fraction / scale, link, data[at + 16:at + 16 + kept]
        at += 16 + kept


def frames_of_pcapng(data):
    at, order, interfaces = 0, "<", []
    while at + 12 <= len(data):
        kind = struct.unpack_from(order + "I", data, at)[0]
        if kind == 0x0A0D0D0A:
            order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        size = struct.unpack_from(order + "I", data, at + 4)[0]
        body = data[at + 8:at + size - 4]
        if kind == 1:
            interfaces.append((struct.unpack_from(order + "H", body)[0], resolution(body[8:], order)))
        elif kind == 6:
            number, high, low, kept, _ = struct.unpack_from(order + "IIIII", body)
            link, unit = interfaces[number]
            yield ((high << 32) + low) * unit, link, body[20:20 + kept]
        at += max(size, 12)


def resolution(options, order):
    while len(options) >= 4:
        kind, size = struct.unpack_from(order + "HH", options)
        if kind == 9 and size == 1:
            return 2.0 ** -(options[4] & 127) if options[4] & 128 else 10.0 ** -options[4]
        options = options[4 + (size + 3) // 4 * 4:]
    return 1e-6


def question(frame, link):
    """Client and name of a DNS query over UDP and IPv4 or IPv6."""
    at, kind = {1: (14, 12), 113: (16, 14), 276: (20, 0)}.get(link, (0, None))
    if kind is not None:
        ether = struct.unpack_from("!H", frame, kind)[0]
        if ether == 0x8100:
            ether, at = struct.unpack_from("!H", frame, kind + 4)[0], at + 4
    version = frame[at] >> 4
    if version == 4 and frame[at + 9] == 17:
        client, udp = ".".join(map(str, frame[at + 12:at + 16])), at + (frame[at] & 15) * 4
    elif version == 6 and frame[at + 6] == 17:
        client, udp = ":".join(f"{x:x}" for x in struct.unpack_from("!8H", frame, at + 8)), at + 40
    else:
        return None
    if struct.unpack_from("!H", frame, udp + 2)[0] != 53 or frame[udp + 10] & 0x80:
        return None
    at, labels = udp + 20, []
    while frame[at]:
        labels.append(frame[at + 1:at + 1 + frame[at]].decode("utf-8", "replace"))
        at += 1 + frame[at]
    return client, ".".join(labels)


def windows_of(path, rules):
    """(client, domain, window) -> [queries, set of what stands in front of the domain]; and how many queries there are."""
    data, found, queries = path.read_bytes(), {}, 0
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    for seconds, link, frame in frames(data):
        try:
            asked = question(frame, link)
        except (IndexError, struct.error):
            asked = None
        if asked is None:
            continue
        queries += 1
        domain, subdomain = split_name(asked[1], rules)
        if domain:
            held = found.setdefault((asked[0], domain, int(seconds // WINDOW_SECONDS)), [0, set()])
            held[0] += 1
            held[1].add(subdomain)
    return found, queries


def alerts_of(binary, path, more):
    """The last form of each alert: (rule, client, domain, first second, last second)."""
    run = subprocess.run([binary, "replay", str(path), "--format", "ecs", "--quiet", *more], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"dns_tunnel: {path}: {run.stderr}")
    last = {}
    for line in run.stdout.splitlines():
        document = json.loads(line)
        last[document["event"]["id"]] = document
    instant = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    for alert in last.values():
        entity = alert["stakeout"]["entity"]
        clients = {entity.get("source.ip")} if "source.ip" in entity else set(alert["related"].get("ip", []))
        yield (alert["rule"]["id"], clients, entity.get("dns.question.registered_domain"),
               instant(alert["event"]["start"]), instant(alert["event"]["end"]))


def covered(window, alerts):
    client, domain, number = window
    begin, end = number * WINDOW_SECONDS, (number + 1) * WINDOW_SECONDS
    return any(client in who and what == domain and first < end and last >= begin for _, who, what, first, last in alerts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/stakeout")
    parser.add_argument("--no-budget", action="store_true")
    parser.add_argument("--queries-min", type=int, default=20)
    parser.add_argument("--tunnels", nargs="*", type=pathlib.Path)
    parser.add_argument("--benign", nargs="*", type=pathlib.Path)
    options = parser.parse_args()
    reference = os.environ.get("STAKEOUT_REFERENCE_DATA")
    if options.tunnels is None and options.benign is None:
        if not reference:
            sys.exit("dns_tunnel: skipped, STAKEOUT_REFERENCE_DATA is not set")
        options.tunnels = sorted(pathlib.Path(reference, "dns-tunnel").glob("tunnel-*"))
        options.benign = sorted(pathlib.Path(reference, "dns-tunnel").glob("normal-*"))
    rules, more = suffix_rules(), ["--no-budget"] if options.no_budget else []

    ordinary, names_bar, length_bar, told = set(), 0, 0, collections.Counter()
    total = 0
    for path in options.benign or []:
        found, queries = windows_of(path, rules)
        total += queries
        ordinary |= {domain for _, domain, _ in found}
        names_bar = max([names_bar] + [len(names) for _, names in found.values()])
        length_bar = max([length_bar] + [len(name) for _, names in found.values() for name in names])
        told.update(rule for rule, *_ in alerts_of(options.binary, path, more))
    alerts = sum(told.values())
    print(f"benign: {total} queries, {alerts} alerts, {1e5 * alerts / max(total, 1):.1f} per 100,000 {dict(told) or ''}")

    print(f"| tunnel | windows with {options.queries_min} queries or more | covered | names > {names_bar} | length > {length_bar} | fewer queries |")
    print("| --- | --- | --- | --- | --- | --- |")
    for path in options.tunnels or []:
        found, _ = windows_of(path, rules)
        alerts = list(alerts_of(options.binary, path, more))
        tunnel = {window: held for window, held in found.items() if window[1] not in ordinary}
        full = {window: held for window, held in tunnel.items() if held[0] >= options.queries_min}
        few = [window for window in tunnel if window not in full]
        missed = [window for window in full if not covered(window, alerts)]
        by_names = sum(len(names) > names_bar for _, names in full.values())
        by_length = sum(max(map(len, names)) > length_bar for _, names in full.values())
        print(f"| {path.name} | {len(full)} | {len(full) - len(missed)} | {by_names} | {by_length} | "
              f"{sum(covered(window, alerts) for window in few)} of {len(few)} |")
        for window in missed:
            print(f"  missed: {window[0]} at {datetime.datetime.fromtimestamp(window[2] * WINDOW_SECONDS, datetime.timezone.utc)}, "
                  f"{full[window][0]} queries, {len(full[window][1])} names")


if __name__ == "__main__":
    main()
