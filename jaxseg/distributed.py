"""Starting one run on several hosts: who takes part, and where they meet.

`find_launch` reads what the launcher left in the environment; `start` has all processes
answer to their names (`roll_call`) and then hands over to `jax.distributed`.
"""

import dataclasses
import glob
import importlib.util
import os
import re
import signal
import urllib.request
from collections.abc import Mapping, Sequence

import jax
from absl import logging

from jaxseg import peers, roll_call

LAUNCHERS = ("auto", "none", "env", "slurm", "tpu")
TPU_PORT = 8476  # of the coordinator, where the launcher names none
SLURM_PORTS = 61_440  # above those that Linux gives away by itself
# jax ends a process by a signal, with a message that names nobody: `peers` comes first.
GRACE_SECONDS = 60


class LaunchError(ValueError):
    """The launcher's environment does not say who takes part; the message says why."""


class NoMetadataError(LaunchError):
    """A machine with TPUs has no server that says which workers there are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
    """One process's place among those of a run.

    Attributes:
        launcher: who said so, for messages.
        coordinator: host and port of process 0, where all meet. `peers` takes the port
            above it.
        num_processes: of the run.
        process: the index of this one.
        hosts: the names of all processes' hosts, where the launcher tells; else ().
        local_devices: ids of this host's devices that are this process's; None for all.
    """

    launcher: str
    coordinator: str
    num_processes: int
    process: int
    hosts: Sequence[str] = ()
    local_devices: Sequence[int] | None = None

    def __post_init__(self):
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_535:
            raise LaunchError(
                f"{self.launcher}: the coordinator is {self.coordinator!r}; expected "
                "host:port of process 0, with the port above it free as well"
            )
        if not 0 <= self.process < self.num_processes:
            raise LaunchError(
                f"{self.launcher}: this is process {self.process} of "
                f"{self.num_processes}; they are counted from 0"
            )


def find_launch(
    launcher: str = "auto", environ: Mapping[str, str] = os.environ
) -> Launch | None:
    """Reads who takes part in this run.

    Args:
        launcher: "env" for JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and
            JAX_PROCESS_ID; "slurm" for a step of srun; "tpu" for the workers of a TPU
            slice; "auto" for the first of these that is there, with a warning where it
            looks as if one should be; "none" for a process by itself, whatever is
            there.
        environ: the environment.

    Returns:
        None for a process by itself.

    Raises:
        LaunchError: if some of a launcher's variables are there and others are not, or
            the launcher that was asked for is not there at all.
    """
    finders = {"env": from_variables, "slurm": from_slurm, "tpu": from_tpu}
    if launcher not in LAUNCHERS:
        raise LaunchError(f"launcher is {launcher!r}; use one of {LAUNCHERS}")
    if launcher == "none":
        return None
    for name in finders if launcher == "auto" else [launcher]:
        try:
            found = finders[name](environ)
        except NoMetadataError as error:  # Colab and Kaggle have none
            if launcher != "auto":
                raise
            logging.warning("%s. This process runs by itself", error)
            return None
        if found is not None:
            return found if found.num_processes > 1 else None
    if launcher != "auto":
        raise LaunchError(
            f"launcher is {launcher!r}, but its variables are not in the environment: "
            "use 'none' for a process by itself"
        )
    if environ.get("JOB_COMPLETION_INDEX"):
        logging.warning(
            "this is pod %s of an indexed job, but JAX_COORDINATOR_ADDRESS and "
            "JAX_NUM_PROCESSES are not set: it runs by itself",
            environ["JOB_COMPLETION_INDEX"],
        )
    return None


VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def from_variables(environ: Mapping[str, str]) -> Launch | None:
    """Reads jax's own variables; an indexed job of Kubernetes need not set the last."""
    if not any(environ.get(name) for name in VARIABLES):
        return None
    index = environ.get("JOB_COMPLETION_INDEX")
    if index and not environ.get("JAX_PROCESS_ID"):
        environ = {**environ, "JAX_PROCESS_ID": index}
    check_whole(environ, VARIABLES, "the JAX_ variables")
    return Launch(
        launcher="environment",
        coordinator=environ["JAX_COORDINATOR_ADDRESS"],
        num_processes=number(environ, "JAX_NUM_PROCESSES"),
        process=number(environ, "JAX_PROCESS_ID"),
        local_devices=local_devices(environ.get("JAX_LOCAL_DEVICE_IDS", "")),
    )


