#!/usr/bin/env bash
# TensorBoard 2.21.0: after a restart marked by SessionLog.START (purge_step), its two readers show different curves.
#
# Guess before the run: steps from the restart on are replaced by those of the second file, whoever reads.
# Seen: the default reader (tensorboard-data-server 0.7.2) shows 8 points, steps 5 to 7 replaced and 8, 9 gone. With
# --load_fast=false, which is also what runs where no data server is installed, the mark is ignored if it is the first
# event of its file, where writers put it: 13 points, steps 5 to 7 twice. A writer that resumes is safe only with a new
# file that holds what is still true of the old ones, and the old ones removed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tensorboard==2.21.0 tensorboard-data-server==0.7.2
"$folder/venv/bin/python" - "$folder/logs" <<'PY'
import json
import subprocess
import sys
import time
import urllib.request

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

folder = sys.argv[1]


def scalar(step, value, at):
    summary = Summary(value=[Summary.Value(tag="loss", simple_value=value)])
    return Event(wall_time=at, step=step, summary=summary)


def write(suffix, events):
    writer = EventFileWriter(folder, filename_suffix=suffix)
    for event in events:
        writer.add_event(event)
    writer.close()


restart = Event(wall_time=20.0, step=5, session_log=SessionLog(status=SessionLog.START))
write(".first", [scalar(step, 1.0, 1.0 + step) for step in range(10)])
time.sleep(1.1)  # files are read in the order of the second in their names
write(".second", [restart, *(scalar(step, 2.0, 20.0 + step) for step in range(5, 8))])


def shown(*flags):
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", "0", *flags]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        line = next(line for line in server.stderr if "http://" in line)
        port = line.split("http://")[1].split(":")[1].split("/")[0]
        address = f"http://localhost:{port}/data/plugin/scalars/scalars?run=.&tag=loss"
        for _ in range(60):
            try:
                points = json.load(urllib.request.urlopen(address))
                if any(value == 2.0 for _, _, value in points):
                    return [(int(step), value) for _, step, value in points]
            except OSError:
                pass
            time.sleep(0.5)
        raise SystemExit("the second file was never shown")
    finally:
        server.terminate()
        server.wait()


old, new = [(step, 1.0) for step in range(10)], [(step, 2.0) for step in range(5, 8)]
fast, slow = shown(), shown("--load_fast=false")
print("default reader    ", fast)
print("--load_fast=false ", slow)
assert fast == old[:5] + new
assert slow == old + new
PY
