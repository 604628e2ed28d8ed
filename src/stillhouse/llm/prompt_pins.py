"""What decides a prompt's answers, as two hashes: the task's text, and the teacher with its parameters.

A cascade's promise was made beside one prompt and one teacher. `cascade.json` keeps these hashes, and whoever opens
the cascade computes them anew from what lies there. They go by values: a file that is only written otherwise is the
same.
"""

from pathlib import Path

from stillhouse.errors import ModelNameError
from stillhouse.llm.worked import worked_examples
from stillhouse.runs import file_sha256, value_sha256
from stillhouse.task import Task
from stillhouse.user_code import source_files

# Settings that change what a call costs or how fast it is made, and no answer. `model` and `examples` are names of
# what is hashed by its content.
_NO_PART_OF_THE_ANSWER = {
    "model",
    "examples",
    "max_usd",
    "prices",
    "price_in",
    "price_out",
    "price_cached",
    "price_written",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "context_tokens",
    "tokenizer",
    "licence",
    "max_shots",
}


def task_pin(task: Task) -> str:
    """The hash of what is asked: the instruction, the answers allowed, the schema and the worked examples."""
    shots = [[shot.input, shot.label, shot.teacher_rationale, shot.choices] for shot in worked_examples(task)]
    return value_sha256([task.name, task.instruction, task.output, task.labels, task.metric, task.schema, shots])


def teacher_pin(name: str, task: Task) -> str:
    """The hash of who is asked and how: the name, the parameters that are set, and the file or code that answers.

    Only what is set counts, so that a setting of a later version, left at its default, changes nothing. Raises
    ModelNameError where the file or the code of the teacher is not there.
    """
    settings = task.teacher.model_dump(mode="json", exclude_unset=True, exclude=_NO_PART_OF_THE_ANSWER)
    kind, _, place = name.partition(":")
    content: list[str] = []
    if kind == "recorded":
        content = [file_sha256(recorded_file(place, task))]
    elif kind == "scripted":
        content = [file_sha256(path) for path in script_files(place)]
    return value_sha256([name, settings, content])


def recorded_file(place: str, task: Task) -> Path:
    """The file of `recorded:PLACE`. Raises ModelNameError where there is none."""
    path = task.resolve(place)
    if not path.is_file():
        raise ModelNameError(f"recorded:{path}: no such file; give a JSONL file with id and teacher_label")
    return path


def script_files(script: str) -> list[Path]:
    """The files with the code of `scripted:MODULE:OBJECT`; nothing is imported. Raises ModelNameError."""
    try:
        return source_files(script.partition(":")[0])
    except ImportError as error:
        raise ModelNameError(
            f"scripted:{script}: its code is not here ({error}), and a run carries no code; "
            "install the module that the run was measured with"
        ) from None
