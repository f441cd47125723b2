#!/usr/bin/env python3
"""The isolation forest beside scikit-learn's: rows a CPU second, and whether the two find the same, in one run on one set of rows.

Usage: benches/forest.py [STAKEOUT]

20 columns (10 normal, 6 log-normal, 4 Poisson), 100,000 rows to learn from, 300,000 to judge of which 1 % are moved; 100
trees of 256 rows each. What judging costs is CPU time without reading: score_samples on an array in memory, and what `stakeout
evaluate` measures of its model. Below, the whole programs: reading CSV, learning or loading, judging, writing. Needs NumPy
and scikit-learn; skips with a message where they are not. Both use one thread.
"""
import json, os, resource, subprocess, sys, tempfile, time

os.environ.setdefault("OMP_NUM_THREADS", "1")
LEARNED, JUDGED, TURNS = 100_000, 300_000, 3
PEER = """
import sys, numpy as np
from sklearn.ensemble import IsolationForest
read = lambda path: np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(20))
model = IsolationForest(n_estimators=100, max_samples=256, random_state=1, n_jobs=1).fit(read(sys.argv[1]))
np.savetxt(sys.argv[3], -model.score_samples(read(sys.argv[2])), fmt="%.9f")
"""


def cpu_seconds(command):
    """CPU seconds of a program and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    try:
        import numpy as np
        from sklearn.ensemble import IsolationForest
        from sklearn.metrics import roc_auc_score
    except ImportError as error:
        print(f"{error}: nothing to measure")
        return
    program = sys.argv[1] if len(sys.argv) > 1 else "target/release/stakeout"
    draw = np.random.default_rng(7)
    rows = np.hstack([draw.normal(size=(JUDGED, 10)), draw.lognormal(size=(JUDGED, 6)), draw.poisson(3, size=(JUDGED, 4))])
    moved = draw.choice(JUDGED, JUDGED // 100, replace=False)
    rows[moved, :6] += 2.2
    rows[moved, 10] *= 4
    bad = np.zeros(JUDGED, bool)
    bad[moved] = True
    learned = rows[:LEARNED]
    with tempfile.TemporaryDirectory() as folder:
        place = lambda name: os.path.join(folder, name)
        header = ",".join("x%d" % column for column in range(20)) + ",class\n"
        for name, count in [("learned.csv", LEARNED), ("judged.csv", JUDGED)]:
            with open(place(name), "w") as file:
                file.write(header)
                for row, is_bad in zip(rows[:count], bad):
                    file.write(",".join("%.9g" % cell for cell in row) + (",bad\n" if is_bad else ",normal\n"))

        models = ["--models", place("models")]
        train = [program, "train", place("learned.csv"), "--name", "forest", "--model", "isolation_forest", "--trials", "1", "--hold-out", "0"]
        columns = [word for column in range(20) for word in ("--value", "x%d" % column)]
        subprocess.run(train + columns + models, check=True, stdout=subprocess.DEVNULL, timeout=600)
        evaluate = [program, "evaluate", place("judged.csv"), "--model", "forest@1", "--label", "class", "--json", place("report.json")]
        forest = IsolationForest(n_estimators=100, max_samples=256, random_state=1, n_jobs=1).fit(learned)
        ours, theirs = [], []
        for _ in range(TURNS):
            subprocess.run(evaluate + models, check=True, stdout=subprocess.DEVNULL, timeout=600)
            report = json.load(open(place("report.json")))
            ours.append(1e6 / report["cost"]["microseconds_a_row"])
            begun = time.process_time()
            scores = -forest.score_samples(rows)
            theirs.append(JUDGED / (time.process_time() - begun))
        score = [program, "score", place("judged.csv"), "--train", place("learned.csv"), "--model", "isolation_forest", "-o", place("scored.csv")]
        whole = cpu_seconds(score + columns)
        peer = cpu_seconds([sys.executable, "-c", PEER, place("learned.csv"), place("judged.csv"), place("peer.csv")])
    middle = lambda figures: sorted(figures)[len(figures) // 2]
    print("| program | judging: rows a CPU second | ROC area | whole program: CPU s |")
    print("| --- | --- | --- | --- |")
    print("| stakeout | %.0f k | %.4f | %.1f |" % (middle(ours) / 1e3, report["roc_area"], whole))
    print("| scikit-learn | %.0f k | %.4f | %.1f |" % (middle(theirs) / 1e3, roc_auc_score(bad, scores), peer))
    print("| times | %.1f | | %.1f |" % (middle(ours) / middle(theirs), peer / whole))


if __name__ == "__main__":
    main()
