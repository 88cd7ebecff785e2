"""A class's name becomes the texts that published systems ask CLIP for."""

import pytest

from jaxseg.data import prompts, splits
from jaxseg.data.labels import VOC

LSEG_COCO = (
    "person bicycle car motorbike aeroplane bus train truck boat trafficlight "
    "firehydrant stopsign parkingmeter bench bird cat dog horse sheep cow elephant "
    "bear zebra giraffe backpack umbrella handbag tie suitcase frisbee skis snowboard "
    "sportsball kite baseballbat baseballglove skateboard surfboard tennisracket "
    "bottle wineglass cup fork knife spoon bowl banana apple sandwich orange broccoli "
    "carrot hotdog pizza donut cake chair sofa pottedplant bed diningtable toilet "
    "tvmonitor laptop mouse remote keyboard cellphone microwave oven toaster sink "
    "refrigerator book clock vase scissors teddybear hairdrier toothbrush"
)


def test_coco_is_written_as_lseg_did():
    assert prompts.spell(splits.coco_things(), spelling="lseg") == LSEG_COCO.split()
    assert set(VOC.names[1:]) <= set(LSEG_COCO.split())


def test_names_stay_as_they_are_unless_asked():
    given = ["traffic light", "diningtable", "tv"]
    assert prompts.spell(given) == given


def test_the_background_is_all_others():
    assert prompts.spell(VOC.names)[0] == "others"
    assert prompts.spell(["background"], background="wall") == ["wall"]


def test_some_classes_may_have_words_of_their_own():
    given = ["background", "tvmonitor", "cat"]
    words = {"tvmonitor": "tv", "background": "no object"}
    assert prompts.spell(given, spelling=words) == ["no object", "tv", "cat"]


@pytest.mark.parametrize(
    "spelling, message",
    [
        ("LSeg", "'own' or 'lseg', or words by class name: got 'LSeg'"),
        ({"cats": "cat"}, "'cats', which is no class; did you mean 'cat'"),
        ({"cat": " "}, "class 'cat' has an empty text"),
    ],
)
def test_words_of_no_class_are_refused(spelling, message):
    with pytest.raises(ValueError, match=message):
        prompts.spell(["cat"], spelling=spelling)


def test_templates_are_filled_in_order():
    forms = prompts.choose_templates(("a {}", "the {}."))
    assert prompts.fill(["cat", "dog"], forms) == [
        ["a cat", "the cat."],
        ["a dog", "the dog."],
    ]
    assert prompts.choose_templates("photo") == ("a photo of a {}",)
    assert len(prompts.choose_templates("imagenet_7")) == 7


@pytest.mark.parametrize(
    "templates, message",
    [
        ("a photo of {}", "one of name, a, photo, imagenet_7, or a tuple"),
        (("a {}", "a photo"), "got 'a photo'"),
        (("{} and {}",), "got '{} and {}'"),
        ((), "no template"),
    ],
)
def test_what_is_no_template_is_refused(templates, message):
    with pytest.raises(ValueError, match=message):
        prompts.choose_templates(templates)
