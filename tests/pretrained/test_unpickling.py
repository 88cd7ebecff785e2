"""Names in a pickle mean what the table says, or nothing."""

import collections
import contextlib
import io
import pickle
import pickletools

import pytest

from jaxseg.pretrained import unpickling
from jaxseg.pretrained.unpickling import Foreign, HostilePickle, Storage, Tensor

REBUILD = "torch._utils _rebuild_tensor_v2"


def load(pickled):
    return unpickling.Unpickler(io.BytesIO(pickled)).load()


# Pickles by hand, piece by piece; a whole one ends with ".".


def plain(value):
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def named(name):
    module, attribute = name.split()
    return f"c{module}\n{attribute}\n".encode()


def joined(*pieces):
    return b"(" + b"".join(pieces) + b"t"


def called(name, *pieces):
    return named(name) + joined(*pieces) + b"R"


def storage(kind="torch FloatStorage", *view):
    head = plain("storage"), named(kind), plain("7"), plain("cuda:0"), plain(10)
    return joined(*head, *view) + b"Q"


def tensor(*arguments, of=None):
    return called(REBUILD, of or storage(), *map(plain, arguments)) + b"."


PROTOCOLS = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


@PROTOCOLS
def test_plain_data_is_as_it_was(protocol):
    tree = {
        "numbers": [1, -2.5, True, None, 2**80],
        "texts": ("a", "b" * 300),
        "ordered": collections.OrderedDict(b=1, a=2),
    }
    assert load(pickle.dumps(tree, protocol)) == tree


def test_strings_of_python_2_may_hold_any_bytes():
    assert load(b"U\x03a\xe9b.") == "a\xe9b"


class Thing:
    """Pickles with all that can be done to an object: state, elements, items."""

    ran = False

    def __init__(self):
        type(self).ran = True

    def __setstate__(self, state):
        type(self).ran = True

    def __reduce__(self):
        return Thing, (), {"state": 1}, iter([1, 2]), iter([("key", "value")])


@PROTOCOLS
def test_an_unknown_class_stays_inert(protocol):
    tree = {"thing": Thing.__new__(Thing), "class": Thing, "set": {1, 2}}
    found = load(pickle.dumps(tree, protocol))
    assert not Thing.ran
    assert isinstance(found["thing"], Foreign)
    assert found["thing"].wanted == f"{__name__}.Thing"
    assert issubclass(found["class"], Foreign)


def test_what_a_foreign_thing_gives_is_foreign():
    made = called("some.where maker", plain(1))
    assert load(made + joined(plain(2)) + b"R.").wanted == "some.where.maker"


@pytest.mark.parametrize(
    "name",
    [
        *("os system", "posix system", "nt system", "subprocess Popen", "sys exit"),
        *("builtins eval", "__builtin__ exec", "builtins __import__", "io open"),
        *("importlib import_module", "os.path join", "builtins eval.__call__"),
    ],
)
def test_hostile_names_are_refused(name):
    with pytest.raises(HostilePickle, match=name.replace(" ", ".")):
        load(called(name, plain("true")) + b".")


@pytest.mark.parametrize(
    "name",
    ["builtins getattr", "torch load", "torch hub.load", "_codecs encode", "x y"],
)
def test_other_names_are_nothing(name):
    found = load(called(name, plain("a"), plain("b")) + b".")
    assert found.wanted == name.replace(" ", ".")


@pytest.mark.parametrize(
    "name",
    [
        *(REBUILD, "collections OrderedDict", "torch Size", "torch FloatStorage"),
        *("torch float16", "x y", "__torch__ Model"),
    ],
)
def test_a_pickle_cannot_change_what_the_next_one_means(name):
    changes = plain({"__defaults__": (1, 2, 3, 4), "wanted": "changed", "x": 1})
    for state in (changes, joined(plain(None), changes)):  # attributes, or slots
        with contextlib.suppress(AttributeError, TypeError, HostilePickle):
            load(named(name) + state + b"b.")
    assert Foreign.wanted == "an object"
    assert load(called("x y") + b".").wanted == "x.y"
    assert load(tensor(0, (), ())).shape == ()
    with pytest.raises(TypeError):
        load(called(REBUILD, storage()) + b".")


@pytest.mark.parametrize("name", sorted(unpickling.KNOWN))
def test_a_pickle_cannot_leave_anything_in_what_it_names(name):
    known = unpickling.KNOWN[name]
    state = plain({"evil": 1})
    for change in (state, joined(plain(None), state)):
        with pytest.raises((HostilePickle, AttributeError, TypeError)):
            load(named(" ".join(name)) + change + b"b.")
    assert not hasattr(known, "evil") and not hasattr(type(known), "evil")
    assert not hasattr(type(known).__call__, "evil")
    assert isinstance(known, type) or not hasattr(known, "__dict__")


def test_modules_of_a_compiled_program_hold_their_attributes():
    made = named("__torch__.clip Model") + b")\x81"
    whole = load(made + plain({"width": 3, "training": True}) + b"b.")
    assert whole == {"width": 3, "training": True}
    assert load(made + plain("something else") + b"b.") == {}


def test_changing_how_tensors_are_made_is_hostile():
    with pytest.raises(HostilePickle, match="_RebuildTensor.__setstate__"):
        load(named(REBUILD) + plain({"evil": 1}) + b"b.")


def test_a_tensor_is_where_and_how_its_numbers_lie():
    found = load(tensor(3, (2, 1), (1, 5), False, None))
    assert found == Tensor(Storage("7", "float32"), "float32", 3, (2, 1), (1, 5))


@pytest.mark.parametrize("count", [-1, 2.0, "10"])
def test_a_storage_has_a_number_of_numbers(count):
    kind = named("torch FloatStorage")
    pieces = plain("storage"), kind, plain("7"), plain("cpu"), plain(count)
    with pytest.raises(pickle.UnpicklingError, match="where a count should be"):
        load(joined(*pieces) + b"Q.")


def test_an_untyped_storage_leaves_the_dtype_to_the_tensor():
    arguments = map(plain, (3, (2,), (1,), False, None))
    untyped = storage("torch.storage UntypedStorage")
    rebuild = "torch._utils _rebuild_tensor_v3"
    found = load(called(rebuild, untyped, *arguments, named("torch uint16")) + b".")
    assert found == Tensor(Storage("7", "uint8"), "uint16", 3, (2,), (1,))


def test_a_view_of_a_storage_begins_later():
    view = plain(("8", 4, 6))
    found = load(tensor(0, (2,), (1,), of=storage("torch FloatStorage", view)))
    assert found.storage == Storage("7", "float32", start=4)


@pytest.mark.parametrize(
    "arguments",
    [
        (-1, (2,), (1,)),
        (0, (-2,), (1,)),
        (0, (2,), (-1,)),
        (0, (2, 2), (1,)),
        (0, ("2",), (1,)),
        (0, (2.0,), (1,)),
        (0, (2**40, 2**40), (0, 0)),
        ("0", (2,), (1,)),
    ],
)
def test_counts_that_make_no_tensor_are_refused(arguments):
    with pytest.raises(pickle.UnpicklingError):
        load(tensor(*arguments))


@pytest.mark.parametrize(
    "of", [plain("text"), plain(None), storage("torch QInt8Storage"), named("x y")]
)
def test_a_tensor_needs_a_storage_of_a_known_kind(of):
    with pytest.raises((pickle.UnpicklingError, AttributeError)):
        load(tensor(0, (2,), (1,), of=of))
