#!/bin/bash
# make/all.sh TREE PYTHON: writes everything here anew with the code in TREE (a checkout of 00f4756), by a Python that has its dependencies; Linux, as root.
# The sweeps run in /sweeps-golden, a folder that no machine has, for its name is in their records; the host is called `golden` meanwhile.
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH=$1
golden() { unshare --uts bash -c 'hostname golden; exec "$@"' golden "$@"; }
test ! -e /sweeps-golden
mkdir /sweeps-golden
cd /sweeps-golden
cp -r "$here/make" .
for sweep in finished table interrupted folds; do mkdir $sweep; cp "$here/$sweep"/{spec.toml,*.py} $sweep/ 2>/dev/null || true; done
"$2" make/make_data.py
for sweep in finished table folds; do (cd $sweep; golden "$2" -m tuner run spec.toml); done
cd interrupted
until ls sweep/journal.log && test ! -e sweep/model.json && golden "$2" -m tuner leaderboard sweep | grep -q waiting; do # it may be too late, or a moment too early
    rm -rf sweep
    golden "$2" ../make/interrupt.py "$2" -m tuner
done
cd ..
for sweep in finished table interrupted folds; do (cd $sweep; golden "$2" ../make/expected.py "$2" -m tuner; rm -rf __pycache__); done
echo "written to /sweeps-golden: move it here, for nothing may lie there when a test resumes a copy"
