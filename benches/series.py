#!/usr/bin/env python3
"""`stakeout score` on the Numenta Anomaly Benchmark: in sample, across families, backwards in time, beside trivial baselines.

Usage: STAKEOUT_REFERENCE_DATA=DIR benches/series.py [STAKEOUT]

DIR holds nab/data (numenta/NAB, MIT) and nab/labels/windows_dev.json. Skips with a message when it is not set. The rules
are NAB 1.1's: rows in the first 15 % of a file (750 at most) do not count; the earliest hit in a window earns a sigmoid
of its place; a hit outside costs 0.11 (low-FP 0.22), a missed window 1 (low-FN 2); 0 is silence, 100 is perfect.

Rows of the table:
- each method at its own fixed threshold (Stakeout: what the program calls worth telling; the baselines: the best one in
  hindsight over these very files, which favours them);
- `left out`: for each family of series the threshold is chosen on the other families and used on this one;
- `backwards`: the same files and windows with time reversed, at the same fixed threshold. Nothing was ever chosen to be
  good at single files there, though the structure of the method was chosen by looking at both directions;
- `spread`: the 5 % and 95 % quantiles over 1,000 bootstrap samples of files.
"""
import csv, gzip, json, math, os, random, resource, subprocess, sys, tempfile

PROFILES = {"standard": (0.11, 1.0), "low-FP": (0.22, 1.0), "low-FN": (0.11, 2.0)}
TELLING = 0.4
GRID = [0.30 + 0.01 * step for step in range(31)]


def sigmoid(place):
    return -1.0 if place > 3.0 else 2.0 / (1.0 + math.exp(5.0 * place)) - 1.0


def gains(rows, windows):
    """For each row that counts: what a hit there is worth, and which window it is in (or None)."""
    top, last, window, found = sigmoid(-1.0), None, 0, []
    skip = math.ceil(min(math.floor(0.15 * rows), 750))
    for row in range(rows):
        if window < len(windows) and windows[window][0] <= row:
            left, right = windows[window]
            width = right - left + 1.0
            found.append((sigmoid(-(right - row + 1) / width) / top, window))
            if row == right:
                last, window = (right, width), window + 1
        else:
            found.append((-1.0 if last is None else sigmoid((row - last[0]) / (last[1] - 1.0)), None))
    return skip, found


def points(series, scores, threshold):
    """Raw points over silence, and those of perfection, in each profile."""
    best, false = {}, 0.0
    for row in range(series["skip"], series["rows"]):
        if scores[row] >= threshold:
            gain, window = series["gains"][row]
            if window is None:
                false -= gain
            else:
                best[window] = max(gain, best.get(window, -2.0))
    counted = {w for _, w in series["gains"][series["skip"]:] if w is not None}
    everything, result = len(series["windows"]), {}
    for name, (cost, miss) in PROFILES.items():
        missed = miss * (len(counted) - len(best))
        result[name] = (sum(best.values()) - cost * false - missed + miss * everything, (1.0 + miss) * everything)
    return result


def total(parts):
    return {n: 100.0 * sum(p[n][0] for p in parts) / max(1e-9, sum(p[n][1] for p in parts)) for n in PROFILES}


def load(nab):
    labels = json.load(open(os.path.join(nab, "labels/windows_dev.json")))
    for name in sorted(labels):
        with gzip.open(os.path.join(nab, "data", name + ".gz"), "rt") as file:
            rows = [(row["timestamp"], float(row["value"])) for row in csv.DictReader(file)]
        place = {t: i for i, (t, _) in reversed(list(enumerate(rows)))}
        windows = [tuple(place[t.split(".")[0]] for t in w) for w in labels[name]]
        family = "artificial" if name.startswith("artificial") else name.split("/")[0]
        yield series_of(name, family, [v for _, v in rows], windows)


def series_of(name, family, values, windows):
    skip, gain = gains(len(values), windows)
    return {"name": name, "family": family, "values": values, "windows": windows, "rows": len(values), "skip": skip, "gains": gain}


def backwards(series):
    last = series["rows"] - 1
    windows = [(last - right, last - left) for left, right in reversed(series["windows"])]
    return series_of(series["name"], series["family"], series["values"][::-1], windows)


def stakeout(series):
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("value\n" + "".join(f"{value!r}\n" for value in series["values"]))
        file.flush()
        run = subprocess.run([binary, "score", file.name], capture_output=True, text=True, check=True)
    return [float(row["anomaly_score"]) for row in csv.DictReader(run.stdout.splitlines())]


