import copy
import json

import pytest

from report_samples import full, smallest
from stillhouse.errors import UserError
from stillhouse.results.error_analysis import Confusion
from stillhouse.results.run_result import from_dict, load_result, to_dict
from stillhouse.runs import write_json


@pytest.mark.parametrize("make", [full, smallest])
def test_a_result_survives_json(make):
    assert from_dict(json.loads(json.dumps(to_dict(make())))) == make()


def test_a_result_is_read_from_its_run_directory(tmp_path):
    write_json(tmp_path / "result.json", to_dict(full()))
    assert load_result(tmp_path) == load_result(tmp_path / "result.json") == full()


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda raw: raw.update(colour="red"), "colour: Unexpected keyword argument"),
        (lambda raw: raw.pop("task"), "task: Field required"),
        (lambda raw: raw.update(n_test="40"), "n_test: Input should be a valid integer"),
        (lambda raw: raw.update(format=2), "format: Input should be 1"),
        (lambda raw: raw["arms"][0]["score"].update(p=0.5), "arms.0.score: an estimate has no 'p'"),
        (
            lambda raw: raw["arms"][0]["score"].update(value=float("nan")),
            "arms.0.score: an estimate holds finite numbers; unknown is null",
        ),
        (lambda raw: raw["arms"][0].update(macro_f1=float("inf")), "arms.0.macro_f1: Input should be a finite number"),
        (
            lambda raw: raw["arms"][0].update(cost_usd_per_1000=-1.0),
            "arms.0.cost_usd_per_1000: Input should be greater than or equal to 0",
        ),
        (
            lambda raw: raw["curves"]["curves"][0]["points"][0].update(n=0),
            "curves.curves.0.points.0.n: Input should be greater than or equal to 1",
        ),
        (
            lambda raw: raw["confusion"].update(counts=[[1]]),
            "confusion: a confusion matrix of 3 labels has 3 rows of 3 counts",
        ),
        (lambda raw: raw["verdict"].update(kind="maybe"), "verdict.kind: Input should be"),
    ],
)
def test_a_wrong_result_is_refused_in_one_sentence_that_names_file_and_key(break_it, sentence):
    raw = copy.deepcopy(to_dict(full()))
    break_it(raw)
    with pytest.raises(UserError) as error:
        from_dict(raw, where="runs/esnli-3/result.json")
    assert str(error.value).startswith(f"runs/esnli-3/result.json: {sentence}")
    assert "run the command again" in str(error.value)


def test_confusion_counts_rows_with_and_without_an_answer():
    assert Confusion("student", ("a", "b"), ((3, 1), (0, 4)), (1, 0)).n == 9
