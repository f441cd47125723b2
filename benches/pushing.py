"""Senders of bulk requests at a steady rate, a process each. Not a bench itself."""

import http.client
import multiprocessing
import time


def stamp(seconds):
    """A time as documents write it, to the microsecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1e6):06}Z"


def login(at, source, user, host, outcome):
    """A login as a document with its action; `at` may be a mark to be replaced."""
    return (
        '{"create":{"_index":"logs"}}\n'
        f'{{"@timestamp":"{at}","event":{{"category":"authentication","outcome":"{outcome}"}},'
        f'"user":{{"name":"{user}"}},"source":{{"ip":"{source}"}},"host":{{"name":"{host}"}}}}\n'
    )


def push(address, make, worker, every, until, answers):
    """Sends what `make` gives at each turn, and sends again what was not taken. A turn that is late is made up for."""
    connection = http.client.HTTPConnection(address, timeout=60)
    documents, again, late, slowest = 0, 0, 0.0, 0.0
    turn, begin = 0, time.time()
    while (now := time.time()) < until:
        due = begin + turn * every
        if now < due:
            time.sleep(due - now)
        late = max(late, time.time() - due)
        body, count = make(worker, turn)
        begun = time.time()
        while True:
            connection.request("POST", "/_bulk", body, {"Content-Type": "application/x-ndjson"})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200 and b'"errors":false' in text[:80]:
                break
            if answer.status not in (429, 503):
                raise SystemExit(f"answered {answer.status}: {text[:200]}")
            again += 1
            time.sleep(0.05)
        slowest = max(slowest, time.time() - begun)
        documents += count
        turn += 1
    answers.put({"documents": documents, "again": again, "late": late, "slowest": slowest})


class Senders:
    """So many processes that send together what `make(worker, turn)` gives: a body, and how many documents it holds."""

    def __init__(self, address, make, clients, every, seconds):
        self.answers = multiprocessing.Queue()
        until = time.time() + seconds
        self.processes = [
            multiprocessing.Process(target=push, args=(address, make, worker, every, until, self.answers))
            for worker in range(clients)
        ]
        for process in self.processes:
            process.start()

    def alive(self):
        return any(process.is_alive() for process in self.processes)

    def finish(self):
        """Waits for the senders, and gives documents acknowledged, requests sent again, and the worst delays."""
        found = [self.answers.get() for _ in self.processes]
        for process in self.processes:
            process.join()
        sums = {key: sum(one[key] for one in found) for key in ("documents", "again")}
        return sums | {key: max(one[key] for one in found) for key in ("late", "slowest")}
