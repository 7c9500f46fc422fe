#!/usr/bin/env python3
"""Stand-ins for Slurm's client programs; each is a link to this file and acts by the name it is called by.

sbatch appends its arguments to $STUB_SLURM_LOG, one JSON object per line, and runs the wrapped command: to its end
before it returns if $STUB_SLURM_FOREGROUND is 1, else in the background. The folder $STUB_SLURM_LOG.jobs holds each
job's state and process. Arrays, scripts on standard input and accounts are left out.
"""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

LOG = Path(os.environ["STUB_SLURM_LOG"])
JOBS = LOG.with_name(f"{LOG.name}.jobs")
# The options that the executor may write; sbatch refuses all others.
VALUES = (
    ("--job-name", "-J"),
    ("--output", "-o"),
    ("--export",),
    ("--comment",),
    ("--partition", "-p"),
    ("--time", "-t"),
    ("--mem",),
    ("--mem-per-cpu",),
    ("--constraint", "-C"),
    ("--qos",),
    ("--nodes", "-N"),
    ("--ntasks", "-n"),
    ("--cpus-per-task", "-c"),
    ("--gpus",),
    ("--gres",),
    ("--chdir", "-D"),
    ("--exclude",),
)
FLAGS = ("--parsable", "--requeue", "--no-requeue")


def sbatch(arguments: list[str]) -> int:
    """Record the call, start the job, print its number."""
    parser = argparse.ArgumentParser("sbatch", allow_abbrev=False)
    for names in VALUES:
        parser.add_argument(*names)
    for flag in FLAGS:
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--wrap", required=True)
    options = {key: value for key, value in vars(parser.parse_args(arguments)).items() if value}
    call = record({"job_name": "wrap", "partition": "cpu"} | options | {"arguments": arguments})
    set_state(call, "RUNNING")
    print(call["id"], flush=True)
    if os.environ.get("STUB_SLURM_FOREGROUND") == "1":
        run_job(call)
    else:
        null = subprocess.DEVNULL
        command = [sys.executable, os.path.realpath(__file__), str(call["id"])]
        subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    return 0


def record(options: dict) -> dict:
    """Append one call to the log and give it the next number."""
    JOBS.mkdir(exist_ok=True)
    with LOG.open("a+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.seek(0)
        call = {"id": len(handle.readlines()) + 1} | options
        handle.write(json.dumps(call) + "\n")
    return call


def calls() -> list[dict]:
    """All recorded calls; the number of a call is its place, counted from 1."""
    return [json.loads(line) for line in LOG.read_text().splitlines()] if LOG.exists() else []


def run_job(call: dict) -> None:
    """Run the wrapped command with its output in the job's log, and note how it ended."""
    output = call.get("output", os.devnull).replace("%j", str(call["id"]))
    with open(output, "wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", call["wrap"]],
            cwd=call.get("chdir"),
            env=os.environ | job_variables(call),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (JOBS / f"{call['id']}.pid").write_text(str(process.pid))
    failed = process.wait()
    if state(call) == "RUNNING":
        set_state(call, "FAILED" if failed else "COMPLETED")


def job_variables(call: dict) -> dict[str, str]:
    """What a job sees in its environment; GPU jobs see the first devices, shared or not."""
    job = {"SLURM_JOB_ID": str(call["id"]), "SLURM_JOB_PARTITION": call["partition"]}
    if "gpus" in call:
        job |= {"SLURM_GPUS": call["gpus"], "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(int(call["gpus"]))))}
    return job


def state(call: dict) -> str:
    """State of a job in squeue's words."""
    return (JOBS / f"{call['id']}.state").read_text()


def set_state(call: dict, word: str) -> None:
    """Note a state so that no reader sees half of it."""
    draft = JOBS / f"{call['id']}.draft"
    draft.write_text(word)
    draft.replace(JOBS / f"{call['id']}.state")


def squeue(arguments: list[str]) -> int:
    """One line for each job of the given name; finished ones only with --states=all."""
    parser = argparse.ArgumentParser("squeue", allow_abbrev=False, add_help=False)
    parser.add_argument("--format", "-o", default="%i %P %j %T")
    parser.add_argument("--states")
    parser.add_argument("--name")
    parser.add_argument("--noheader", "-h", action="store_true")
    options, _ = parser.parse_known_args(arguments)
    for call in calls():
        word = state(call)
        if options.name in (None, call["job_name"]) and (options.states == "all" or word == "RUNNING"):
            fields = {"%i": str(call["id"]), "%P": call["partition"], "%j": call["job_name"], "%T": word}
            line = options.format
            for key, value in fields.items():
                line = line.replace(key, value)
            print(line)
    return 0


def scancel(arguments: list[str]) -> int:
    """End the given jobs."""
    wanted = {part for part in arguments if part.isdigit()}
    for call in calls():
        if str(call["id"]) in wanted and state(call) == "RUNNING":
            set_state(call, "CANCELLED")
            with contextlib.suppress(OSError):
                os.killpg(int((JOBS / f"{call['id']}.pid").read_text()), signal.SIGTERM)
    return 0


def srun(arguments: list[str]) -> int:
    """Run the command that follows the options; a step sees its job's variables, as the executor took them away."""
    command = arguments
    while command and command[0].startswith("-"):
        command = command[1:]
    call = calls()[int(os.environ["SLURM_JOB_ID"]) - 1]
    os.execvpe(command[0], command, os.environ | job_variables(call))


def sinfo(arguments: list[str]) -> int:
    """The two partitions, the default one with a star."""
    print("PARTITION\ncpu*\ngpu")
    return 0


def scontrol(arguments: list[str]) -> int:
    """The two settings that the executor looks for."""
    print("MinJobAge               = 300 sec\nMaxArraySize            = 1001")
    return 0


def sacct(arguments: list[str]) -> int:
    """Fail as on a cluster without accounting."""
    print("Slurm accounting storage is disabled", file=sys.stderr)
    return 1


PROGRAMS = {program.__name__: program for program in (sbatch, squeue, scancel, srun, sinfo, scontrol, sacct)}


if __name__ == "__main__":
    name = Path(sys.argv[0]).name
    if name in PROGRAMS:
        sys.exit(PROGRAMS[name](sys.argv[1:]))
    run_job(calls()[int(sys.argv[1]) - 1])
