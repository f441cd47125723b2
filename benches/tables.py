#!/usr/bin/env python3
"""`stakeout score` on tables of rows: one-class, unsupervised and by labels, over five seeds, beside trivial baselines.

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/tables.py [STAKEOUT [SET...]]

DIR holds nsl-kdd (learned from the normal rows of the training part, or from all of it by its labels, judged on the half
of KDDTest+), http-params (learned from half of the normal values, alone or with the attacks of all types but one; judged
on the other half and the attacks of that type, or all; the halves are drawn anew for each seed), dga (families of
generated names in five groups and usual names in five parts, drawn anew for each seed; each group and part is judged by
what the other four taught) and adbench (three sets, each judged against itself). Skips with a message when it is not set.
Labels of judged rows are only read to count with. Trivial baselines: the number of columns that are not at their median
or commonest value, and the largest distance from the median in standard deviations; of texts their length, and the share
of characters that are no vowels.
"""
import csv, gzip, io, os, random, statistics, struct, subprocess, sys, tempfile, zipfile

ONE_CLASS = ["neighbours", "isolation_forest", "k_means", "gaussian_mixture", "dbscan"]
SEEDS = range(1, 6)
TARGETS = {
    "nsl-kdd": "ROC .96, recall at 1 % .60",
    "http-params": "recall at 0.1 % .80",
    "http-params, one type left out": "recall at 0.1 % .95",
    "dga, families left out": "ROC .97, recall at 0.1 % .60",
    "34_smtp": "PR .474",
    "32_shuttle": "PR .979",
    "23_mammography": "PR .422",
}


class Part:
    """What is judged by what: two files, which rows are strange (None for rows that don't count), what they are."""

    def __init__(self, judged, train, labels, labelled=False, names=None):
        self.judged, self.train, self.labels, self.labelled, self.names = judged, train, labels, labelled, names


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
    """For each set its name, its kinds of models, and a function from a seed to its parts."""
    def rows(*name):
        with gzip.open(os.path.join(data, *name), "rt", errors="replace") as file:
            return list(csv.reader(file))

    def write(name, header, lines):
        path = os.path.join(folder, name)
        with open(path, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(lines)
        return path

    header = ["f%02d" % column for column in range(41)]
    test = rows("nsl-kdd", "KDDTest+_dev_half.txt.gz")
    train = rows("nsl-kdd", "KDDTrain+_20Percent.txt.gz")
    judged = write("kdd-test.csv", header, [row[:41] for row in test])
    normal = write("kdd-normal.csv", header, [row[:41] for row in train if row[41] == "normal"])
    labelled = write("kdd-train.csv", header + ["class"], [row[:42] for row in train])
    strange = [row[41] != "normal" for row in test]
    known = {row[41] for row in train}
    unknown = [None if row[41] in known and row[41] != "normal" else row[41] != "normal" for row in test]
    yield "nsl-kdd", ONE_CLASS, lambda seed: [Part(judged, normal, strange)]
    yield "nsl-kdd, by labels", ["random_forest"], lambda seed: [Part(judged, labelled, strange, True)]
    yield "nsl-kdd, by labels, attacks of other types", ["random_forest", "neighbours"], lambda seed: [
        Part(judged, labelled, unknown, True)
    ]

    payloads = rows("http-params", "payload_train.csv.gz")[1:]
    normal_values = [row[0] for row in payloads if row[3] == "norm"]
    attacks = [(row[2], row[0]) for row in payloads if row[3] != "norm"]
    types = sorted({kind for kind, _ in attacks})

    def halves(seed, left_out=None):
        drawn = random.Random(seed).sample(normal_values, len(normal_values))
        train, rest = drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]
        judged = [text for kind, text in attacks if left_out in (None, kind)]
        lines = [[text, "norm"] for text in train]
        if left_out:
            lines += [[text, kind] for kind, text in attacks if kind != left_out]
        return Part(
            write("payloads.csv", ["payload"], [[text] for text in rest + judged]),
            write("payloads-train.csv", ["payload", "class"], lines),
            [False] * len(rest) + [True] * len(judged),
            True,
        )

    yield "http-params", ONE_CLASS, lambda seed: [halves(seed)]
    for kind in types:
        yield "http-params, one type left out: " + kind, ["characters", "neighbours"], lambda seed, kind=kind: [halves(seed, kind)]

    names = rows("dga", "domains_dev.csv.gz")[1:]
    families = sorted({row[1] for row in names if row[0] == "dga"})

    def groups(seed):
        draw = random.Random(seed)
        shuffled = draw.sample(families, len(families))
        group = {family: place % 5 for place, family in enumerate(shuffled)}
        usual = [row for row in names if row[0] != "dga"]
        part_of = {id(row): place % 5 for place, row in enumerate(draw.sample(usual, len(usual)))}
        for part in range(5):
            def inside(row):
                return (group[row[1]] if row[0] == "dga" else part_of[id(row)]) == part
            judged = [row for row in names if inside(row)]
            yield Part(
                write("names.csv", ["domain"], [[row[2]] for row in judged]),
                write("names-train.csv", ["domain", "class"], [[row[2], row[0]] for row in names if not inside(row)]),
                [row[0] == "dga" for row in judged],
                True,
                [row[1] for row in judged],
            )

    yield "dga, families left out", ["characters", "neighbours"], groups

    for name in ["34_smtp", "32_shuttle", "23_mammography"]:
        values, labels = read_npz(os.path.join(data, "adbench", name + ".npz"))
        header = ["x%d" % column for column in range(len(values[0]))]
        table = write(name + ".csv", header, [[repr(cell) for cell in row] for row in values])
        yield name, ONE_CLASS, lambda seed, table=table, labels=labels: [Part(table, None, labels)]


