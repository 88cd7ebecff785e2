"""Who takes part in a run, as launchers say it; and what two processes learn."""

import http.server
import re
import socket
import threading

import numpy as np
import pytest

from jaxseg import distributed, peers
from tests import hosts

JAX = dict(
    JAX_COORDINATOR_ADDRESS="first:1234", JAX_NUM_PROCESSES="4", JAX_PROCESS_ID="3"
)
SLURM = dict(
    SLURM_JOB_ID="4001",
    SLURM_NTASKS="3",
    SLURM_STEP_NUM_TASKS="3",
    SLURM_STEP_NODELIST="n[09-10],gpu1",
    SLURM_STEP_TASKS_PER_NODE="1(x3)",
    SLURM_PROCID="1",
    SLURM_LOCALID="0",
)
TPU = dict(TPU_WORKER_HOSTNAMES="a,b", TPU_WORKER_ID="1")


def test_nothing_in_the_environment_is_a_process_by_itself():
    assert distributed.find_launch("auto", {}) is None
    assert isinstance(distributed.start(None), peers.Alone)


def test_jax_variables_say_who_takes_part():
    launch = distributed.find_launch("auto", JAX)
    assert (launch.coordinator, launch.num_processes) == ("first:1234", 4)
    assert launch.process == 3 and launch.local_devices is None


def test_an_indexed_job_numbers_its_processes():
    environ = {**JAX, "JAX_PROCESS_ID": "", "JOB_COMPLETION_INDEX": "2"}
    assert distributed.find_launch("auto", environ).process == 2


def test_an_index_without_a_coordinator_is_warned_of(caplog):
    assert distributed.find_launch("auto", dict(JOB_COMPLETION_INDEX="2")) is None
    assert "pod 2 of an indexed job" in caplog.text


@pytest.mark.parametrize("name", JAX)
def test_a_half_set_environment_names_what_is_missing(name):
    environ = {key: value for key, value in JAX.items() if key != name}
    with pytest.raises(distributed.LaunchError, match=f"half set: {name} missing"):
        distributed.find_launch("auto", environ)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(JAX_PROCESS_ID="4"), "this is process 4 of 4"),
        (dict(JAX_NUM_PROCESSES="two"), "JAX_NUM_PROCESSES is 'two'"),
        (dict(JAX_COORDINATOR_ADDRESS="first"), "expected host:port"),
        (dict(JAX_COORDINATOR_ADDRESS="first:65535"), "the port above it"),
    ],
)
def test_values_that_cannot_be_are_refused(changes, message):
    with pytest.raises(distributed.LaunchError, match=message):
        distributed.find_launch("auto", {**JAX, **changes})


def test_a_slurm_step_meets_at_its_first_node():
    launch = distributed.find_launch("auto", SLURM)
    assert launch.coordinator == f"n09:{61_440 + 2 * 1}"
    assert (launch.num_processes, launch.process) == (3, 1)
    assert list(launch.hosts) == ["n09", "n10", "gpu1"]


def test_one_slurm_task_a_node_takes_all_its_devices():
    assert distributed.find_launch("slurm", SLURM).local_devices is None


def test_several_slurm_tasks_a_node_take_one_device_each():
    tasks = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_LOCALID": "1"}
    assert distributed.find_launch("slurm", tasks).local_devices == [1]
    whole = {**tasks, "CUDA_VISIBLE_DEVICES": "0,1"}
    assert distributed.find_launch("slurm", whole).local_devices == [1]


@pytest.mark.parametrize(
    "given",
    [
        dict(CUDA_VISIBLE_DEVICES="3"),
        dict(CUDA_VISIBLE_DEVICES="2,3", SLURM_GPUS_PER_TASK="2"),
        dict(CUDA_VISIBLE_DEVICES="2,3", SLURM_TRES_PER_TASK="cpu=8,gres/gpu=2"),
        dict(CUDA_VISIBLE_DEVICES="2,3", SLURM_GPU_BIND="per_task:2"),
        dict(CUDA_VISIBLE_DEVICES="2,3", SLURM_LOCALID="2"),
    ],
)
def test_slurm_tasks_with_gpus_of_their_own_take_all_of_them(given):
    tasks = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_LOCALID": "1"}
    assert distributed.find_launch("slurm", {**tasks, **given}).local_devices is None


