import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.reporting import tensorboard

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


@pytest.fixture
def clu():
    """CLU and tensorboard, which a small installation does not have."""
    pytest.importorskip("clu", reason="clu is not installed")
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")


def events(workdir):
    """What TensorBoard's own reader finds in a work folder."""
    from tensorboard.backend.event_processing import event_accumulator

    reader = event_accumulator.EventAccumulator(str(workdir / "tensorboard"))
    return reader.Reload()


def test_tensorboard_reads_back_what_was_written(tmp_path, clu):
    writer = tensorboard.create_writer(tmp_path)
    writer.write_scalars(3, {"train/loss": jnp.float32(0.5)})
    writer.write_images(4, {"val": np.stack([PICTURE, PICTURE])})
    writer.flush()
    writer.close()

    found = events(tmp_path)
    (scalar,) = found.Scalars("train/loss")
    assert (scalar.step, scalar.value) == (3, 0.5)
    (image,) = found.Images("val/1")
    assert (image.step, image.height, image.width) == (4, 4, 5)


def test_a_picture_comes_back_bit_for_bit(tmp_path, clu):
    import io

    from PIL import Image

    writer = tensorboard.create_writer(tmp_path)
    writer.write_images(1, {"val": PICTURE})
    writer.close()
    (image,) = events(tmp_path).Images("val/0")
    decoded = np.asarray(Image.open(io.BytesIO(image.encoded_image_string)))
    np.testing.assert_array_equal(decoded, PICTURE)


def test_tensorflow_is_not_imported_even_where_it_is_installed(tmp_path, clu):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('imported')")
    script = (
        "from jaxseg.reporting import tensorboard as t\n"
        f"w = t.create_writer({str(tmp_path)!r})\n"
        "t.periodic_actions('.', w, total_steps=3)\n"
        "w.write_scalars(1, {'a': 1.0}); w.close()\n"
    )
    path = [str(tmp_path), *filter(None, sys.path), "."]
    subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:] = {path}\n{script}"],
        check=True,
        timeout=120,
    )


@pytest.mark.parametrize("missing", ["clu", "tensorboard"])
def test_what_is_missing_is_named_and_nothing_is_written(
    tmp_path, missing, monkeypatch
):
    lines = []
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(tensorboard.logging, "info", lambda *args: lines.append(args))
    writer = tensorboard.create_writer(tmp_path)
    writer.write_scalars(1, {"a": 1.0})
    writer.write_images(1, {"b": PICTURE})
    writer.flush()
    writer.close()
    assert len(lines) == 1 and missing in lines[0][1]
    assert not list(tmp_path.iterdir())
    assert tensorboard.periodic_actions(tmp_path, writer, total_steps=9) == []


def test_other_processes_write_nothing(tmp_path):
    writer = tensorboard.create_writer(tmp_path, is_main=False)
    writer.write_scalars(1, {"a": 1.0})
    writer.close()
    assert not list(tmp_path.iterdir())


def test_a_profile_is_an_xplane_trace(tmp_path, clu):
    writer = tensorboard.create_writer(tmp_path)
    actions = tensorboard.periodic_actions(
        tmp_path, writer, total_steps=4, profile_at=2
    )
    for step in range(1, 5):
        jnp.ones(3).sum().block_until_ready()
        for action in actions:
            action(step)
    writer.close()
    assert list(tmp_path.glob("tensorboard/**/*.xplane.pb"))


def test_parameters_are_counted_with_clu_and_without(monkeypatch):
    params = {"a": {"kernel": jnp.ones((20, 30))}, "b": jnp.ones(600)}
    assert "1,200" in tensorboard.describe_parameters(params)
    monkeypatch.setitem(sys.modules, "clu", None)
    assert tensorboard.describe_parameters(params).startswith("Total: 1,200 ")
