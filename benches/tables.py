#!/usr/bin/env python3
"""`stakeout score` on tables of labelled rows: one-class and unsupervised, over five seeds, beside trivial baselines.

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/tables.py [STAKEOUT]

DIR holds nsl-kdd (learned from the normal rows of the training part, judged on the half of KDDTest+), http-params (learned
from half of the normal values, judged on the other half and all attacks; the halves are drawn anew for each seed) and
adbench (three sets, each judged against itself). Skips with a message when it is not set. Labels are only read to count with. Trivial
baselines: the number of columns that are not at their median or commonest value, and the largest distance from the
median in standard deviations; of texts their length.
"""
import csv, gzip, io, os, random, statistics, struct, subprocess, sys, tempfile, zipfile

KINDS = ["neighbours", "isolation_forest"]
SEEDS = range(1, 6)
TARGETS = {"nsl-kdd": "ROC .96, recall at 1 % .60", "http-params": "recall at 0.1 % .80", "34_smtp": "PR .474", "32_shuttle": "PR .979", "23_mammography": "PR .422"}


def measures(scores, labels):
    """ROC area, PR area (average precision), and recall at false-alarm rates of 1 % and 0.1 %. Equal scores share a rank."""
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    positives = sum(labels)
    negatives = len(labels) - positives
    hits = falses = 0
    roc = precision = 0.0
    recall = {0.01: 0.0, 0.001: 0.0}
    place = 0
    while place < len(order):
        end, more_hits, more_falses = place, 0, 0
        while end < len(order) and scores[order[end]] == scores[order[place]]:
            more_hits += labels[order[end]]
            more_falses += not labels[order[end]]
            end += 1
        roc += more_falses * (hits + more_hits / 2)
        hits, falses, place = hits + more_hits, falses + more_falses, end
        precision += more_hits / positives * hits / (hits + falses)
        for rate in recall:
            if falses <= rate * negatives:
                recall[rate] = hits / positives
    return roc / positives / negatives, precision, recall[0.01], recall[0.001]


def read_npz(path):
    """The arrays X and y of a NumPy archive, with nothing but the standard library."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            raw = archive.read(name)
            length = struct.unpack("<H", raw[8:10])[0]
            header = eval(raw[10 : 10 + length], {"__builtins__": {}})
            code = {"<f8": "d", "<i8": "q", "<i4": "i", "<i2": "h", "|i1": "b", "<f4": "f", "|u1": "B", "|b1": "?"}[header["descr"]]
            body = raw[10 + length :]
            values = struct.unpack("<%d%s" % (len(body) // struct.calcsize(code), code), body)
            rows = header["shape"][0]
            width = len(values) // rows
            if header["fortran_order"]:
                arrays[name[:-4]] = [values[row::rows] for row in range(rows)]
            else:
                arrays[name[:-4]] = [values[at : at + width] for at in range(0, len(values), width)]
    return arrays["X"], [bool(row[0]) for row in arrays["y"]]


def sets(data, folder):
    """For each set its name and a function from a seed to the file to judge, the file to learn from or None, labels."""
    def rows(name):
        with gzip.open(os.path.join(data, "nsl-kdd", name), "rt") as file:
            return list(csv.reader(file))

    def write(name, header, lines):
        path = os.path.join(folder, name)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(lines)
        return path

    header = ["f%02d" % column for column in range(41)]
    test = rows("KDDTest+_dev_half.txt.gz")
    train = [row[:41] for row in rows("KDDTrain+_20Percent.txt.gz") if row[41] == "normal"]
    kdd = (
        write("kdd-test.csv", header, [row[:41] for row in test]),
        write("kdd-train.csv", header, train),
        [row[41] != "normal" for row in test],
    )
    yield "nsl-kdd", lambda seed: kdd

    with gzip.open(os.path.join(data, "http-params", "payload_train.csv.gz"), "rt", errors="replace") as file:
        payloads = list(csv.DictReader(file))
    normal = [row["payload"] for row in payloads if row["label"] == "norm"]
    attacks = [row["payload"] for row in payloads if row["label"] != "norm"]

    def halves(seed):
        drawn = random.Random(seed).sample(normal, len(normal))
        train, rest = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
        return (
            write("payloads.csv", ["payload"], [[text] for text in rest + attacks]),
            write("payloads-train.csv", ["payload"], [[text] for text in train]),
            [False] * len(rest) + [True] * len(attacks),
        )

    yield "http-params", halves
    for name in ["34_smtp", "32_shuttle", "23_mammography"]:
        values, labels = read_npz(os.path.join(data, "adbench", name + ".npz"))
        header = ["x%d" % column for column in range(len(values[0]))]
        judged = write(name + ".csv", header, [[repr(cell) for cell in row] for row in values])
        yield name, lambda seed, judged=judged, labels=labels: (judged, None, labels)


def trivial(judged, train):
    """Scores of the trivial baselines, by name."""
    def read(path):
        with open(path, newline="") as file:
            rows = list(csv.reader(file))[1:]
        return list(zip(*rows))

    learned, columns = read(train or judged), read(judged)
    unusual, far = [0] * len(columns[0]), [0.0] * len(columns[0])
    for known, cells in zip(learned, columns):
        try:
            numbers = [float(cell) for cell in known]
            middle, spread = statistics.median(numbers), statistics.pstdev(numbers) or 1.0
            for row, cell in enumerate(cells):
                unusual[row] += float(cell) != middle
                far[row] = max(far[row], abs(float(cell) - middle) / spread)
        except ValueError:
            if len(columns) == 1:
                return {"length": [len(cell) for cell in cells]}
            usual = statistics.mode(known)
            for row, cell in enumerate(cells):
                unusual[row] += cell != usual
    return {"columns not usual": unusual, "largest deviation": far}


def main():
    data = os.environ.get("STAKEOUT_REFERENCE_DATA")
    if not data:
        print("STAKEOUT_REFERENCE_DATA is not set: nothing to measure")
        return
    program = sys.argv[1] if len(sys.argv) > 1 else "target/release/stakeout"
    print("| data | what | ROC | PR | recall at 1 % | at 0.1 % | target |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for name, drawn in sets(data, folder):
            def put(what, runs):
                cells = []
                for figures in zip(*runs):
                    mean = statistics.mean(figures)
                    spread = " ± %.3f" % statistics.stdev(figures) if len(figures) > 1 else ""
                    cells.append("%.3f%s" % (mean, spread))
                print("| %s | %s | %s | %s |" % (name, what, " | ".join(cells), TARGETS[name]), flush=True)

            for kind in KINDS:
                runs = []
                for seed in SEEDS:
                    judged, train, labels = drawn(seed)
                    command = [program, "score", judged, "--model", kind, "--seed", str(seed)]
                    command += ["--train", train] if train else []
                    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
                    scores = [float(row[-1]) for row in list(csv.reader(io.StringIO(output)))[1:]]
                    runs.append(measures(scores, labels))
                put(kind, runs)
            for what, scores in trivial(judged, train).items():
                put(what, [measures(scores, labels)])


if __name__ == "__main__":
    main()