def test_gpus_that_slurm_does_not_bind_are_divided():
    tasks = {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2,1", "SLURM_LOCALID": "1"}
    tasks |= dict(CUDA_VISIBLE_DEVICES="0,1", SLURM_GPU_BIND="none")
    tasks |= dict(SLURM_TRES_PER_TASK="cpu=8")
    assert distributed.find_launch("slurm", tasks).local_devices == [1]


@pytest.mark.parametrize(
    "environ",
    [
        dict(SLURM_NTASKS="4", SLURM_JOB_ID="1"),  # a login shell with an allocation
        dict(SLURM_NTASKS="4", SLURM_JOB_ID="1", SLURM_PROCID="0"),  # a batch script
        dict(SLURM_STEP_NUM_TASKS="1", SLURM_PROCID="0"),  # srun --pty
    ],
)
def test_a_process_that_srun_did_not_start_runs_by_itself(environ):
    assert distributed.find_launch("auto", environ) is None


def test_half_of_a_slurm_step_is_refused():
    with pytest.raises(distributed.LaunchError, match="SLURM_PROCID missing"):
        distributed.find_launch("auto", {**SLURM, "SLURM_PROCID": ""})


def test_several_launchers_can_be_switched_off():
    assert distributed.find_launch("none", {**JAX, **SLURM, **TPU}) is None
    with pytest.raises(distributed.LaunchError, match="'slurm'"):
        distributed.find_launch("slurm", JAX)


def test_the_workers_of_a_tpu_slice_meet_at_the_first():
    launch = distributed.find_launch("auto", TPU)
    assert launch.coordinator == "a:8476" and list(launch.hosts) == ["a", "b"]
    assert (launch.num_processes, launch.process) == (2, 1)


def test_several_tpu_slices_are_one_run():
    slices = dict(MEGASCALE_NUM_SLICES="3", MEGASCALE_SLICE_ID="2")
    slices["MEGASCALE_COORDINATOR_ADDRESS"] = "head:8080"
    launch = distributed.find_launch("tpu", {**TPU, **slices})
    assert launch.coordinator == "head:8476"
    assert (launch.num_processes, launch.process) == (6, 5)


def test_a_cpu_run_on_a_tpu_worker_is_by_itself():
    assert distributed.find_launch("auto", {**TPU, "JAX_PLATFORMS": "cpu"}) is None


class Metadata(http.server.BaseHTTPRequestHandler):
    """A TPU VM's metadata server."""

    values = {
        "agent-worker-number": "1",
        "worker-network-endpoints": "x:y:10.0.0.2,x:y:10.0.0.3",
    }

    def do_GET(self):
        value = self.values.get(self.path.rsplit("/", 1)[1])
        self.send_response(200 if value else 404)
        self.end_headers()
        self.wfile.write((value or "").encode())

    def log_message(self, *args):
        pass


@pytest.fixture
def tpu_vm(monkeypatch):
    """The environment of a TPU VM, whose proxy does not answer."""
    monkeypatch.setattr(distributed, "is_tpu_vm", lambda: True)
    monkeypatch.setenv("http_proxy", "http://localhost:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with http.server.HTTPServer(("localhost", 0), Metadata) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"GCE_METADATA_IP": f"localhost:{server.server_address[1]}"}
        server.shutdown()


def test_tpus_without_metadata_are_a_process_by_itself(tpu_vm, monkeypatch, caplog):
    monkeypatch.setattr(Metadata, "values", {})
    assert distributed.find_launch("auto", tpu_vm) is None
    assert "404" in caplog.text and "runs by itself" in caplog.text
    nowhere = {"GCE_METADATA_IP": "nowhere.invalid"}
    assert distributed.find_launch("auto", nowhere) is None
    with pytest.raises(distributed.LaunchError, match="does not say which workers"):
        distributed.find_launch("tpu", tpu_vm)


def test_tpus_that_are_not_to_ask_their_metadata_do_not(tpu_vm):
    skipping = {**tpu_vm, "TPU_SKIP_MDS_QUERY": "1"}
    assert distributed.find_launch("auto", skipping) is None


def test_a_tpu_vm_asks_its_metadata(tpu_vm):
    launch = distributed.find_launch("auto", tpu_vm)
    assert launch.coordinator == "10.0.0.2:8476"
    assert (launch.num_processes, launch.process) == (2, 1)


@pytest.mark.parametrize(
    ("nodes", "names"),
    [
        ("node001", ["node001"]),
        ("a,b", ["a", "b"]),
        ("n[8-11]", ["n8", "n9", "n10", "n11"]),
        ("n[001,007-008]x,host2", ["n001x", "n007x", "n008x", "host2"]),
    ],
)
def test_node_lists_are_spelt_out(nodes, names):
    assert distributed.node_names(nodes) == names


def test_two_ranges_in_a_name_are_refused():
    with pytest.raises(distributed.LaunchError, match="two ranges in one name"):
        distributed.node_names("a,n[1-2]r[1-2]")


def test_the_port_of_jax_is_looked_at_before_anybody_is_waited_for():
    with socket.create_server(("", hosts.free_port())) as taken:
        port = taken.getsockname()[1]
        launch = distributed.Launch(
            launcher="test",
            coordinator=f"localhost:{port}",
            num_processes=2,
            process=0,
        )
        with pytest.raises(peers.PeerError, match=f"cannot listen at port {port} of"):
            distributed.start(launch)


FAILS = """
import jax
from jaxseg import distributed
launch = distributed.find_launch()
if launch.process == 1:
    def fail(*arguments, **options):
        raise RuntimeError("no route to host")
    jax.distributed.initialize = fail
distributed.start(launch)
"""


def test_a_start_of_jax_that_fails_ends_all_with_the_reason():
    with hosts.processes("-c", FAILS) as started:
        codes, outputs = hosts.finish(started, timeout=200)
    assert codes == (1, 1)
    assert re.search(
        r"process 1 of 2 on .* failed: PeerError: .*localhost:\d+: RuntimeError: no "
        r"route to host. Each must reach port \d+",
        outputs[0],
    )


SUM = """
import jax
from jaxseg import distributed, sharding
with distributed.start(distributed.find_launch()) as line:
    devices = sharding.make_mesh().devices.tolist()
    print("sum", sharding.sum_of_processes(1 + jax.process_index()))
    print("owners", [device.process_index for device in devices])
    print("place", line.place)
"""


def test_two_processes_become_one_run():
    outputs = hosts.run("-c", SUM, count=2, devices=2)
    for process, output in enumerate(outputs):
        assert "sum 3" in output and "owners [0, 0, 1, 1]" in output
        assert f"place ({process}, 2)" in output


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Twenty steps of PiCo: one process with one device, and two with four each."""
    folder = tmp_path_factory.mktemp("steps")
    command = ("-m", "tests.hosts_steps")
    hosts.run(*command, folder / "one", 20, count=1, devices=1)
    hosts.run(*command, folder / "two", 20, count=2, devices=4)
    names = ("one.0", "two.0", "two.1")
    return [dict(np.load(folder / f"{name}.npz")) for name in names]


@pytest.mark.slow
def test_two_hosts_read_what_one_reads(trained):
    one, *two = trained
    shares = np.concatenate([share["pictures"] for share in two], axis=1)
    np.testing.assert_array_equal(shares, one["pictures"])
    assert len(shares) == 20


@pytest.mark.slow
def test_two_hosts_learn_what_one_learns(trained):
    one, two, _ = trained
    np.testing.assert_allclose(two["loss"][0], one["loss"][0], rtol=1e-5)
    names = [name for name in one if name.startswith("params/")]
    assert names
    for name in names:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_two_hosts_remember_what_one_remembers(trained):
    one, two, _ = trained
    for name in ("region/pointer", "region/fill", "pixel/pointer", "pixel/fill"):
        for memory in ("memory", "last_memory"):
            key = f"{memory}/{name}"
            np.testing.assert_array_equal(two[key], one[key], err_msg=key)
    for name in ("region/values", "pixel/values"):
        np.testing.assert_allclose(
            two[f"memory/{name}"], one[f"memory/{name}"], atol=1e-5, err_msg=name
        )


@pytest.mark.slow
def test_both_hosts_hold_the_same(trained):
    _, first, second = trained
    for name in first:
        if name != "pictures":
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
