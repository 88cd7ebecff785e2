"""torch.save writes, we read: the same bits, and nothing that the file chose is run."""

import argparse
import collections
import contextlib
import pickle
import zipfile

import numpy as np
import pytest

from jaxseg.pretrained import pytorch

FORMATS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "stream"])


def saved(torch, tree, path, is_zip, **options):
    torch.save(tree, path, _use_new_zipfile_serialization=is_zip, **options)
    return path


def assert_same(torch, arrays, tensors):
    """Names, dtypes, shapes and bits are those of the tensors."""
    assert list(arrays) == list(tensors)
    for name, tensor in tensors.items():
        array, tensor = arrays[name], tensor.detach().contiguous()
        assert array.dtype.name == str(tensor.dtype).removeprefix("torch."), name
        assert array.shape == tuple(tensor.shape), name
        bits = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        wanted = tensor.reshape(-1).view(torch.uint8).numpy()
        np.testing.assert_array_equal(bits, wanted, err_msg=name)


def module(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        nn.BatchNorm2d(8),
        nn.Sequential(nn.Linear(8, 5), nn.MultiheadAttention(8, 2)),
    )


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_module_comes_back_bit_for_bit(torch, tmp_path, is_zip, protocol):
    tensors = module(torch).state_dict()
    path = saved(torch, tensors, tmp_path / "x", is_zip, pickle_protocol=protocol)
    assert_same(torch, pytorch.read(path), tensors)


@FORMATS
def test_every_dtype(torch, tmp_path, is_zip):
    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool"
    names += " complex64 complex128 uint16 float8_e4m3fn"  # the last two are untyped
    values = torch.arange(-3, 4)
    tensors = {name: values.to(getattr(torch, name)) for name in names.split()}
    arrays = pytorch.read(saved(torch, tensors, tmp_path / "x", is_zip))
    assert_same(torch, arrays, tensors)


@FORMATS
def test_views_of_shared_storages_scalars_and_empty_tensors(torch, tmp_path, is_zip):
    base = torch.randn(4, 6, 5)
    tensors = {
        "whole": base,
        "transposed": base.permute(2, 0, 1),
        "strided": base[1:, ::2, 1::3],
        "one": base[2, 3, 4],
        "expanded": base[:, :1].expand(4, 7, 5),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "none of many": base[4:],
        "channels last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "parameter": torch.nn.Parameter(base[0]),
    }
    arrays = pytorch.read(saved(torch, tensors, tmp_path / "x", is_zip))
    assert_same(torch, arrays, tensors)
    assert np.shares_memory(arrays["whole"], arrays["strided"])


@FORMATS
def test_parameters_with_attributes(torch, tmp_path, is_zip):
    tensors = {"parameter": torch.nn.Parameter(torch.randn(3)), "plain": torch.ones(2)}
    for tensor in tensors.values():
        tensor.no_weight_decay = True
    arrays = pytorch.read(saved(torch, tensors, tmp_path / "x", is_zip))
    assert_same(torch, arrays, tensors)


@FORMATS
def test_the_network_is_found_beside_whatever_was_saved_with_it(
    torch, tmp_path, is_zip
):
    net = module(torch)
    optimizer = torch.optim.Adam(net.parameters())
    checkpoint = {
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), of=int),
        "score": np.float64(0.5),
        "history": collections.defaultdict(list, loss=[np.zeros(2), {1, 2}]),
        "optimizer": optimizer.state_dict(),
        "state_dict": net.state_dict(),
        "meta": {"classes": ("road",), "at": torch.float16, "step": slice(1, 2)},
    }
    arrays = pytorch.read(saved(torch, checkpoint, tmp_path / "x", is_zip))
    assert_same(torch, arrays, net.state_dict())


def test_numbers_that_are_not_needed_are_not_read(torch, tmp_path, monkeypatch):
    checkpoint = {
        "model": {"a": torch.ones(2)},
        "optimizer": {"a": torch.zeros(9)},
    }
    path = saved(torch, checkpoint, tmp_path / "x", True)
    opened = []
    read = zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile,
        "read",
        lambda self, name: opened.append(name) or read(self, name),
    )
    pytorch.read(path)
    assert len([name for name in opened if "/data/" in name]) == 1


