#!/usr/bin/env python3
"""`stakeout score --model sequence` on labelled sequences: learned from normal ones, beside trivial baselines.

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/sequences.py [STAKEOUT]

DIR holds host-seq: system calls of processes (ADFA-LD, the first part of its data set), sessions of HDFS and of
OpenStack. What is learned from, and the threshold, come from the normal training part alone: sequences are told whose
probability by calibration is at most one in a thousand, a score of 0.5. Labels are only read to count with. Skips with a
message when DIR is not set.

Trivial baselines: the number of tokens that were never seen, the length, the number of different tokens, and the
distance of the counts of tokens to the nearest sequence of the training part. Their thresholds are the highest value
of the training part, and for the last the highest among the training part's own others.
`oracle` is the best F1 that any judge of single sequences could have: it knows for each of the different sequences how
many are labelled.
"""
import collections, csv, gzip, io, json, os, statistics, subprocess, sys, tempfile

from tables import measures

SEEDS = range(1, 6)
TARGETS = {"adfa-ld": "ROC .95, recall at 1 % .40", "hdfs-100k": "F1 .90", "openstack": ""}


def sets(data):
    """For each set its name, the sequences to learn from, those to judge, and their labels."""
    train, test, labels = [], [], []
    with gzip.open(os.path.join(data, "host-seq", "adfa-ld_dev.tsv.gz"), "rt") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == "train":
                train.append(row["syscalls"].split())
            else:
                test.append(row["syscalls"].split())
                labels.append(row["label"].lower() != "normal")
    yield "adfa-ld", train, test, labels

    train, test, labels = [], [], []
    with gzip.open(os.path.join(data, "host-seq", "hdfs_100k_sessions.jsonl.gz"), "rt") as file:
        for line in file:
            session = json.loads(line)
            events = [event.replace(" ", "_") for event in session["events"]]
            if session["split"] == "train":
                train.append(events)
            else:
                test.append(events)
                labels.append(bool(session["label"]))
    yield "hdfs-100k", train, test, labels

    def read(part):
        with gzip.open(os.path.join(data, "host-seq", "openstack_kalaki_%s.txt.gz" % part), "rt") as file:
            return [line.strip().split(",")[1].split() for line in file if "," in line]

    normal, anomalous = read("test_normal"), read("test_abnormal")
    yield "openstack", read("train"), normal + anomalous, [False] * len(normal) + [True] * len(anomalous)


def write(path, sequences):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence"])
        writer.writerows([" ".join(sequence)] for sequence in sequences)
    return path


def trivial(train, test):
    """Scores and threshold of the trivial baselines, by name."""
    known = {token for sequence in train for token in sequence}
    simple = {
        "tokens never seen": lambda sequence: sum(token not in known for token in sequence),
        "length": len,
        "shortness": lambda sequence: -len(sequence),
        "few different tokens": lambda sequence: -len(set(sequence)),
    }
    for name, score in simple.items():
        yield name, [score(sequence) for sequence in test], max(map(score, train))
    counts = collections.Counter(frozenset(collections.Counter(sequence).items()) for sequence in train)

    def distance(sequence, alone=True):
        own = frozenset(collections.Counter(sequence).items())
        if counts[own] > (0 if alone else 1):
            return 0.0
        mine, best = dict(own), 1.0
        for other in counts:
            if other != own:
                other = dict(other)
                both = sum(min(count, other.get(token, 0)) for token, count in mine.items())
                best = min(best, 1 - both / (sum(mine.values()) + sum(other.values()) - both))
        return best

    memo = {}

    def once(sequence):
        key = tuple(sorted(sequence))
        if key not in memo:
            memo[key] = distance(sequence)
        return memo[key]

    highest = max(distance(sequence, alone=False) for sequence in train)
    yield "nearest counts", [once(sequence) for sequence in test], highest


def f1(told, labels):
    hits = sum(told and label for told, label in zip(told, labels))
    return 2 * hits / (sum(told) + sum(labels)), hits, sum(told) - hits


def oracle(test, labels):
    """The best F1 of any threshold on the share of labelled ones among equal sequences."""
    equal = collections.defaultdict(lambda: [0, 0])
    for sequence, label in zip(test, labels):
        equal[tuple(sequence)][label] += 1
    best, hits, told = 0.0, 0, 0
    for normal, labelled in sorted(equal.values(), key=lambda counts: -counts[1] / sum(counts)):
        hits, told = hits + labelled, told + normal + labelled
        best = max(best, 2 * hits / (told + sum(labels)))
    return best


def main():
    data = os.environ.get("STAKEOUT_REFERENCE_DATA")
    if not data:
        print("STAKEOUT_REFERENCE_DATA is not set: nothing to measure")
        return
    program = sys.argv[1] if len(sys.argv) > 1 else "target/release/stakeout"
    print("| data | what | ROC | PR | recall at 1 % | at 0.1 % | F1, hits, false | target |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, train, test, labels in sets(data):
            def put(what, runs):
                cells = []
                for figures in zip(*runs):
                    spread = statistics.pstdev(figures)
                    cells.append("%.3f%s" % (statistics.mean(figures), " ± %.3f" % spread if spread > 0 else ""))
                cells[-3:] = ["%s, %g, %g" % (cells[-3], *[statistics.mean(run[at] for run in runs) for at in (-2, -1)])]
                print("| %s | %s | %s | %s |" % (name, what, " | ".join(cells), TARGETS[name]), flush=True)

            files = [write(os.path.join(folder, part), rows) for part, rows in (("test.csv", test), ("train.csv", train))]
            runs = []
            for seed in SEEDS:
                command = [program, "score", files[0], "--train", files[1], "--model", "sequence", "--seed", str(seed)]
                output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
                scores = [float(row[-1]) for row in list(csv.reader(io.StringIO(output)))[1:]]
                runs.append((*measures(scores, labels), *f1([score >= 0.5 for score in scores], labels)))
            put("sequence", runs)
            for what, scores, threshold in trivial(train, test):
                put(what, [(*measures(scores, labels), *f1([score > threshold for score in scores], labels))])
            print("| %s | oracle | | | | | %.3f | %s |" % (name, oracle(test, labels), TARGETS[name]), flush=True)


if __name__ == "__main__":
    main()