def trivial(judged, train):
    """Scores of the trivial baselines, by name."""
    def read(path):
        with open(path, newline="") as file:
            rows = list(csv.reader(file))[1:]
        return list(zip(*rows))

    columns = read(judged)
    learned = read(train or judged)[: len(columns)]
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
                vowels = lambda cell: sum(character in "aeiouAEIOU" for character in cell)
                return {
                    "length": [len(cell) for cell in cells],
                    "no vowels": [1 - vowels(cell) / max(1, len(cell)) for cell in cells],
                }
            usual = statistics.mode(known)
            for row, cell in enumerate(cells):
                unusual[row] += cell != usual
    return {"columns not usual": unusual, "largest deviation": far}


def score(program, part, kind, seed):
    """The scores of a part's judged rows."""
    command = [program, "score", part.judged, "--model", kind, "--seed", str(seed)]
    command += ["--train", part.train] if part.train else []
    command += ["--label", "class"] if part.labelled else []
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    return [float(row[-1]) for row in list(csv.reader(io.StringIO(output)))[1:]]


def counted(scores, labels):
    """The measures of the rows that count."""
    pairs = [(score, label) for score, label in zip(scores, labels) if label is not None]
    return measures([score for score, _ in pairs], [label for _, label in pairs])


def put(name, what, runs):
    cells = []
    for figures in zip(*runs):
        mean = statistics.mean(figures)
        spread = " ± %.3f" % statistics.stdev(figures) if len(figures) > 1 else ""
        cells.append("%.3f%s" % (mean, spread))
    print("| %s | %s | %s | %s |" % (name, what, " | ".join(cells), TARGETS.get(name.split(":")[0], "")), flush=True)


def put_families(runs):
    """Recall by family at several rates of false alarms, of the pooled scores of each seed."""
    rates = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1]
    print("\n| family left out | ROC | " + " | ".join("recall at %g %%" % (100 * rate) for rate in rates) + " |")
    print("| --- " * (len(rates) + 2) + "|")
    families = sorted({name for _, labels, names in runs for label, name in zip(labels, names) if label})
    for family in families + ["all"]:
        cells = []
        for scores, labels, names in runs:
            normal = sorted((score for score, label in zip(scores, labels) if not label), reverse=True)
            found = [score for score, label, name in zip(scores, labels, names) if label and family in (name, "all")]
            roc = measures(normal + found, [False] * len(normal) + [True] * len(found))[0]
            bars = [normal[int(rate * len(normal))] for rate in rates]
            cells.append([roc] + [sum(score > bar for score in found) / len(found) for bar in bars])
        means = [statistics.mean(figures) for figures in zip(*cells)]
        print("| %s | %s |" % (family, " | ".join("%.3f" % mean for mean in means)), flush=True)


def main():
    data = os.environ.get("STAKEOUT_REFERENCE_DATA")
    if not data:
        print("STAKEOUT_REFERENCE_DATA is not set: nothing to measure")
        return
    program = sys.argv[1] if len(sys.argv) > 1 else "target/release/stakeout"
    wanted = sys.argv[2:]
    print("| data | what | ROC | PR | recall at 1 % | at 0.1 % | target |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    families = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kinds, drawn in sets(data, folder):
            if wanted and not any(name.startswith(start) for start in wanted):
                continue
            for kind in kinds:
                runs = []
                for seed in SEEDS:
                    scores, labels, names = [], [], []
                    for part in drawn(seed):
                        scores += score(program, part, kind, seed)
                        labels += part.labels
                        names += part.names or []
                    runs.append(counted(scores, labels))
                    if names and kind == "characters":
                        families.append((scores, labels, names))
                put(name, kind, runs)
            pooled = {}
            for part in drawn(SEEDS[0]):
                for what, scores in trivial(part.judged, part.train).items():
                    both = pooled.setdefault(what, ([], []))
                    both[0].extend(scores)
                    both[1].extend(part.labels)
            for what, (scores, labels) in pooled.items():
                put(name, what, [counted(scores, labels)])
    if families:
        put_families(families)


if __name__ == "__main__":
    main()