STEP = (
    "SLURM_JOB_ID",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURM_PROCID",
    "SLURM_LOCALID",
)


def from_slurm(environ: Mapping[str, str]) -> Launch | None:
    """Reads the variables that srun gives to each task of a step.

    A batch script and a login shell have some of them and are no task of several; only
    `SLURM_STEP_NUM_TASKS` is srun's.
    """
    if int(environ.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        if int(environ.get("SLURM_NTASKS", 1)) > 1 and "SLURM_PROCID" in environ:
            logging.warning(
                "SLURM has %s tasks for this job, but this process was not started by "
                "srun: it runs by itself",
                environ["SLURM_NTASKS"],
            )
        return None
    check_whole(environ, STEP, "the variables of a SLURM step")
    nodes = node_names(environ["SLURM_STEP_NODELIST"])
    count = number(environ, "SLURM_STEP_NUM_TASKS")
    # Two ports of a job, so that jobs that share a node do not meet.
    port = SLURM_PORTS + 2 * (number(environ, "SLURM_JOB_ID") % 2_000)
    return Launch(
        launcher="SLURM",
        coordinator=f"{nodes[0]}:{environ.get('JAX_COORDINATOR_PORT', port)}",
        num_processes=count,
        process=number(environ, "SLURM_PROCID"),
        hosts=nodes if len(nodes) == count else (),
        local_devices=slurm_devices(environ),
    )


def slurm_devices(environ: Mapping[str, str]) -> Sequence[int] | None:
    """One GPU a task where a node has several tasks and SLURM has not divided them.

    Returns:
        None for all that the task sees: it is alone on its node, or was given its own,
        be it one or several.
    """
    counts = re.sub(r"\(x\d+\)", "", environ["SLURM_STEP_TASKS_PER_NODE"])
    if set(counts.split(",")) == {"1"} or gives_gpus_to_tasks(environ):
        return None
    index = number(environ, "SLURM_LOCALID")
    visible = environ.get("CUDA_VISIBLE_DEVICES", "")
    num_visible = len(visible.split(","))
    if visible and (num_visible == 1 or index >= num_visible):
        return None
    return [index]


def gives_gpus_to_tasks(environ: Mapping[str, str]) -> bool:
    """Whether SLURM was told to show each task its own GPUs and no other."""
    return bool(
        environ.get("SLURM_GPUS_PER_TASK")
        or "gpu" in environ.get("SLURM_TRES_PER_TASK", "")
        or environ.get("SLURM_GPU_BIND", "none") not in ("", "none")
    )


def node_names(nodes: str) -> list[str]:
    """Spells out SLURM's "a[1,08-10],b" as a1, a08, a09, a10, b.

    Raises:
        LaunchError: for a name with two pairs of brackets.
    """
    if re.search(r"\][^,\[]*\[", nodes):
        raise LaunchError(
            f"the SLURM nodes {nodes!r} have two ranges in one name, which is not "
            f"understood: set {', '.join(VARIABLES)} for each task, which come first"
        )
    names = []
    for prefix, ranges, suffix in re.findall(
        r"([^,\[\]]+)(?:\[([^\]]*)\])?([^,\[\]]*)", nodes
    ):
        if not ranges:
            names.append(prefix + suffix)
            continue
        for part in ranges.split(","):
            first, _, last = part.partition("-")
            for index in range(int(first), int(last or first) + 1):
                names.append(f"{prefix}{index:0{len(first)}}{suffix}")
    return names


def from_tpu(environ: Mapping[str, str]) -> Launch | None:
    """Reads the workers of a TPU slice: variables on GKE, metadata on a TPU VM."""
    if environ.get("JAX_PLATFORMS", "tpu").split(",")[0] not in ("tpu", ""):
        return None
    if environ.get("TPU_WORKER_HOSTNAMES"):
        check_whole(environ, ("TPU_WORKER_ID",), "the variables of a TPU worker")
        workers = environ["TPU_WORKER_HOSTNAMES"].split(",")
        worker = number(environ, "TPU_WORKER_ID")
    elif is_tpu_vm() and "TPU_SKIP_MDS_QUERY" not in environ:  # as jax reads it
        endpoints = tpu_metadata("worker-network-endpoints", environ)
        workers = [endpoint.split(":")[2] for endpoint in endpoints.split(",")]
        worker = int(tpu_metadata("agent-worker-number", environ))
    else:
        return None
    slices = int(environ.get("MEGASCALE_NUM_SLICES") or 1)
    if slices > 1:
        needed = ("MEGASCALE_SLICE_ID", "MEGASCALE_COORDINATOR_ADDRESS")
        check_whole(environ, needed, "the variables of several TPU slices")
        worker += number(environ, "MEGASCALE_SLICE_ID") * len(workers)
        first = environ["MEGASCALE_COORDINATOR_ADDRESS"].split(":")[0]
    else:
        first = workers[0]
    return Launch(
        launcher="TPU",
        coordinator=f"{first}:{environ.get('JAX_COORDINATOR_PORT', TPU_PORT)}",
        num_processes=slices * len(workers),
        process=worker,
        hosts=workers if slices == 1 else (),
    )


def is_tpu_vm() -> bool:
    """Whether this machine has TPU chips and the library that drives them."""
    chips = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def tpu_metadata(key: str, environ: Mapping[str, str]) -> str:
    """Asks a TPU VM's metadata server for one attribute."""
    server = environ.get("GCE_METADATA_IP", "metadata.google.internal")
    url = f"http://{server}/computeMetadata/v1/instance/attributes/{key}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    # The server is of this machine: a proxy would answer for itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.read().decode()
    except OSError as error:
        raise NoMetadataError(
            f"this machine has TPUs, but {url} does not say which workers there are: "
            f"{error}. Set {', '.join(VARIABLES)}, or --launcher=none for one machine"
        ) from error


def check_whole(environ: Mapping[str, str], names: Sequence[str], what: str) -> None:
    """Refuses an environment that has only some of the variables."""
    missing = [name for name in names if not environ.get(name)]
    if missing:
        there = [name for name in names if environ.get(name)]
        raise LaunchError(
            f"{what} are half set: {', '.join(missing)} missing"
            + (f", while {', '.join(there)} set" if there else "")
            + "; set all, or --launcher=none for a process by itself"
        )


def number(environ: Mapping[str, str], name: str) -> int:
    """Reads a count or an index."""
    try:
        return int(environ[name])
    except ValueError:
        raise LaunchError(f"{name} is {environ[name]!r}; expected a number") from None


def local_devices(text: str) -> Sequence[int] | None:
    """Reads "0,1" as ids; None where nothing is said."""
    return [int(part) for part in text.split(",")] if text else None


def start(
    launch: Launch | None, *, startup_timeout: float = 300, peer_timeout: float = 60
) -> peers.Alone:
    """Meets the other processes and starts `jax.distributed`; call it before jax's use.

    Args:
        launch: of `find_launch`; None starts nothing.
        startup_timeout: seconds that processes may be apart at the start.
        peer_timeout: seconds without a sign of life after which a process counts as
            dead. One that is killed is noticed at once.

    Returns:
        The line to the other processes, a context manager to run in.

    Raises:
        PeerError: naming the processes that did not come, or the port that is taken.
    """
    if launch is None:
        return peers.Alone()
    host, _, port = launch.coordinator.rpartition(":")
    if launch.process == 0:
        with roll_call.listen(int(port)):  # jax would crash if another had it
            pass
    line = roll_call.meet(
        (host.strip("[]"), int(port) + 1),  # "[::1]" is an address within a URL only
        process=launch.process,
        num_processes=launch.num_processes,
        hosts=launch.hosts,
        startup_timeout=startup_timeout,
        peer_timeout=peer_timeout,
    )
    try:
        jax.distributed.initialize(
            launch.coordinator,
            launch.num_processes,
            launch.process,
            local_device_ids=launch.local_devices,
            cluster_detection_method="deactivate",  # all was said
            initialization_timeout=int(startup_timeout + GRACE_SECONDS),
            heartbeat_timeout_seconds=int(peer_timeout + GRACE_SECONDS),
        )
    except Exception as error:
        problem = peers.PeerError(
            f"jax.distributed does not start with process 0 at {launch.coordinator}: "
            f"{peers.describe(error)}. Each must reach port {port} there"
        )
        problem.__cause__ = error
        line.fail(problem)  # the others wait within theirs
    # jax's handler would swallow the signal until training sets its own.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    logging.info(
        "process %d of %d (%s), on %s", *line.place, launch.launcher, line.hosts
    )
    return line
