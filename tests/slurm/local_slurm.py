#!/usr/bin/env python3
"""A real Slurm cluster on one machine, for tests.

    local_slurm.py start               start munged, slurmctld and three slurmd, wait until all nodes are idle
    local_slurm.py exec -- COMMAND     run COMMAND as a client of the cluster
    local_slurm.py status              what runs; exit status 0 if all is well, 3 if not
    local_slurm.py stop [--purge]      cancel all jobs, end all daemons; --purge removes the state folder

Partition `cpu` (the default) has the nodes c1 and c2, partition `gpu` has g1 with two pretended GPUs, which Slurm
hands out like real ones: jobs see CUDA_VISIBLE_DEVICES, with no device behind it. Works as root and as a plain user,
without systemd, cgroups or a database. The state is in one folder: --home, else $LOCAL_SLURM_HOME, else a folder of
this user in the temporary directory. Two folders are two clusters.
"""

import argparse
import contextlib
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
CPU_NODES = ("c1", "c2")
GPU_NODE = "g1"
GPUS = 2
NODES = (*CPU_NODES, GPU_NODE)
CPUS, MEMORY_MB = 4, 8000
SOCKET_PATH_LIMIT = 107
MARK = "LOCAL_SLURM_DAEMON"

SLURM_CONF = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={home}/munge.sock
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool/%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmctldLogFile={home}/log/slurmctld.log
SlurmdLogFile={home}/log/slurmd-%n.log
# One line for each finished job.
JobCompType=jobcomp/filetxt
JobCompLoc={home}/log/jobs.log
# Finished jobs stay visible to squeue for so many seconds.
MinJobAge=3600
# No cgroups, MPI or database.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
# A step that holds more memory than asked for is ended.
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
# Nodes may declare more than the machine has.
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
ReturnToService=2
KillWait=2
GresTypes=gpu
{nodes}
PartitionName=cpu Nodes={cpu_nodes} Default=YES
PartitionName=gpu Nodes={gpu_node}
"""


class ClusterError(Exception):
    """What went wrong, in words for the user."""


def find_tool(name: str) -> str | None:
    """Path of a Slurm or munge program, also from the sbin folders that PATH often lacks."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SBIN]))


def missing_tools() -> list[str]:
    """Names of the needed programs that this machine does not have."""
    return [name for name in DAEMONS + CLIENTS if not find_tool(name)]


def process_start(pid: int) -> int | None:
    """Kernel's start time of a live process, None for a dead one; guards against a pid that was given out again."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.05) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


def descendants(roots: set[int]) -> set[int]:
    """The given processes and all below them."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


