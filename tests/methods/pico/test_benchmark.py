"""The benchmarks of PiCo run, at small sizes, and compare like with like."""

import contextlib
import json

import numpy as np
import pytest

from benchmarks import contrast, contrast_problem, scaling, train_step
from benchmarks.contrast_problem import Sizes
from jaxseg.data import inputs
from tests.test_train import make_config

SMALL = Sizes(anchors=12, classes=3, slots=9)
KEYS = {"what", "sizes", "device", "date", "median", "ratio", "peak_memory_mb"}


@pytest.fixture(scope="module")
def solution():
    """Loss and gradient of the form that nothing is left out of."""
    return contrast.solver(contrast_problem.make(SMALL), contrast.whole_matrix)()


def test_ours_and_the_whole_matrix_have_the_same_loss_and_gradient(solution):
    loss, gradient = contrast.solver(contrast_problem.make(SMALL), contrast.streamed)()
    np.testing.assert_allclose(loss, solution[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, solution[1], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", contrast.TORCH.values())
def test_torch_has_the_same_loss_and_gradient(torch, solution, form):
    from benchmarks import contrast_torch

    problem = contrast_problem.make(SMALL)
    loss, gradient = contrast_torch.solver(problem, contrast_torch.FORMS[form])()
    np.testing.assert_allclose(loss, solution[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, solution[1], rtol=1e-4, atol=1e-7)


def test_the_measured_contrast_is_that_of_the_definition(solution):
    anchors, labels, bank = contrast_problem.make(SMALL)
    losses = []
    for anchor, label in zip(anchors, labels, strict=True):
        weights = np.exp(bank @ anchor / contrast_problem.TEMPERATURE)  # [C, M]
        positives, negatives = weights[label], np.delete(weights, label, axis=0)
        losses.append(np.mean(-np.log(positives / (positives + negatives.sum()))))
    np.testing.assert_allclose(solution[0], np.mean(losses), rtol=1e-5)


def test_the_class_grouped_scan_has_the_same_loss_and_gradient(solution):
    problem = contrast_problem.make(SMALL)
    loss, gradient = contrast.solver(problem, contrast.class_grouped)()
    np.testing.assert_allclose(loss, solution[0], rtol=1e-5)
    np.testing.assert_allclose(gradient, solution[1], rtol=1e-4, atol=1e-7)


@pytest.mark.slow
def test_forms_are_compared_in_processes_of_their_own(torch, monkeypatch):
    monkeypatch.setattr(contrast, "FORMS", {contrast.OURS: contrast.streamed})
    monkeypatch.setattr(contrast, "TORCH", one := {"torch, log-sum-exp": "logsumexp"})
    monkeypatch.setattr(contrast, "WHOLE", one)
    monkeypatch.setattr(contrast, "COLUMNS", 30)
    monkeypatch.setattr(contrast, "torch_memory_lines", lambda *_, **__: ())
    ours, theirs, summary, of_batch, of_fewer, of_larger = [
        *contrast.contrast_lines(SMALL, large_slots=20, repeats=1, with_torch=True)
    ]
    assert ours.keys() == theirs.keys() == KEYS | {"beyond_inputs_mb"}
    assert ours["ratio"] == 1
    assert summary["faster"] == theirs["what"] == "torch, log-sum-exp"
    assert summary["times_faster"] == pytest.approx(theirs["ratio"], abs=0.01)
    entries = [line["sizes"]["entries"] for line in (of_batch, of_fewer, of_larger)]
    assert entries == [0, 30, 60]


def test_the_size_is_found_from_which_on_memory_does_not_suffice(monkeypatch):
    @contextlib.contextmanager
    def started(module, form, sizes, *, memory_limit):
        if sizes.slots > 10:
            raise contrast_problem.ProcessEnded
        yield dict

    monkeypatch.setattr(contrast_problem, "started", started)
    lines = contrast.torch_memory_lines(SMALL, large_slots=20)
    fits = {line["sizes"]["slots"]: line["fits"] for line in lines}
    assert fits == {9: True, 10: True, 20: False}


def test_a_process_that_may_not_have_the_memory_ends(torch):
    limit = dict(memory_limit=2**28)
    with (
        pytest.raises(contrast_problem.ProcessEnded),
        contrast_problem.started("contrast_torch", "exp", SMALL, **limit) as solve,
    ):
        solve()


def test_a_line_says_that_torch_was_not_measured(monkeypatch):
    def answers(forms, sizes, repeats):
        answer = dict(seconds=1.0, memory=3, memory_before=2)
        return {name: [answer] for name in forms}

    monkeypatch.setattr(contrast, "_answers", answers)
    lines = contrast.contrast_lines(SMALL, large_slots=9, repeats=1, with_torch=False)
    reasons = {
        line["what"]: line["not_measured"] for line in lines if "not_measured" in line
    }
    assert reasons.keys() == contrast.TORCH.keys()
    assert all("jaxseg[torch]" in reason for reason in reasons.values())


def test_forms_that_disagree_are_refused(monkeypatch):
    @contextlib.contextmanager
    def started(module, form, sizes):
        yield lambda: dict(loss=1.0, gradient_norm=2.0 if form == "ours" else 3.0)

    monkeypatch.setattr(contrast_problem, "started", started)
    forms = {name: ("contrast", name) for name in contrast.FORMS}
    with pytest.raises(RuntimeError, match="disagree, gradient_norm"):
        contrast._answers(forms, SMALL, 1)


@pytest.mark.slow
def test_the_sampler_and_the_memory_are_measured():
    lines = [
        *contrast.sampler_lines((2, 16, 32), 3, repeats=1),
        *contrast.memory_lines((2, 8, 8), SMALL, repeats=1),
    ]
    assert all(line.keys() == KEYS for line in lines)
    assert json.loads(json.dumps(lines[0]))["sizes"]["valid_anchors"] > 0
    parts = [line["what"].split(":")[0] for line in lines]
    assert parts == ["sampler"] * 4 + ["queue"] * 2 + ["memory"]


def test_label_maps_have_frequent_and_rare_classes_and_some_errors():
    labels, predictions = contrast.label_maps((2, 64, 128), 19)
    counts = np.bincount(labels.ravel(), minlength=19)
    assert counts.max() > 5 * np.median(counts) > 0
    assert 0.05 < np.mean(labels != predictions) < 0.5


def pico_config(**changes):
    method = dict(
        name="pico.PiCo",
        max_samples=16,
        max_views=2,
        embedding_dim=8,
        region_size=4,
        pixel_size=200,
        pixel_picks=2,
    )
    return make_config(method=method | changes)


@pytest.mark.slow
def test_steps_without_and_with_contrast_are_compared(monkeypatch):
    monkeypatch.setattr(train_step, "ENOUGH_ANCHORS", 16)
    lines = list(train_step.compare(pico_config(), steps=2))
    assert [line["what"] for line in lines] == list(train_step.ROWS)
    entropy, batch, _, memory = lines
    assert entropy["ratio"] == 1
    assert "valid_anchors" not in entropy
    assert batch["valid_anchors"] == memory["valid_anchors"] >= 16
    assert 0 < memory["bank_fill"] < 1
    assert entropy["memory_mb"] == batch["memory_mb"] == 0 < memory["memory_mb"]


def test_a_config_runs_on_embedded_scenes_of_its_crop():
    config = train_step.load_config("configs/pico_cityscapes.py:segformer_b2")
    found = train_step.on_scenes(config)
    dataset = inputs.make_dataset(found)
    assert dataset.labels.num_classes == 10
    assert dataset.source("train")[0]["image"].shape == (*config["data"]["crop"], 3)


@pytest.mark.slow
def test_a_step_of_few_anchors_is_not_timed():
    with pytest.raises(SystemExit, match="fewer than 900"):
        list(train_step.compare(pico_config(), steps=1))


def test_only_a_method_with_contrast_is_compared():
    with pytest.raises(SystemExit, match="needs a config"):
        list(train_step.compare(pico_config(contrast_weight=0.0), steps=1))


def test_keys_of_a_config_are_set_from_the_command_line():
    config = train_step.load_config(train_step.COMPARED, ["method.max_views=40"])
    assert config["method"]["max_views"] == 40


def test_the_bytes_of_collectives_are_read_from_a_program():
    text = """
    %a = f32[2,8]{1,0} all-gather(%x), channel_id=1
    ROOT %b = (bf16[3]{0}, pred[5]{0}) all-reduce(%y, %z), to_apply=%sum
    %c = s32[] all-reduce(%n), to_apply=%sum
    %d = f32[4]{0} add(%all-gather.1, %e)
    """
    assert scaling.collective_bytes(text) == {"all-gather": 64, "all-reduce": 15}


def test_nothing_but_what_is_gathered_grows_with_the_devices():
    found = {}
    for num_devices in (2, 4, 8):
        compiled, _ = scaling.compile_update(
            num_devices, images=1, num_classes=3, slots=16
        )
        found[num_devices] = scaling.collective_bytes(compiled.as_text())
    kinds = [{*of_kinds} for of_kinds in found.values()]
    assert kinds == [{"all-gather"}] * 3
    gathered = {n: of_kinds["all-gather"] for n, of_kinds in found.items()}
    assert gathered[8] == 2 * gathered[4] == 4 * gathered[2]
    assert 1 <= gathered[8] / scaling.formula(8, 3) < 1.01


def test_an_update_is_measured_and_counted():
    sizes = dict(images=1, num_classes=2, slots=16, repeats=1, with_step=False)
    lines = list(scaling.lines(2, **sizes))
    assert [line["sizes"]["split"] for line in lines] == [False, True]
    for line in lines:
        assert line["median"] > 0 and line["bytes"]["all-gather"] >= line["formula"]
        assert json.loads(json.dumps(line))["sizes"]["devices"] == 2
