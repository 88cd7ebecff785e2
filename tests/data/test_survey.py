"""Frequencies, counted again by loops."""

import json

import numpy as np

from jaxseg.data.labels import LabelSet
from jaxseg.data.survey import Survey

TWO = LabelSet(names=("cat", "dog"), palette=((1, 2, 3), (4, 5, 6)))


def survey_of(*masks):
    survey = Survey.empty(2)
    for mask in masks:
        survey.add(np.array(mask, np.uint8))
    return survey


def test_pixels_and_pictures_are_counted_by_class():
    masks = [[[0, 0, 255]], [[0, 1, 7]], [[255, 255, 255]]]
    survey = survey_of(*masks)
    flat = [[min(i, 2) for row in mask for i in row] for mask in masks]
    for i in range(3):
        assert survey.pixels[i] == sum(ids.count(i) for ids in flat)
        assert survey.pictures[i] == sum(i in ids for ids in flat)
    assert survey.num_pictures == 3


def test_parts_add_up():
    whole = survey_of([[0, 1]], [[1, 255]])
    whole.add_problem("a.png is cut short")
    part = survey_of([[1, 255]])
    part.add_problem("a.png is cut short")
    assert (survey_of([[0, 1]]) + part).as_json() == whole.as_json()


def test_a_survey_survives_json():
    survey = survey_of([[0, 1, 255]])
    survey.add_problem("b.png")
    again = Survey.from_json(json.loads(json.dumps(survey.as_json())))
    assert again.as_json() == survey.as_json()


def test_the_report_has_shares_of_all_pixels():
    report = survey_of([[0, 0, 1, 255]]).report(TWO)
    assert [(c["name"], c["share"]) for c in report["classes"]] == [
        ("cat", 0.5),
        ("dog", 0.25),
        ("unlabelled", 0.25),
    ]
    assert json.loads(json.dumps(report)) == report


def test_no_picture_has_shares_of_0():
    report = Survey.empty(2).report(TWO)
    assert [c["share"] for c in report["classes"]] == [0, 0, 0]
