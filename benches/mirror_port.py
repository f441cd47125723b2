#!/usr/bin/env python3
"""A sensor on a mirror port: frames are sent through a switch's port that `tc` mirrors, once with Stakeout behind the
mirror and once with Suricata without signatures, and CPU seconds, losses and accounts are compared.

    sudo benches/mirror_port.py target/release/stakeout CAPTURE [--rate PPS] [--frames N]

Needs ip, tc, tcpreplay and, for the comparison, suricata. Everything happens in a network namespace of its own. Three
rounds in turn; a figure is the median. The rate is tcpreplay's highest unless it is given.
"""

import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
ROUNDS = 3


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True)


class Mirror:
    """sender sends to port; what comes to port is mirrored to tap, whose other end is the sensor's."""

    def __init__(self):
        self.name = f"stakeout-mirror-{os.getpid()}"

    def __enter__(self):
        run("ip", "netns", "add", self.name)
        self.inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        for one, other in (("sender", "port"), ("tap", "sensor")):
            self.inside("ip", "link", "add", one, "type", "veth", "peer", "name", other)
            self.inside("ip", "link", "set", one, "up")
            self.inside("ip", "link", "set", other, "up")
        self.inside("ip", "link", "set", "lo", "up")
        self.inside("tc", "qdisc", "add", "dev", "port", "clsact")
        self.inside(*"tc filter add dev port ingress protocol all prio 1 u32 match u32 0 0 action mirred egress mirror dev tap".split())
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)

    def inside(self, *command):
        return run("ip", "netns", "exec", self.name, *command)

    def start(self, *command, **options):
        return subprocess.Popen(["ip", "netns", "exec", self.name, *command], **options)

    def send(self, capture, rate):
        speed = f"--pps={rate}" if rate else "--topspeed"
        said = self.inside("tcpreplay", "-q", speed, "--preload-pcap", "-i", "sender", capture).stdout
        found = re.search(r"Actual: (\d+) packets.*in ([\d.]+) seconds", said)
        return int(found[1]), float(found[2])


def cpu_seconds(pid):
    """CPU seconds of a process so far, its threads included."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def settle(pid):
    """Waits until a process has nothing to do any more."""
    before = -1.0
    while cpu_seconds(pid) - before > 0.02:
        before = cpu_seconds(pid)
        time.sleep(1.0)


def with_stakeout(mirror, binary, capture, rate, folder):
    config = folder / "stakeout.yaml"
    config.write_text(
        "http: { listen: '127.0.0.1:9751' }\n"
        "inputs: { interfaces: [{ name: sensor, buffer_bytes: 268435456 }] }\n"
        f"sinks: [{{ type: file, path: '{folder}/alerts.json' }}]\n"
    )
    process = mirror.start(
        binary, "run", "--config", str(config), env={**os.environ, "STAKEOUT_DATA_DIR": str(folder / "data")},
        stderr=subprocess.DEVNULL,
    )
    time.sleep(2)
    idle = cpu_seconds(process.pid)
    sent, seconds = mirror.send(capture, rate)
    settle(process.pid)
    used = cpu_seconds(process.pid) - idle
    text = mirror.inside("curl", "-s", "http://127.0.0.1:9751/metrics").stdout
    metric = lambda name: sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))
    account = {
        "received": metric('stakeout_capture_packets_total{outcome="received"}'),
        "lost": metric('stakeout_capture_packets_total{outcome="lost_'),
        "accounted": sum(metric(f'stakeout_records_total{{outcome="{outcome}"}}') for outcome in ("decoded", "ignored", "refused")),
    }
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    return sent, seconds, used, account


def with_suricata(mirror, capture, rate, folder):
    config = folder / "suricata.yaml"
    config.write_text(
        "%YAML 1.1\n---\n"
        f"default-log-dir: {folder}\n"
        "stats: { enabled: yes, interval: 1 }\n"
        "outputs:\n"
        "  - eve-log: { enabled: yes, filetype: regular, filename: eve.json, types: [flow, dns, tls, http, ssh, stats] }\n"
        "af-packet:\n  - { interface: sensor, threads: 1, cluster-id: 99, cluster-type: cluster_flow, use-mmap: yes, tpacket-v3: yes, ring-size: 200000 }\n"
        "default-rule-path: /nowhere\nrule-files: []\n"
    )
    process = mirror.start(
        "suricata", "-c", str(config), "--af-packet=sensor", "-S", "/dev/null", "-l", str(folder),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    time.sleep(10)
    idle = cpu_seconds(process.pid)
    sent, seconds = mirror.send(capture, rate)
    settle(process.pid)
    used = cpu_seconds(process.pid) - idle
    process.send_signal(signal.SIGTERM)
    process.wait(120)
    last = [line for line in (folder / "eve.json").read_text().splitlines() if '"event_type":"stats"' in line][-1]
    drops = re.search(r'"kernel_drops":(\d+)', last)
    packets = re.search(r'"kernel_packets":(\d+)', last)
    return sent, seconds, used, {"received": int(packets[1]) if packets else None, "lost": int(drops[1]) if drops else 0}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("binary")
    arguments.add_argument("capture")
    arguments.add_argument("--rate", type=int, help="frames a second; as many as possible without it")
    given = arguments.parse_args()
    binary, capture = os.path.abspath(given.binary), os.path.abspath(given.capture)
    has_suricata = subprocess.run(["which", "suricata"], capture_output=True).returncode == 0
    used = {"stakeout": [], "suricata": []}
    with Mirror() as mirror:
        for number in range(ROUNDS):
            for name in ["stakeout"] + (["suricata"] if has_suricata else []):
                with tempfile.TemporaryDirectory() as folder:
                    folder = pathlib.Path(folder)
                    if name == "stakeout":
                        result = with_stakeout(mirror, binary, capture, given.rate, folder)
                    else:
                        result = with_suricata(mirror, capture, given.rate, folder)
                sent, seconds, cpu, account = result
                used[name].append(cpu)
                print(f"round {number + 1} {name}: sent {sent} in {seconds:.1f} s ({sent / seconds:,.0f}/s), "
                      f"{cpu:.2f} CPU s, {account}", flush=True)
    for name, seconds in used.items():
        if seconds:
            print(f"{name}: median {statistics.median(seconds):.2f} CPU s")
    if used["suricata"]:
        print(f"suricata / stakeout: {statistics.median(used['suricata']) / statistics.median(used['stakeout']):.1f}")


if __name__ == "__main__":
    main()
