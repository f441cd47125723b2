#!/usr/bin/env python3
"""How soon a service with much state is ready again: `benches/restart.py [--program PATH] [--sources N]`.

Lets `stakeout run` follow a log of Zeek connections of so many distinct sources, each seen twice, with all shipped
detectors. Then it is ended by SIGTERM and started, then killed while its journal is as long as it gets and started, and
the time until `/readyz` answers is told with its memory before and after: what it holds (VmRSS) and the most that it held
since its start (VmHWM). Memory before is the least that it held within five seconds of the last event.

In between a detector is switched off and the configuration reloaded, while an event is pushed every 20 ms: an answer comes
once the event is judged and durable, so the slowest answer tells how long judging has waited.
"""

import argparse
import http.client
import pathlib
import signal
import tempfile
import threading
import time

from serving import Service, load

BEGIN = 1_772_409_600
# Just below where a snapshot is brought forward.
JOURNAL_BYTES = 55 << 20


def lines(number, sources):
    """The pass of a number: every source once, an hour long, the last line late enough to let the others go."""
    for source in range(sources):
        at = BEGIN + number * 3600 + source * 3500 / sources
        yield (
            f'{{"ts":{at:.6f},"uid":"C{number}x{source}","id.orig_h":"10.{source >> 16 & 255}.{source >> 8 & 255}.{source & 255}",'
            f'"id.orig_p":{40000 + source % 9000},"id.resp_h":"198.51.100.{source % 20}","id.resp_p":{443 if source % 3 else 53},'
            f'"proto":"tcp","conn_state":"SF","duration":0.1,"orig_bytes":{500 + source % 97 * 30},"resp_bytes":100,'
            f'"orig_pkts":5,"resp_pkts":5}}\n'
        )


def append(log, number, sources):
    with log.open("a") as file:
        batch = []
        for text in lines(number, sources):
            batch.append(text)
            if len(batch) == 10_000:
                file.write("".join(batch))
                batch.clear()
        file.write("".join(batch))


def settled(service):
    least = service.memory()
    for _ in range(50):
        time.sleep(0.1)
        least = min(least, service.memory())
    return least


def row(what, service, before):
    now = settled(service)
    entities = service.metrics()["stakeout_entities"]
    print(
        f"| {what} | {service.ready_seconds:.1f} s ({service.ready_cpu_seconds:.1f} of CPU) | {before / 1e6:.0f} MB | {now / 1e6:.0f} MB, {now / before:.2f} times "
        f"| {service.memory('VmHWM') / 1e6:.0f} MB, {service.memory('VmHWM') / before:.2f} times | {entities:,.0f} |",
        flush=True,
    )


def push(address, ended, slowest):
    """Pushes an event every 20 ms until it has ended, and notes the slowest answer."""
    connection = http.client.HTTPConnection(address, timeout=120)
    while not ended.is_set():
        begun = time.time()
        event = f'{{"@timestamp":{int(begun * 1000)},"user":{{"name":"reload"}},"event":{{"category":"authentication"}}}}\n'
        connection.request("POST", "/api/v1/events", event, {"Content-Type": "application/x-ndjson"})
        answer = connection.getresponse()
        answer.read()
        if answer.status >= 300:
            raise SystemExit(f"answered {answer.status}")
        slowest.append(time.time() - begun)
        time.sleep(0.02)


def reload(service, folder):
    """Switches a detector off, and tells how long that took and how long judging waited."""
    ended, before, during = threading.Event(), [], []
    for held, change in ((before, False), (during, True)):
        ended.clear()
        pushing = threading.Thread(target=push, args=(service.address, ended, held))
        pushing.start()
        time.sleep(2)
        if change:
            begun, said = time.time(), len(service.said.read_text())
            with (folder / "stakeout.yaml").open("a") as file:
                file.write("detectors: { user_unusual_hour: off }\n")
            service.child.send_signal(signal.SIGHUP)
            while "configuration reloaded" not in service.said.read_text()[said:]:
                if time.time() - begun > 120 or "not reloaded" in service.said.read_text()[said:]:
                    raise SystemExit("it was not reloaded: " + service.said.read_text()[-2000:])
                time.sleep(0.005)
            took = time.time() - begun
            time.sleep(1)
        ended.set()
        pushing.join()
    print(
        f"reload: taken up after {took:.2f} s; slowest of {len(during)} answers {max(during):.2f} s, "
        f"before it {max(before):.2f} s; memory {service.memory('VmHWM') / 1e6:.0f} MB at most; load {load():.1f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/stakeout")
    parser.add_argument("--sources", type=int, default=1_000_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        log = folder / "conn.log"
        (folder / "stakeout.yaml").write_text(
            f"data_dir: {folder}/data\nhttp: {{ listen: '127.0.0.1:0' }}\ninputs: {{ files: ['{log}'] }}\n"
            f"sinks: [{{ type: file, path: '{folder}/alerts' }}]\n"
        )
        append(log, 0, wanted.sources)
        append(log, 1, wanted.sources)
        with Service(wanted.program, folder) as service:
            # The last events wait until the input has been quiet.
            service.wait_until("both passes were judged", lambda seen: seen["stakeout_events_total"] >= 2 * wanted.sources)
            before, most, seen = settled(service), service.memory("VmHWM"), service.metrics()
            ended = service.terminate()
        state = sum(file.stat().st_size for file in (folder / "data").glob("state-*"))
        print(
            f"{seen['stakeout_entities']:,.0f} entities; {before / 1e6:.0f} MB of memory, {most / 1e6:.0f} MB at most; "
            f"state of {state / 1e6:.0f} MB; ended in {ended:.1f} s; load {load():.1f}"
        )
        print("| restart | ready in | memory before | after | at most | entities |")
        print("| --- | --- | --- | --- | --- | --- |")
        with Service(wanted.program, folder) as service:
            row("after SIGTERM", service, before)
            reload(service, folder)
            append(log, 2, wanted.sources)
            # The journal is at its longest where a snapshot is brought forward.
            longest = service.wait_until(
                "the journal was long", lambda seen: seen.get("stakeout_store_journal_bytes", 0) > JOURNAL_BYTES, 120
            )
            journal, before = longest["stakeout_store_journal_bytes"], service.memory()
            service.kill()
        with Service(wanted.program, folder) as service:
            row(f"after a kill, {journal / 1e6:.0f} MB in the journal", service, before)


if __name__ == "__main__":
    main()
