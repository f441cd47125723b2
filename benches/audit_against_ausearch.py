#!/usr/bin/env python3
"""Holds the decoder of Linux audit against `ausearch -i` on real logs.

  audit_against_ausearch.py [--decode PROGRAM] [--differences N] [LOG ...]

Without logs it takes those of fixtures/. PROGRAM is the example `decode` (built with `cargo build --release --example
decode`). Compared are, event by event: the login's user and the effective user, the program's name and executable, the
system call and whether it succeeded, the rule's key, the command's arguments, and the file: its path as the kernel tells it,
made absolute with the working directory that it tells. Names relative to an open folder, which ausearch leaves as they are,
are counted apart: their last part must be equal, and how many have a folder's path is told. Each difference is printed; the
exit status is 1 where there is one.
"""
import argparse
import collections
import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
# What the decoder keeps of a command.
ARGUMENTS_MAX = 64
HEAD = re.compile(r"^(?:node=(\S+) )?type=(\S+) msg=audit\((.+?):(\d+)\) : ?(.*)$")
DELETED = {"rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir"}
# Calls whose event names what was made, where they made it.
FILE_CALLS = DELETED | {"open", "openat", "openat2", "creat", "truncate", "chmod", "fchmodat", "chown", "fchownat", "lchown", "mkdir", "mkdirat",
                        "utimensat", "setxattr", "lsetxattr", "removexattr", "lremovexattr", "symlink", "symlinkat", "link", "linkat"}


def pairs(text):
    """`key=value` as `ausearch -i` writes them: a value lasts until the next ` key=`."""
    found = re.finditer(r"(?:^| )([A-Za-z_][\w\[\]-]*)=(.*?)(?= [A-Za-z_][\w\[\]-]*=|$)", text)
    return [(match[1], match[2].strip()) for match in found]


def events_of_ausearch(path):
    """Serial number to the records of its event: (kind, pairs)."""
    done = subprocess.run(["ausearch", "-i", "-if", path], capture_output=True, check=False)
    events = collections.OrderedDict()
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        match = HEAD.match(line)
        if match:
            events.setdefault(int(match[4]), []).append((match[2], match[5]))
    return events


def absolute(directory, name):
    return os.path.normpath(name if name.startswith("/") else f"{directory}/{name}").replace("//", "/")


def arguments(text):
    """The command's arguments with blanks between. Their text may hold anything, so they are cut at ` a1=`, ` a2=` in order."""
    _, _, rest = text.partition(" a0=")
    words, number = [], 1
    while f" a{number}=" in rest:
        word, _, rest = rest.partition(f" a{number}=")
        words.append(word)
        number += 1
    return " ".join([*words, rest.removesuffix(" ")])


def is_relative_to_a_folder(name, call):
    number = call.get("a1" if name == "symlinkat" else "a0", "")
    return name.endswith(("at", "at2")) and name != "creat" and number not in ("AT_FDCWD", "0xffffff9c", "0xffffffffffffff9c")


def unescaped(text):
    """ausearch writes control characters as `\\012`, and no quotes within arguments."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def facts_of_ausearch(records):
    facts = {}
    call = dict(pairs(next((text for kind, text in records if kind == "SYSCALL"), "")))
    if not call:
        return facts
    facts["user"] = call.get("auid") if call.get("auid") != "unset" else None
    facts["effective user"] = call.get("euid")
    facts["program"] = call.get("comm")
    facts["executable"] = call.get("exe")
    facts["call"] = call.get("syscall")
    facts["outcome"] = {"yes": "success", "no": "failure"}.get(call.get("success"))
    facts["key"] = None if call.get("key") in ("(null)", None) else call["key"]
    facts["arguments"] = next((arguments(text) for kind, text in records if kind == "EXECVE"), None)
    directory = next((dict(pairs(text)).get("cwd", "") for kind, text in records if kind == "CWD"), "")
    # ausearch writes an event's records backwards.
    paths = sorted((dict(pairs(text)) for kind, text in records if kind == "PATH"), key=lambda path: int(path["item"]))
    if facts["call"] in FILE_CALLS and paths:
        named = [path for path in paths if path.get("nametype") != "PARENT" and path.get("name") not in (None, "(null)")]
        if facts["call"] in DELETED:
            chosen = [path for path in named if path["nametype"] == "DELETE"] or named
        else:
            chosen = [path for path in named if path["nametype"] == "CREATE"][-1:] or named
        name = chosen[0]["name"] if chosen else None
        if name and not name.startswith("/") and is_relative_to_a_folder(facts["call"], call):
            # `.` is the folder itself.
            if os.path.basename(name) not in (".", ".."):
                facts["file in an open folder"] = os.path.basename(name)
                facts["working directory"] = directory
        else:
            facts["file"] = absolute(directory, name) if name else None
    return facts


def facts_of_decoder(event):
    def one(name):
        value = event.get(name)
        return value[0] if isinstance(value, list) else value
    facts = {"user": one("user.name"), "effective user": one("user.effective.name"), "program": one("process.name"), "executable": one("process.executable"),
             "call": one("auditd.data.syscall"), "key": one("auditd.key"), "file": one("file.path"),
             "outcome": one("event.outcome"), "arguments": one("process.command_line")}
    return facts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--decode", default=os.environ.get("CARGO_TARGET_DIR", str(HERE.parent / "target")) + "/release/examples/decode")
    parser.add_argument("--differences", type=int, default=20)
    parser.add_argument("logs", nargs="*")
    options = parser.parse_args()
    logs = options.logs or sorted(str(path) for path in (HERE.parent / "fixtures").glob("*/audit.log.gz"))
    equal, different = collections.Counter(), collections.Counter()
    missing = events = whole = cut = 0
    for log in logs:
        with tempfile.NamedTemporaryFile(suffix=".log") as plain:
            with (gzip.open(log) if log.endswith(".gz") else open(log, "rb")) as source:
                plain.write(source.read())
            plain.flush()
            theirs = events_of_ausearch(plain.name)
        decoded = subprocess.run([options.decode, log], capture_output=True, check=True).stdout.decode("utf-8", "replace").splitlines()
        ours = {event["event.sequence"]: event for event in map(json.loads, decoded[:-1])}
        for serial, records in theirs.items():
            facts = facts_of_ausearch(records)
            if not facts:
                continue
            events += 1
            if serial not in ours:
                missing += 1
                continue
            told = facts_of_decoder(ours[serial])
            told["file in an open folder"] = os.path.basename(told["file"] or "")
            directory = facts.pop("working directory", None)
            whole += directory is not None and told["file"] != absolute(directory, told["file in an open folder"])
            for what, value in facts.items():
                if what == "arguments" and value is not None:
                    value = unescaped(value)
                    if ours[serial].get("process.args_count", 0) > ARGUMENTS_MAX and value.startswith(told[what] + " "):
                        cut += 1
                        continue
                if value == told[what]:
                    equal[what] += 1
                    continue
                different[what] += 1
                if different[what] <= options.differences:
                    print(f"{pathlib.Path(log).parent.name} {serial} {what}: ausearch {value!r}, decoded {told[what]!r}")
    print(f"{len(logs)} logs, {events} events of system calls, {missing} of them not decoded, {cut} with more than {ARGUMENTS_MAX} arguments")
    print(f"names relative to an open folder that are told with the path of another folder than the working directory: {whole}")
    for what in ("user", "effective user", "program", "executable", "call", "outcome", "key", "arguments", "file", "file in an open folder"):
        print(f"{what}: {equal[what]} of {equal[what] + different[what]} equal")
    sys.exit(1 if missing or sum(different.values()) else 0)


if __name__ == "__main__":
    main()
