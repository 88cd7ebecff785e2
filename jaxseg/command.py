"""How a command that trains begins: its flags, its log, the other processes.

`carry_out` does the work of a command in this frame.
"""

import faulthandler
import signal
import sys
from collections.abc import Callable
from typing import Any

from absl import flags, logging

WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run.", required=True)
COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    None,
    "Folder that keeps compiled programs, so that the next start is faster; '' for "
    "none. Default: $JAX_COMPILATION_CACHE_DIR, else ~/.cache/jaxseg/compiled.",
)
LAUNCHER = flags.DEFINE_enum(
    "launcher",
    "auto",
    ["auto", "none", "env", "slurm", "tpu"],
    "Who says which processes take part in this run; none for this one alone.",
)
STARTUP_TIMEOUT = flags.DEFINE_float(
    "startup_timeout", 300, "Seconds to wait at the start for the other processes."
)
PEER_TIMEOUT = flags.DEFINE_float(
    "peer_timeout", 60, "Seconds of silence after which another process counts as dead."
)


def carry_out(work: Callable[[Any], None]) -> None:
    """Meets the other processes and works with them; what goes wrong is a sentence.

    Ends the process with code 1 for an error of the config, the data or a checkpoint,
    and with 130 for an interruption that nobody has caught.

    Args:
        work: is given the line to the other processes.
    """
    # Imported here so that --help and a misspelt flag answer at once.
    from jaxseg import distributed, peers, reporting

    logging.set_verbosity(logging.WARNING)  # JAX says which backends are not there
    try:
        launch = distributed.find_launch(LAUNCHER.value)
        is_main = launch is None or launch.process == 0
        reporting.setup_logging(WORKDIR.value, is_main=is_main)
        line = distributed.start(
            launch,
            startup_timeout=STARTUP_TIMEOUT.value,
            peer_timeout=PEER_TIMEOUT.value,
        )
    except (distributed.LaunchError, peers.PeerError) as error:
        logging.error("%s", error)
        sys.exit(1)
    if hasattr(signal, "SIGUSR1"):  # not on Windows
        faulthandler.register(signal.SIGUSR1)  # prints what a run that hangs does
    with line:
        _work_on(line, work)


def _work_on(line: Any, work: Callable[[Any], None]) -> None:
    from jaxseg import compilation_cache, reporting
    from jaxseg.checkpoints import CheckpointError
    from jaxseg.hooks import TrainingDiverged

    compilation_cache.enable(COMPILATION_CACHE.value)
    expected = (
        CheckpointError,
        TrainingDiverged,
        ValueError,  # of the config or the data, with their own subclasses
        OSError,  # a file that is not there, a full disk
        ModuleNotFoundError,  # of an extra
    )
    try:
        work(line)
    except KeyboardInterrupt:  # while evaluating; training saves first
        sys.exit(130)
    except expected as error:
        reporting.log_failure(WORKDIR.value, error, is_main=line.place[0] == 0)
        sys.exit(1)
