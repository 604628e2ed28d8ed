"""Turn public files into the dataset rows of the three examples: `python examples/prepare.py esnli|commonsense|svamp [SOURCE]`.

SOURCE is either of two folders, told apart by what lies in it:

- the folder that `STILLHOUSE_DATA` names (the default): `stepbystep/SET/SPLIT.jsonl[.gz]`, one object a line;
- the unzipped `datasets` folder of github.com/google-research/distilling-step-by-step (Apache-2.0): `SET/SET_SPLIT.json` with the
  questions and `SET/llm/SPLIT_CoT_*.json` with PaLM 540B's completions.

Writes `data/train.jsonl`, `data/test.jsonl` (SVAMP: also `data/validation.jsonl`) with gold labels, and `data/teacher.jsonl` with the
teacher's replies as they came, beside the example's `task.toml`, whose `answer_pattern` reads them. Nothing of the data is part of
Stillhouse; each example's README names its licence.
"""

import gzip
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SETS = {"esnli": "esnli", "commonsense": "cqa", "svamp": "svamp"}
# Which splits of the source make which file. e-SNLI: no training file with teacher outputs is public in parsed form, so the official
# development rows are the pool to train on; nothing is trained on test.
PARTS = {
    "esnli": {"train": ["valid"], "test": ["test"]},
    "commonsense": {"train": ["train", "valid"], "test": ["test"]},
    "svamp": {"train": ["train"], "validation": ["valid"], "test": ["test"]},
}
NLI = ("entailment", "neutral", "contradiction")


def main(example: str, source: Path) -> None:
    name, out = SETS[example], Path(__file__).parent / example / "data"
    out.mkdir(exist_ok=True)
    teacher = []
    for part, splits in PARTS[example].items():
        rows = [row for split in splits for row in read(source, name, split)]
        write(
            out / f"{part}.jsonl", ({"id": row["id"], **question(example, row), "label": row["label"]} for row in rows)
        )
        teacher += [{"id": row["id"], "teacher_output": row["teacher_output_raw"]} for row in rows]
        print(f"{out / part}.jsonl: {len(rows)} rows")
    write(out / "teacher.jsonl", iter(teacher))
    print(f"{out / 'teacher.jsonl'}: {len(teacher)} replies of PaLM 540B")


def question(example: str, row: dict[str, Any]) -> dict[str, Any]:
    """The input as a person would give it: NLI as two fields, multiple choice as a question with its choices."""
    if example == "esnli":
        return {"input": {"premise": row["premise"], "hypothesis": row["hypothesis"]}}
    if example == "commonsense":
        return {"input": row["input"].split("\nAnswer Choices:")[0], "choices": row["choices"]}
    return {"input": row["input"]}


def read(source: Path, name: str, split: str) -> Iterator[dict[str, Any]]:
    for parsed in (source / "stepbystep" / name / f"{split}.jsonl", source / "stepbystep" / name / f"{split}.jsonl.gz"):
        if parsed.is_file():
            with (
                gzip.open(parsed, "rt", encoding="utf-8")
                if parsed.suffix == ".gz"
                else parsed.open(encoding="utf-8") as file
            ):
                yield from map(json.loads, file)
            return
    yield from read_paper(source / name, name, split)


def read_paper(folder: Path, name: str, split: str) -> Iterator[dict[str, Any]]:
    """The paper's own files. Its code makes validation rows out of train for two sets; here all of them stay in train."""
    questions = folder / f"{name}_{split}.json"
    if not questions.is_file():
        if split == "valid":
            return
        sys.exit(
            f"{questions}: no such file; name the folder that holds stepbystep/, or the paper's unzipped `datasets` folder"
        )
    completions = [
        text
        for file in sorted(
            (folder / "llm").glob(f"{split}_CoT_*.json"), key=lambda path: int(re.findall(r"\d+", path.stem)[-1])
        )
        for text in json.loads(file.read_text(encoding="utf-8"))
    ]
    with questions.open(encoding="utf-8") as file:
        for number, (row, completion) in enumerate(zip(map(json.loads, file), completions, strict=False)):
            yield {"id": f"{name}-{split}-{number:05d}", "teacher_output_raw": completion, **PAPER_ROW[name](row)}


PAPER_ROW = {
    "esnli": lambda row: {"premise": row["premise"], "hypothesis": row["hypothesis"], "label": NLI[row["label"]]},
    "cqa": lambda row: {
        "input": row.get("question") or row["input"],
        "choices": row["choices"],
        "label": row.get("answer") or row["label"],
    },
    "svamp": lambda row: {"input": row["input"], "label": row["label"]},
}


def write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in SETS:
        sys.exit("usage: python examples/prepare.py esnli|commonsense|svamp [SOURCE]")
    given = sys.argv[2] if len(sys.argv) == 3 else os.environ.get("STILLHOUSE_DATA")
    if given is None:
        sys.exit("name the folder with the public files, as the second word or in STILLHOUSE_DATA")
    main(sys.argv[1], Path(given))
