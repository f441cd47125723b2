"""A service that a bench starts, asks and ends. Not a bench itself."""

import pathlib
import re
import signal
import subprocess
import time
import urllib.request


class Service:
    """`stakeout run` on the configuration of a folder; with `with`, ended by its own id."""

    def __init__(self, program, folder):
        self.began = time.time()
        self.said = folder / "said"
        with self.said.open("w") as said:
            self.child = subprocess.Popen([program, "run", "--config", folder / "stakeout.yaml"], stderr=said)
        self.address = None
        while self.address is None:
            if found := re.search(r"listen=(\S+)", self.said.read_text()):
                self.address = found[1]
            elif self.child.poll() is not None:
                raise SystemExit("the service ended: " + self.said.read_text()[-2000:])
            else:
                time.sleep(0.01)
        self.get("/readyz")
        self.ready_seconds, self.ready_cpu_seconds = time.time() - self.began, self.cpu_seconds()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.kill()

    def get(self, path):
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=60) as answer:
            return answer.read().decode()

    def metrics(self):
        """The sum over labels of each metric, and each with its labels."""
        found = {}
        for line in self.get("/metrics").splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                found[name] = float(value)
                if (bare := name.split("{")[0]) != name:
                    found[bare] = found.get(bare, 0) + float(value)
        return found

    def memory(self, key="VmRSS"):
        """Bytes that the process holds; the most that it ever held with `VmHWM`."""
        text = pathlib.Path(f"/proc/{self.child.pid}/status").read_text()
        return int(re.search(rf"{key}:\s+(\d+)", text)[1]) * 1024

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def wait_until(self, what, is_so, seconds=600):
        """Asks for the metrics until `is_so` of them, and gives these."""
        began = time.time()
        while not is_so(seen := self.metrics()):
            if time.time() - began > seconds or self.child.poll() is not None:
                raise SystemExit(f"waited in vain until {what}: " + self.said.read_text()[-2000:])
            time.sleep(0.1)
        return seen

    def kill(self):
        self.child.kill()
        self.child.wait()

    def terminate(self):
        """Ends it well, and gives how long that took."""
        began = time.time()
        self.child.send_signal(signal.SIGTERM)
        if (status := self.child.wait(120)) != 0:
            raise SystemExit(f"it ended with {status}: " + self.said.read_text()[-2000:])
        return time.time() - began


def load():
    """The machine's load of the last minute, to stand beside a figure."""
    return float(pathlib.Path("/proc/loadavg").read_text().split()[0])