def constant(series):
    return [0.5] * series["rows"]


def last_difference(series):
    """The step from the last value, in means of all earlier steps."""
    scores, mean, last = [], 0.0, None
    for row, value in enumerate(series["values"]):
        step = 0.0 if last is None else abs(value - last)
        scores.append(step / (step + 20.0 * mean) if mean > 0.0 and row > 100 else 0.0)
        mean, last = mean + (step - mean) / (row + 1), value
    return scores


def windowed_gaussian(series, window=1000):
    """How far out the value is in a normal distribution fitted to the last 1,000 values."""
    scores, total, squares, values = [], 0.0, 0.0, series["values"]
    for row, value in enumerate(values):
        count = min(row, window)
        z = 0.0
        if count > 100:
            spread = math.sqrt(max(squares / count - (total / count) ** 2, 0.0))
            z = abs(value - total / count) / spread if spread > 1e-9 else (6.0 if value != values[row - 1] else 0.0)
        scores.append(z / (z + 6.0))
        total, squares = total + value, squares + value * value
        if row >= window:
            total, squares = total - values[row - window], squares - values[row - window] ** 2
    return scores


def table_row(label, figures, spread=("", "", "")):
    print(f"| {label} | " + " | ".join(f"{figures[n]:.1f}{s}" for n, s in zip(PROFILES, spread)) + " |")


def left_out(all_series, at):
    """The threshold chosen on the other families, by standard and low-FP together; used on the one left out."""
    parts = []
    for family in sorted({s["family"] for s in all_series}):
        others = [i for i, s in enumerate(all_series) if s["family"] != family]
        worth = {t: total([at[t][i] for i in others]) for t in GRID}
        chosen = max(GRID, key=lambda t: worth[t]["standard"] + worth[t]["low-FP"])
        parts += [at[chosen][i] for i, s in enumerate(all_series) if s["family"] == family]
    return total(parts)


def bootstrap(parts, times=1000):
    chance, samples = random.Random(7), []
    for _ in range(times):
        sample = [chance.choice(parts) for _ in parts]
        if sum(p["standard"][1] for p in sample) > 0.0:
            samples.append(total(sample))
    quantile = lambda n, share: sorted(s[n] for s in samples)[int(share * len(samples))]
    return [f" ({quantile(n, 0.05):.0f} to {quantile(n, 0.95):.0f})" for n in PROFILES]


def measure(label, method, all_series, threshold=None):
    scores = [method(s) for s in all_series]
    at = {t: [points(s, x, t) for s, x in zip(all_series, scores)] for t in GRID}
    if threshold is None:
        threshold = max(GRID, key=lambda t: total(at[t])["standard"])
        label += f", best threshold in hindsight {threshold:.2f}"
    parts = [points(s, x, threshold) for s, x in zip(all_series, scores)]
    table_row(label, total(parts), bootstrap(parts))
    return scores, at, parts


reference = os.environ.get("STAKEOUT_REFERENCE_DATA")
if not reference:
    sys.exit("series: skipped, STAKEOUT_REFERENCE_DATA is not set")
binary = sys.argv[1] if len(sys.argv) > 1 else "target/release/stakeout"
forward = list(load(os.path.join(reference, "nab")))
reverse = [backwards(s) for s in forward]
rows = sum(s["rows"] for s in forward)

print(f"{len(forward)} series, {rows} rows, {sum(len(s['windows']) for s in forward)} windows\n")
print("| method | standard | low-FP | low-FN |\n| --- | --- | --- | --- |")
before = resource.getrusage(resource.RUSAGE_CHILDREN)
_, at, parts = measure(f"stakeout score, threshold {TELLING}, in sample", stakeout, forward, TELLING)
after = resource.getrusage(resource.RUSAGE_CHILDREN)
table_row("stakeout score, threshold left out by family", left_out(forward, at))
measure(f"stakeout score, threshold {TELLING}, backwards", stakeout, reverse, TELLING)
for label, method in (("always 0.5", constant), ("difference to the last value", last_difference), ("windowed Gaussian", windowed_gaussian)):
    _, others, _ = measure(label, method, forward)
    table_row(f"{label}, threshold left out by family", left_out(forward, others))
    measure(f"{label}, backwards", method, reverse)
print("\n| family | standard | low-FP | low-FN |\n| --- | --- | --- | --- |")
for family in sorted({s["family"] for s in forward}):
    table_row(family, total([p for s, p in zip(forward, parts) if s["family"] == family]))
seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
print(f"\n{rows / seconds:,.0f} rows a CPU second, programs' start included")
