import pytest

from stillhouse.errors import TaskFileError
from stillhouse.task import load_task

MINIMAL = '[task]\nname = "triage"\ninstruction = "Sort it."\noutput = "choice"\n'


def write(tmp_path, text):
    (tmp_path / "task.toml").write_text(text)
    return tmp_path / "task.toml"


def test_a_minimal_task_has_working_defaults(tmp_path):
    task = load_task(write(tmp_path, MINIMAL))
    assert (task.metric, task.ladder, task.gate.margin, task.teacher.model) == ("accuracy", ("linear",), 0.02, None)
    assert task.resolve("x.jsonl") == (tmp_path / "x.jsonl").resolve()


def test_a_folder_is_as_good_as_its_file(tmp_path):
    write(tmp_path, MINIMAL)
    assert load_task(tmp_path).name == "triage"


def test_bases_give_ladder_entries_short_names(tmp_path):
    task = load_task(
        write(tmp_path, MINIMAL + '[student]\nladder = ["linear", "encoder:mine"]\nbases = {mine = "./weights"}\n')
    )
    assert task.ladder == ("linear", "encoder:./weights")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MINIMAL + 'lables = ["a", "b"]\n', r"unknown key 'lables' in \[task\]; allowed are name, instruction"),
        (MINIMAL + "[studnet]\n", r"unknown section \[studnet\]; allowed are task, data"),
        (MINIMAL + "[gate]\nmargin = 2\n", r"\[gate\] margin = 2: Input should be less than 1"),
        (MINIMAL.replace("choice", "number"), r"\[task\] output = 'number'"),
        ('[task]\nname = "x"\noutput = "text"\n', r"\[task\] needs the key 'instruction'"),
        (MINIMAL.replace("choice", "text") + 'labels = ["a", "b"]\n', r'labels go with output = "choice"'),
        (MINIMAL + 'metric = "sql_execution"\n', r'needs database = "FILE.db"'),
        (MINIMAL + "[data]\nsplit = [0.5, 0.4, 0.2]\n", r"leave rows to train on"),
        ("[task\n", r"not valid TOML"),
        ("", r"the section \[task\] is missing"),
        (MINIMAL.replace('"triage"', '"../evil"'), r"\[task\] name"),
    ],
)
def test_a_mistake_is_one_sentence_naming_file_and_key(tmp_path, text, says):
    with pytest.raises(TaskFileError, match=says) as caught:
        load_task(write(tmp_path, text))
    assert str(caught.value).startswith(str(tmp_path / "task.toml")) and "\n" not in str(caught.value)


def test_a_missing_file_names_the_command_that_writes_one(tmp_path):
    with pytest.raises(TaskFileError, match="stillhouse new"):
        load_task(tmp_path / "none.toml")
