"""Runs on a cluster's head as a job, alone: prints files, so that they travel in the job's log. Needs nothing but Python.

Must not import any of our rooms: it is shipped as a single file, to where none of them may be installed.
"""

import base64
import hashlib
import json
import os
import sys

FILE = "tuner-file: "
REFUSED = "tuner-refused: "
PIECE = 48 * 1024


def carry(folder: str, names: list[str], most: int) -> None:
    """Print the files of these names.

    Args:
        folder: where they are; `~` is the home on this machine.
        names: plain file names.
        most: bytes that may travel in all.
    """
    folder = os.path.expanduser(folder)
    paths = {name: os.path.join(folder, os.path.basename(name)) for name in names}
    found = {name: path for name, path in paths.items() if os.path.isfile(path) and not os.path.islink(path)}
    if not found:
        print(f"{REFUSED}{folder}: holds none of {', '.join(names)}; is it on the head, or shared with it?")
        return
    size = sum(os.path.getsize(path) for path in found.values())
    if size > most:
        print(f"{REFUSED}{folder}: its files have {size / 2**20:.0f} MiB, and at most {most / 2**20:.0f} MiB travel through a job's log; copy them yourself")
        return
    for name, path in found.items():
        with open(path, "rb") as file:
            content = file.read()
        pieces = [content[start : start + PIECE] for start in range(0, len(content), PIECE)]
        print(FILE + json.dumps({"name": name, "lines": len(pieces), "sha256": hashlib.sha256(content).hexdigest()}))
        for piece in pieces:
            print(base64.b64encode(piece).decode())


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as asked:
        carry(**json.load(asked))