def test_an_archive_in_the_other_byte_order(torch, tmp_path):
    tensors = {"a": torch.randn(5), "b": torch.randn(3).bfloat16()}
    torch.save(tensors, tmp_path / "little")
    with (
        zipfile.ZipFile(tmp_path / "little") as little,
        zipfile.ZipFile(tmp_path / "big", "w") as big,
    ):
        for name in little.namelist():
            content = little.read(name)
            if name.endswith("byteorder"):
                content = b"big"
            elif "/data/" in name:
                itemsize = len(content) // (5 if len(content) == 20 else 3)
                content = np.frombuffer(content, f"u{itemsize}").byteswap().tobytes()
            big.writestr(name, content)
    assert_same(torch, pytorch.read(tmp_path / "big"), tensors)


def changed(path, suffix, content, **options):
    """Gives a record of an archive other content."""
    with zipfile.ZipFile(path) as file:
        records = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w", **options) as file:
        for name, record in records.items():
            file.writestr(name, content if name.endswith(suffix) else record)
    return path


def refusal(path):
    with pytest.raises(ValueError) as error:
        pytorch.read(path)
    assert "cut off" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("order", [b"middle", b"", b"Little"])
def test_an_unknown_byte_order_is_refused(torch, tmp_path, order):
    path = saved(torch, {"a": torch.ones(5)}, tmp_path / "x.pth", True)
    wanted = f"x.pth has its bytes in order {order.decode()!r}, not 'little' or 'big'"
    assert refusal(changed(path, "/byteorder", order)).endswith(wanted)


def test_a_storage_that_unpacks_to_more_than_the_pickle_says(
    torch, tmp_path, monkeypatch
):
    path = saved(torch, {"a": torch.ones(5)}, tmp_path / "x.pth", True)
    zeros, packed = bytes(10_000_000), zipfile.ZIP_DEFLATED
    changed(path, "/data/0", zeros, compression=packed)
    read = zipfile.ZipFile.read
    unpacked = []
    monkeypatch.setattr(
        zipfile.ZipFile,
        "read",
        lambda self, name: unpacked.append(name) or read(self, name),
    )
    assert "storage 0 has 5 numbers, and it unpacks to 2500000" in refusal(path)
    assert not any("/data/" in name for name in unpacked)


@FORMATS
def test_few_numbers_repeated_without_end_are_refused(torch, tmp_path, is_zip):
    bomb = torch.ones(4).as_strided((2**30, 2**15), (0, 0))
    path = saved(torch, {"a": bomb}, tmp_path / "x.pth", is_zip)
    assert f"repeat few numbers to {2**47} bytes, more than" in refusal(path)
    many = {str(i): torch.ones(1).expand(2**25) for i in range(9)}
    path = saved(torch, many, tmp_path / "x.pth", is_zip)
    assert f"repeat few numbers to {9 * 2**27} bytes" in refusal(path)
    del many["8"]
    arrays = pytorch.read(saved(torch, many, tmp_path / "x.pth", is_zip))
    assert arrays["0"].shape == (2**25,) and arrays["0"].strides == (0,)


@pytest.mark.parametrize("write", ["archive", "stream"])
def test_dicts_without_end_are_no_damage(tmp_path, write):
    # By hand, since pickle itself cannot write them: {"a": {"a": ... {}}}.
    depth = 100_000
    nested = b"\x80\x02" + b"}U\x01a" * depth + b"}" + b"s" * depth + b"."
    path = globals()[write](tmp_path / "x.pth", None)
    if write == "archive":
        changed(path, "/data.pkl", nested)
    else:
        path.write_bytes(path.read_bytes().replace(b"\x80\x02N.", nested))
    assert "x.pth nests dicts or lists too deeply to be read" in refusal(path)