class Cluster:
    """One cluster, known by its state folder."""

    def __init__(self, home: Path) -> None:
        self.home = Path(os.path.abspath(home))
        self.conf = self.home / "slurm.conf"
        self.job_log = self.home / "log" / "jobs.log"
        self.record = self.home / "daemons.json"
        self.children: list[subprocess.Popen] = []

    # Processes

    def daemons(self) -> dict[str, list[int]]:
        """Name of each started daemon: its pid and start time."""
        return json.loads(self.record.read_text()) if self.record.exists() else {}

    def is_alive(self, name: str) -> bool:
        """Whether a started daemon still runs."""
        pid, start = self.daemons().get(name, (0, 0))
        return bool(pid) and process_start(pid) == start

    def environment(self) -> dict[str, str]:
        """Environment of a client: the configuration, and the folder of the srun wrapper before all others."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        return env | {"SLURM_CONF": str(self.conf), "PATH": f"{self.home}/bin{os.pathsep}{env.get('PATH', os.defpath)}"}

    def spawn(self, name: str, *command: str) -> None:
        """Start a daemon in a session of its own and note its pid."""
        with open(self.home / "log" / f"{name}.out", "ab") as out:
            process = subprocess.Popen(
                [find_tool(command[0]), *command[1:]],
                env=self.environment() | {MARK: str(self.home)},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.children.append(process)
        self.record.write_text(json.dumps(self.daemons() | {name: [process.pid, process_start(process.pid)]}))

    def end(self, name: str) -> None:
        """End a daemon: politely, then by force."""
        pid = self.daemons()[name][0]
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if self.is_alive(name):
                os.kill(pid, sign)
                wait_until(lambda: not self.is_alive(name), 10)

    def strays(self) -> set[int]:
        """Job processes of this cluster that outlived their daemons: the job steps, which carry the mark, and below."""
        wanted, steps = f"{MARK}={self.home}".encode(), set()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    steps.add(int(entry.name))
        return descendants(steps) - {pid for pid, _ in self.daemons().values()}

    # Configuration

    def configure(self) -> None:
        """Write slurm.conf, gres.conf, the munge key and the srun wrapper."""
        for name in ("bin", "log", "state", *(f"spool/{node}" for node in NODES)):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        host, ports = socket.gethostname().split(".")[0], free_ports(1 + len(NODES))
        self.conf.write_text(
            SLURM_CONF.format(
                home=self.home,
                host=host,
                user=pwd.getpwuid(os.getuid()).pw_name,
                ports=ports,
                nodes="\n".join(map(self.node_line, NODES, ports[1:], [host] * len(NODES))),
                cpu_nodes=",".join(CPU_NODES),
                gpu_node=GPU_NODE,
            )
        )
        self.write_gpus()
        self.write_munge_key()
        # The jobstep executor takes SLURM_CONF out of the environment before it calls srun.
        wrapper = self.home / "bin" / "srun"
        wrapper.write_text(f"#!/bin/sh\nSLURM_CONF='{self.conf}' exec {find_tool('srun')} \"$@\"\n")
        wrapper.chmod(0o755)

    @staticmethod
    def node_line(node: str, port: int, host: str) -> str:
        """The line of slurm.conf for one node; all nodes share the host and differ by port."""
        gres = f" Gres=gpu:{GPUS}" if node == GPU_NODE else ""
        address = f"NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
        return f"NodeName={node} {address} CPUs={CPUS} RealMemory={MEMORY_MB}{gres} State=UNKNOWN"

    def write_gpus(self) -> None:
        """Pretend GPUs: slurmd insists on character devices, and links to /dev/null are such."""
        for index in range(GPUS):
            link = self.home / f"gpu{index}"
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")
        gres = f"AutoDetect=off\nNodeName={GPU_NODE} Name=gpu File={self.home}/gpu[0-{GPUS - 1}]\n"
        (self.home / "gres.conf").write_text(gres)

    def write_munge_key(self) -> None:
        """A key of this cluster's own."""
        key = self.home / "munge.key"
        key.unlink(missing_ok=True)
        with open(os.open(key, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o400), "wb") as handle:
            handle.write(os.urandom(128))

    # State

    def client(self, *command: str) -> str:
        """Standard output of a client command; empty if it failed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=10).stdout
        return ""

    def node_states(self) -> dict[str, str]:
        """State of each node in sinfo's words."""
        return dict(line.split() for line in self.client("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def is_ready(self) -> bool:
        """Whether every daemon runs and every node takes jobs."""
        if not all(map(self.is_alive, ("munged", "slurmctld", *NODES))):
            return False
        states = self.node_states()
        return all(states.get(node) in ("idle", "mixed", "allocated", "completing") for node in NODES)

    def munge_answers(self) -> bool:
        """Whether munged accepts connections."""
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(f"{self.home}/munge.sock")
            return True
        return False

    def log_tails(self, lines: int = 8) -> str:
        """The last lines of each log."""
        logs = sorted(path for path in (self.home / "log").iterdir() if path != self.job_log)
        return "\n".join(f"--- {p.name}\n" + "\n".join(p.read_text().splitlines()[-lines:]) for p in logs)

    # Commands

    def start(self) -> None:
        """Start all daemons unless they run, and wait for the nodes."""
        self.check_place()
        if self.is_ready():
            return
        if any(map(self.is_alive, self.daemons())):
            raise ClusterError(f"the cluster in {self.home} is half alive: stop it first")
        self.record.unlink(missing_ok=True)
        for name in ("state", "spool", "log"):
            shutil.rmtree(self.home / name, ignore_errors=True)
        self.configure()
        places = {"socket": "sock", "key-file": "key", "pid-file": "pid", "seed-file": "seed", "log-file": "log"}
        files = (f"--{option}={self.home}/munge.{suffix}" for option, suffix in places.items())
        self.spawn("munged", "munged", "--foreground", "--force", *files)
        if not wait_until(self.munge_answers, 10):
            raise ClusterError(f"munged does not answer\n{self.log_tails()}")
        self.spawn("slurmctld", "slurmctld", "-D")
        for node in NODES:
            self.spawn(node, "slurmd", "-D", "-N", node)
        if not wait_until(self.is_ready, 30):
            raise ClusterError(f"the nodes are not ready: {self.node_states()}\n{self.log_tails()}")

    def check_place(self) -> None:
        """Stop early where the cluster cannot work."""
        if missing := missing_tools():
            raise ClusterError(f"not installed: {', '.join(missing)} (Debian packages slurm-wlm and munge)")
        if len(f"{self.home}/munge.sock") > SOCKET_PATH_LIMIT:
            raise ClusterError(f"{self.home} is too long for the path of a socket: choose a shorter --home")
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)

    def stop(self, purge: bool = False) -> None:
        """Cancel all jobs, end all daemons and whatever jobs left behind."""
        if self.is_alive("slurmctld"):
            self.client("scancel", f"--user={os.getuid()}")
            wait_until(lambda: not self.client("squeue", "-h").strip(), 10, 0.1)
        for name in reversed(self.daemons()):
            self.end(name)
        while self.children:
            self.children.pop().wait(10)
        for pid in self.strays():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.record.unlink(missing_ok=True)
        if purge:
            shutil.rmtree(self.home, ignore_errors=True)

    def status(self) -> int:
        """Print the daemons and node states."""
        ready = self.is_ready()
        states = self.node_states() if self.is_alive("slurmctld") else {}
        print(f"{'ready' if ready else 'not ready'}: {self.home}")
        for name, (pid, _) in self.daemons().items():
            print(f"  {name:<10} {pid if self.is_alive(name) else 'dead'} {states.get(name, '')}".rstrip())
        return 0 if ready else 3


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    fallback = Path(tempfile.gettempdir()) / f"local-slurm-{os.getuid()}"
    parser.add_argument("--home", type=Path, default=os.environ.get("LOCAL_SLURM_HOME") or fallback)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("start", "status"):
        verbs.add_parser(verb)
    verbs.add_parser("exec").add_argument("command", nargs=argparse.REMAINDER)
    verbs.add_parser("stop").add_argument("--purge", action="store_true", help="remove the state folder too")
    return parser.parse_args()


def main() -> int:
    """Run one command."""
    arguments = parse_arguments()
    cluster = Cluster(arguments.home)
    try:
        if arguments.verb == "start":
            cluster.start()
        elif arguments.verb == "stop":
            cluster.stop(arguments.purge)
        elif arguments.verb == "exec":
            command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
            os.execvpe(command[0], command, cluster.environment())
        else:
            return cluster.status()
    except ClusterError as error:
        print(f"local_slurm: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
