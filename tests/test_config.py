import dataclasses

import pytest

from jaxseg import config

KNOWN = dict(total_steps=1, data=dict(batch_size=1, crop=(2, 2)), model={}, method={})


@dataclasses.dataclass
class Thing:
    size: int
    part: object = None


def test_make_builds_nested_specs_first():
    spec = dict(
        name=f"{__name__}:Thing", size=1, part=dict(name=f"{__name__}:Thing", size=2)
    )
    assert config.make("models", spec) == Thing(1, Thing(2))


def test_a_name_is_a_path_below_its_layer():
    schedule = config.make("optimizers", dict(name="constant", peak=0.5), total_steps=3)
    assert float(schedule(0)) == 0.5


def test_lists_from_json_become_tuples():
    spec = dict(name=f"{__name__}:Thing", size=[1, [2, 3]])
    assert config.make("models", spec).size == (1, (2, 3))


def test_a_misspelt_key_names_the_nearest():
    with pytest.raises(config.ConfigError, match="'sise'.*did you mean 'size'"):
        config.make("models", dict(name=f"{__name__}:Thing", sise=1))


def test_a_misspelt_class_names_the_nearest():
    with pytest.raises(config.ConfigError, match="'sdg'.*did you mean 'sgd'"):
        config.make("optimizers", dict(name="sdg"))


def test_a_misspelt_module_names_the_nearest():
    with pytest.raises(config.ConfigError, match="did you mean 'supervised'"):
        config.make("methods", dict(name="supervized.Supervised"))


def test_a_missing_dependency_is_not_taken_for_a_missing_module(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        config.find("models", "needs_more:Thing")


def test_an_unknown_section_is_refused():
    config.check(KNOWN)
    with pytest.raises(config.ConfigError, match="did you mean 'optimizer'"):
        config.check(KNOWN | dict(optimiser={}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(every=dict(chekpoint=1)), "config.every; did you mean 'checkpoint'"),
        (dict(evals=dict(val=dict(split="val", batchsize=1))), "'batch_size'"),
        (dict(evals=dict(val=dict(batch_size=1))), "evals.val has no 'split'"),
        (dict(data=dict(crop=(2, 2))), "lacks 'data.batch_size'"),
    ],
)
def test_keys_inside_sections_are_checked_too(change, message):
    with pytest.raises(config.ConfigError, match=message):
        config.check(KNOWN | change)


def test_differences_see_through_json_and_skip_what_may_change():
    ours = dict(a=dict(b=(1, 2), c=1), every=dict(log=1))
    theirs = dict(a=dict(b=[1, 2], c=2), every=dict(log=5))
    assert config.differences(ours, theirs, ignore=("every",)) == ["a.c: 1 -> 2"]
    assert config.differences(ours, ours) == []


def test_a_key_that_only_one_config_has_differs():
    assert config.differences({}, dict(a=1)) == ["a: '(absent)' -> 1"]


def test_unset_variables_in_paths_are_named(monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/there")
    assert config.expand("$SOMEWHERE/camvid") == "/there/camvid"
    monkeypatch.delenv("SOMEWHERE")
    with pytest.raises(config.ConfigError, match="variable SOMEWHERE"):
        config.expand("$SOMEWHERE/camvid")


def test_a_config_file_is_read_with_its_variants(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import ml_collections\n"
        "def get_config(variant=''):\n"
        "    return ml_collections.ConfigDict(dict(data=dict(words=variant)))\n"
    )
    assert config.load(path, "batch", "", "tiny") == {"data": {"words": "batch,tiny"}}
    assert type(config.load(path)["data"]) is dict
