"""A table of every kind of feature, and how it is written."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

ROWS = 60


def flowers(**changed: Any) -> pa.Table:
    """A table of every kind of feature: numbers, whole numbers, booleans, words."""
    columns = {
        "length": np.random.default_rng(0).normal(5, 2, ROWS).tolist(),
        "petals": [3 + row % 5 for row in range(ROWS)],
        "wild": [row % 4 == 0 for row in range(ROWS)],
        "colour": [("red", "blue", "white")[row % 3] for row in range(ROWS)],
        "kind": [("rose", "tulip")[row % 2] for row in range(ROWS)],
    }
    return pa.table(columns | changed)


def write(table: pa.Table | str, path: Path) -> Path:
    if isinstance(table, str):
        path.write_text(table, encoding="utf-8")
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    elif path.suffix == ".parquet":
        pyarrow.parquet.write_table(table, path, row_group_size=7)
    else:
        pyarrow.feather.write_feather(table, path, compression="uncompressed", chunksize=11)
    return path
