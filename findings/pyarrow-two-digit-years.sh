#!/bin/bash
# Package: pyarrow==26.0.1
# Behaviour: pyarrow.compute.strptime reads a year of two digits under %Y as the year 0 of our era, without an error (error_is_null=True gives no null);
#   Python's datetime.strptime refuses the same text. A table of dates like 1/2/00 read with "%m/%d/%Y" becomes two thousand years old in silence.
set -e
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import datetime, sys
import pyarrow as pa, pyarrow.compute as pc
print("pyarrow", pa.__version__, "Python", sys.version.split()[0])
found = pc.strptime(pa.array(["1/2/2000", "1/2/00", "1/2/5"]), format="%m/%d/%Y", unit="s", error_is_null=True)
print("pyarrow.compute.strptime:", [str(value) for value in found.cast(pa.string())])
try:
    print("datetime.strptime:", datetime.datetime.strptime("1/2/00", "%m/%d/%Y"))
    refused = False
except ValueError as error:
    print("datetime.strptime:", error)
    refused = True
sys.exit(0 if refused and found.null_count == 0 and pc.year(found).to_pylist() == [2000, 0, 5] else 1)
PYTHON