def test_a_storage_that_is_part_of_another():
    """Streams before PyTorch 0.4 name views; no later version writes them."""
    from jaxseg.pretrained.unpickling import Storage, Tensor

    whole = np.arange(10, dtype=np.float32)
    tensor = Tensor(Storage("7", "float32", start=4), "float32", 1, (2, 2), (2, 1))
    arrays = pytorch._arrays({"a": tensor}, {"7": whole.tobytes()}.get, "little")
    np.testing.assert_array_equal(arrays["a"], [[5, 6], [7, 8]])


@FORMATS
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off(torch, tmp_path, is_zip, share):
    path = saved(torch, module(torch).state_dict(), tmp_path / "x.pth", is_zip)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"x\.pth is a PyTorch file that is cut off"):
        pytorch.read(path)


@FORMATS
def test_random_damage_is_an_error_or_has_no_effect(torch, tmp_path, is_zip):
    tensors = {"a.b": torch.ones(4), "c": torch.zeros(2, 3)[:, 1:].half()}
    content = saved(torch, tensors, tmp_path / "whole", is_zip).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[rng.integers(len(content), size=3)] = rng.integers(256, size=3)
        (tmp_path / "x").write_bytes(damaged.tobytes())
        with contextlib.suppress(ValueError):
            pytorch.read(tmp_path / "x")


def test_a_bit_that_fell_over(torch, tmp_path):
    path = saved(torch, {"a": torch.full((1000,), 2.0)}, tmp_path / "x.pth", True)
    content = bytearray(path.read_bytes())
    content[content.index(b"\x00\x00\x00\x40" * 9) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged.*CRC"):
        pytorch.read(path)


class Evil:
    """Runs a command in whoever unpickles it."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def archive(path, tree, protocol=2):
    """A file as torch.save writes it, of anything, without torch."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(tree, protocol))
    return path


def stream(path, tree, protocol=2):
    parts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, tree, []]
    path.write_bytes(b"".join(pickle.dumps(part, protocol) for part in parts))
    return path


@pytest.mark.parametrize("write", [archive, stream])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_command_in_a_pickle_is_named_and_not_run(tmp_path, write, protocol):
    import os

    trace = tmp_path / "trace"
    tree = {"state_dict": {}, "args": Evil(os.system, f"touch {trace}")}
    path = write(tmp_path / "x.pth", tree, protocol)
    message = r"x\.pth wants to call (posix|nt)\.system, .* nothing of it was run"
    with pytest.raises(ValueError, match=message):
        pytorch.read(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(tree["args"]))  # the command does work
    assert trace.exists()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [(eval, "open('{}', 'w')"), (exec, "open('{}', 'w')"), (open, "{}")],
)
def test_built_in_functions_are_refused(tmp_path, function, arguments):
    trace = tmp_path / "trace"
    evil = Evil(function, arguments.format(trace), *["w"][: function is open])
    with pytest.raises(ValueError, match=f"{function.__name__}, which weights never"):
        pytorch.read(archive(tmp_path / "x.pth", [evil]))
    assert not trace.exists()


@FORMATS
def test_a_whole_network_object_is_no_state_dict(torch, tmp_path, is_zip):
    path = saved(torch, module(torch), tmp_path / "x.pth", is_zip)
    wanted = r"x\.pth holds an object of torch\.nn\.modules\.container\.Sequential, and"
    with pytest.raises(ValueError, match=wanted):
        pytorch.read(path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_program_has_the_arrays_of_its_modules(torch, tmp_path):
    inner = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    network = torch.nn.Sequential(inner, torch.nn.Linear(3, 2)).half().eval()
    scripted = torch.jit.trace(network, torch.ones(1, 2).half())
    scripted.save(tmp_path / "x.pt")
    arrays, tensors = pytorch.read(tmp_path / "x.pt"), network.state_dict()
    assert set(arrays) == set(tensors)
    assert_same(torch, {name: arrays[name] for name in tensors}, tensors)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_program_without_arrays_holds_none(torch, tmp_path):
    torch.jit.trace(torch.nn.ReLU(), torch.ones(1, 2)).save(tmp_path / "x.pt")
    with pytest.raises(ValueError, match="no arrays by name"):
        pytorch.read(tmp_path / "x.pt")
