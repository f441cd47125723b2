#!/usr/bin/env python3
"""Templates of messages: grouping accuracy on loghub's logs, and lines a CPU second, beside drain3 and the trivial ways.

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/templates.py [--binary PROGRAM] [--speed SSHD_LOG [--lines 100000] [--rounds 3]]

DIR holds loghub/SYSTEM/SYSTEM_2k.log_structured.csv.gz (logpai/loghub). The messages of a system are its column Content. A line is a
hit when the lines of its group are exactly those of its EventId; labels are only read after grouping, and nothing is set for a
system. Trivial: lines of as many words are one group; lines that are equal but for their digits are. drain3, if it is installed,
groups the same lines at its usual threshold.

SSHD_LOG is any log with a time of 16 characters in front, which is taken off. drain3's loop alone is timed, of stakeout the
process's whole CPU time, its start, reading and listing included; both in turn, so many rounds.
"""
import argparse, collections, csv, gzip, logging, os, pathlib, re, resource, statistics, subprocess, sys, tempfile, time


def grouping_accuracy(groups, truth):
    """The share of lines whose group has exactly the lines of their event."""
    found, wanted = collections.defaultdict(list), collections.defaultdict(list)
    for line, (group, event) in enumerate(zip(groups, truth)):
        found[group].append(line)
        wanted[event].append(line)
    exact = set(map(tuple, wanted.values()))
    return sum(len(lines) for lines in found.values() if tuple(lines) in exact) / len(truth)


def written(lines):
    """A file of these lines."""
    file = tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", newline="")
    file.write("".join(line + "\n" for line in lines))
    file.flush()
    return file


def ids(binary, lines):
    with written(lines) as file:
        run = subprocess.run([binary, "templates", "--lines", file.name], capture_output=True, text=True, check=True)
    groups = run.stdout.split()
    assert len(groups) == len(lines), (len(groups), len(lines))
    return groups


def drain():
    """A function that gives the group of a line, or nothing where drain3 is not installed."""
    try:
        from drain3 import TemplateMiner
        from drain3.template_miner_config import TemplateMinerConfig
    except ImportError:
        return None
    logging.disable(logging.CRITICAL)
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    miner = TemplateMiner(config=config)
    return lambda line: miner.add_log_message(line)["cluster_id"]


def accuracy(binary, root):
    rows, names = [], ["Stakeout", "drain3", "equal but for digits", "as many words"]
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        text = gzip.open(folder / f"{folder.name}_2k.log_structured.csv.gz", "rt", encoding="utf-8", newline="")
        table = list(csv.DictReader(text))
        lines, truth = [row["Content"] for row in table], [row["EventId"] for row in table]
        group = drain()
        ways = [ids(binary, lines), list(map(group, lines)) if group else None,
                [re.sub(r"\d+", "0", line) for line in lines], [len(line.split()) for line in lines]]
        rows.append((folder.name, [grouping_accuracy(way, truth) if way else None for way in ways]))
    show = lambda share: "" if share is None else f"{share:.3f}"
    print("| system | " + " | ".join(names) + " |\n|" + " --- |" * (len(names) + 1))
    for name, shares in rows:
        print(f"| {name} | " + " | ".join(map(show, shares)) + " |")
    columns = [[share for share in column if share is not None] for column in zip(*(shares for _, shares in rows))]
    print("| mean, least | " + " | ".join(f"{statistics.mean(c):.3f}, {min(c):.3f}" if c else "" for c in columns) + " |")


def speed(binary, log, count, rounds):
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip("\n")[16:] for _, line in zip(range(count), file)]
    ours, theirs = [], []
    with written(lines) as file:
        for _ in range(rounds):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([binary, "templates", file.name], stdout=subprocess.DEVNULL, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            ours.append(len(lines) / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
            group = drain()
            if group:
                begin = time.process_time()
                for line in lines:
                    group(line)
                theirs.append(len(lines) / (time.process_time() - begin))
    told = lambda name, rates: f"{name} {statistics.median(rates):,.0f} lines a CPU second ({min(rates):,.0f} to {max(rates):,.0f})"
    print(f"{len(lines):,} lines, {rounds} rounds in turn: {told('Stakeout', ours)}")
    if theirs:
        print(f"{told('drain3', theirs)}: {statistics.median(ours) / statistics.median(theirs):.1f} times")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/stakeout")
    parser.add_argument("--speed", metavar="SSHD_LOG")
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    reference = os.environ.get("STAKEOUT_REFERENCE_DATA")
    if options.speed:
        speed(options.binary, options.speed, options.lines, options.rounds)
    if reference:
        accuracy(options.binary, pathlib.Path(reference, "loghub"))
    elif not options.speed:
        sys.exit("templates: skipped, STAKEOUT_REFERENCE_DATA is not set")


if __name__ == "__main__":
    main()
