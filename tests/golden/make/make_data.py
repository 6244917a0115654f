"""Writes table/measures.csv (120 rows), table/raw.csv (6 raw rows without the target) and rows.npz (5 raw images) in finished/ and folds/."""

import csv

import numpy as np
from sklearn.datasets import load_digits

rng = np.random.default_rng(2024)
header = ["plot", "rain", "soil", "sun", "fertiliser", "depth", "yield"]


def rows(number):
    for plot in range(number):
        rain, sun, depth = rng.normal(600, 120), rng.uniform(3, 9), int(rng.integers(5, 40))
        soil, fertiliser = rng.choice(["clay", "loam", "sand", "peat"]), rng.choice(["none", "a little", "much"])
        value = 2000 + 3 * rain + 250 * sun + {"clay": 0, "loam": 900, "sand": -700, "peat": 300}[soil] + {"none": 0, "a little": 400, "much": 600}[fertiliser]
        cells = [f"P{plot:03d}", f"{rain:.1f}", soil, f"{sun:.2f}", fertiliser, str(depth)]
        cells = [cells[0], *("" if rng.random() < 0.06 else cell for cell in cells[1:])]
        yield [*cells, f"{value + rng.normal(0, 150):.0f}"]


with open("table/measures.csv", "w", newline="") as file:
    csv.writer(file, lineterminator="\n").writerows([header, *rows(120)])
raw = [["N1", "612.5", "loam", "6.10", "much", "12"], ["N2", "", "clay", "4.00", "none", "20"], ["N3", "480.0", "", "7.75", "a little", ""],
       ["N4", "701.3", "sand", "", "", "33"], ["N5", "655.0", "gravel", "5.50", "much", "9"], ["N6", "", "", "", "", ""]]
with open("table/raw.csv", "w", newline="") as file:
    csv.writer(file, lineterminator="\n").writerows([header[:-1], *raw])
images = load_digits().images[[0, 1, 500, 1000, 1796]]
for name in ("finished", "folds"):
    np.savez_compressed(f"{name}/rows.npz", x=images.astype(np.uint8))
