"""Runs `COMMAND... run spec.toml --json` here and sends SIGINT in mid-search: a trial is complete, another one has trained a few epochs, budget is left."""

import json
import signal
import subprocess
import sys

process = subprocess.Popen([*sys.argv[1:], "run", "spec.toml", "--json"], stdout=subprocess.PIPE, text=True)
states, epochs, sent = {}, {}, False
for line in process.stdout:
    event = json.loads(line)
    if event["event"] == "epoch":
        states[event["trial"]], epochs[event["trial"]] = event["state"], event["epoch"]
        going = [trial for trial, state in states.items() if state == "running" and 3 <= epochs[trial] < 35]
        if not sent and going and "complete" in states.values():
            process.send_signal(signal.SIGINT)
            sent = True
print("sent", sent, "exit code", process.wait(), states, epochs)
