"""`stillhouse curves`: what it prints, draws and refuses."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

GOOD = [("prompt", n, seed, 0.5 + 0.1 * i + 0.01 * seed) for i, n in enumerate((16, 32, 64, 128)) for seed in range(3)]
GOOD += [("head", n, seed, 0.3 + 0.1 * i + 0.01 * seed) for i, n in enumerate((16, 32, 64, 128)) for seed in range(3)]


def csv_of(rows, header="arm,n,seed,score"):
    return (
        "\n".join(
            [
                header,
                *(",".join(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row) for row in rows),
            ]
        )
        + "\n"
    )


@pytest.fixture
def compare(stillhouse, tmp_path):
    """`compare(text)` writes the runs (None: no file) and compares prompt with head."""

    def run(content, *options, better="prompt", worse="head"):
        path = tmp_path / "runs.csv"
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return stillhouse("curves", path, "--better", better, "--worse", worse, *options)

    return run


def test_every_fact_is_in_the_words_and_in_the_json(compare, tmp_path):
    found = compare(csv_of(GOOD), "--json").json
    assert found["window"] == pytest.approx([0.51, 0.61])
    assert found["ratio"]["value"] == pytest.approx(4)
    assert (found["spread"], found["protocol"], found["plot"]) == (None, "ours", None)
    assert found["interval"][0] <= found["advantage"] <= found["interval"][1]
    assert found["crossover"]["censored"] == ">"
    assert found["curves"][0]["n_runs"] == [3, 3, 3, 3]
    said = compare(csv_of(GOOD), "--plot", tmp_path / "picture.svg")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].endswith("●" * 3)  # the better arm reaches the top
    assert any(
        line.startswith(f"advantage: prompt is worth {found['advantage']:,.0f} [")
        and "runs: prompt 12, head 12" in line
        for line in lines
    )
    assert "window: scores from 0.51 to 0.61" in lines
    assert any(
        line.startswith("crossover: head does not catch up with prompt by 128 training rows [") for line in lines
    )
    root = ET.fromstring((tmp_path / "picture.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert {"prompt", "head", "window"} <= {element.text for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert compare(csv_of(GOOD), "--plot", tmp_path / "picture.svg").code == 2  # nothing is overwritten


def test_the_papers_protocol_prints_its_spread(compare):
    said = compare(csv_of(GOOD), "--protocol", "lescao2021")
    assert "spread: the standard deviation of 9 values, each with one run of every arm held out" in said.out
    found = compare(csv_of(GOOD), "--protocol", "lescao2021", "--json").json
    assert found["spread"] is not None
    assert (found["interval"], found["n_hold_outs"], found["n_empty_hold_outs"]) == (None, 9, 0)


def test_an_empty_cell_is_a_missing_run_and_other_columns_are_named(compare):
    rows = [(*row, "x") for row in GOOD]
    rows[4] = (*rows[4][:3], "", "x")
    found = compare("\ufeff" + csv_of(rows, "arm,n,seed,score,note"), "--json").json
    assert "columns that were not read: note" in found["notes"]
    assert "runs without a score: prompt at n = 32 with seed 1" in found["notes"]
    assert "prompt lacks runs: 2 of 3 at n = 32" in found["notes"]
    assert found["interval"] is None


def test_the_window_may_be_that_of_other_arms(compare):
    null = [("null", n, seed, score - 0.1) for arm, n, seed, score in GOOD if arm == "prompt"]
    options = ("--window-of", "prompt", "--window-of", "head", "--json")
    assert compare(csv_of(GOOD + null), *options, worse="null").json["window"] == pytest.approx([0.51, 0.61])


def changed(line, **cells):
    """GOOD with one row's cells replaced; `line` as in the file."""
    rows = [dict(zip(("arm", "n", "seed", "score"), row, strict=True)) for row in GOOD]
    rows[line - 2] |= cells
    return csv_of([tuple(row.values()) for row in rows])


def flat(arm, score):
    return csv_of([(name, n, seed, score if name == arm else old) for name, n, seed, old in GOOD])


BAD = [
    ("no file", None, ["runs.csv", "cannot be read"]),
    ("empty file", "", ["runs.csv", "is empty", "arm, n, seed, score"]),
    ("only a header", "arm,n,seed,score\n", ["holds no run"]),
    (
        "wrong columns",
        csv_of(GOOD, "model,n,seed,accuracy"),
        ["lacks the column arm and score", "model, n, seed, accuracy"],
    ),
    ("a column twice", csv_of([(*row, 1) for row in GOOD], "arm,n,seed,score,n"), ["column n twice"]),
    ("semicolons", csv_of(GOOD).replace(",", ";"), ["lacks the column", "arm;n;seed;score"]),
    ("too few cells", csv_of(GOOD) + "prompt,16\n", ["runs.csv:26", "2 cells where the header has 4"]),
    ("an open quote", csv_of(GOOD) + '"prompt,16,9,0.5\n', ["runs.csv:26", "not valid CSV"]),
    ("torn UTF-8", csv_of(GOOD).encode() + b"pr\xc3", ["runs.csv:26", "not valid UTF-8"]),
    ("UTF-16", csv_of(GOOD).encode("utf-16"), ["runs.csv:1", "not valid UTF-8"]),
    ("an arm without a name", changed(3, arm=""), ["runs.csv:3", "the column arm is empty"]),
    ("a run without a seed", changed(3, seed=" "), ["runs.csv:3", "the column seed is empty"]),
    ("a negative size", changed(5, n=-32), ["runs.csv:5", "n = '-32'", "whole number"]),
    ("a fractional size", changed(5, n="32.5"), ["runs.csv:5", "n = '32.5'"]),
    ("a size in words", changed(5, n="many"), ["runs.csv:5", "n = 'many'"]),
    ("an infinite size", changed(5, n="1e999"), ["runs.csv:5", "n = '1e999'"]),
    ("a NaN score", changed(7, score="nan"), ["runs.csv:7", "score = 'nan'", "leave the cell empty"]),
    ("an infinite score", changed(7, score="inf"), ["runs.csv:7", "score = 'inf'"]),
    ("a score of 1e999", changed(7, score="1e999"), ["runs.csv:7", "score = '1e999'"]),
    ("a score of 1e308", changed(7, score="1e308"), ["runs.csv:7", "score = '1e308'"]),
    ("a score in words", changed(7, score="good"), ["runs.csv:7", "score = 'good'"]),
    ("a score with a comma", changed(7, score='"0,7"'), ["runs.csv:7", "score = '0,7'"]),
    ("a score with an underscore", changed(7, score="0_5"), ["runs.csv:7", "score = '0_5'"]),
    (
        "a run twice",
        csv_of([*GOOD, GOOD[3]]),
        ["runs.csv:26", "prompt, n = 32, seed 0 is there twice (first on line 5)"],
    ),
    (
        "an arm without a score",
        csv_of([(arm, n, seed, "" if arm == "head" else score) for arm, n, seed, score in GOOD]),
        ["head has no score at all"],
    ),
    (
        "one size",
        csv_of([row for row in GOOD if row[0] == "prompt" or row[1] == 16]),
        ["head: one training size (n = 16) is no learning curve"],
    ),
    ("a size of zero", changed(2, n=0), ["prompt: n = 0 has no place on a log2 axis"]),
    ("constant scores", flat("prompt", 0.5), ["prompt and head share the single score 0.5"]),
    ("curves far apart", flat("prompt", 0.95), ["share no score", "0.95", "--full-range"]),
]


@pytest.mark.parametrize(("content", "says"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input_is_one_sentence_and_exit_code_two(compare, content, says):
    found = compare(content)
    assert (found.code, found.out) == (2, "")
    assert len(found.err.strip().splitlines()) == 1
    for part in says:
        assert part in found.err


def test_an_arm_that_is_not_there_is_answered_with_those_that_are(compare):
    found = compare(csv_of(GOOD), worse="haed")
    assert found.code == 2
    assert "holds no arm 'haed'; it holds prompt, head" in found.err
    assert "compared with itself" in compare(csv_of(GOOD), worse="prompt").err
    assert "holds no arm 'null'" in compare(csv_of(GOOD), "--window-of", "null").err


def test_curves_that_cross_twice_and_single_runs_are_said_and_no_number_is_made_up(compare):
    twice = [("a", n, 0, score) for n, score in zip((16, 32, 64, 128), (0.5, 0.55, 0.6, 0.65), strict=True)]
    twice += [("b", n, 0, score) for n, score in zip((16, 32, 64, 128), (0.4, 0.59, 0.59, 0.64), strict=True)]
    found = compare(csv_of(twice), better="a", worse="b")
    assert found.code == 0
    assert "crossover: the curves cross 2 times, at about" in found.out
    assert "no single size is the crossover" in found.out
    assert (
        "note: no interval: it takes at least 3 runs at every size, and a has 1 at a size and b has 1 at a size"
        in found.out
    )


def test_the_papers_linear_axis_takes_a_size_of_zero_which_the_picture_leaves_out(compare, tmp_path):
    zero = [(arm, 0, seed, {"prompt": 0.2, "head": 0.25}[arm]) for arm in ("prompt", "head") for seed in range(3)]
    found = compare(csv_of(GOOD + zero), "--protocol", "lescao2021", "--plot", tmp_path / "picture.svg")
    assert found.code == 0, found.err
    assert (
        "prompt catches up with head at about 3 training rows" in found.out
    )  # 0.05 behind at 0, 0.2 ahead at 16: a fifth of the way
    assert "n* = 3" in (tmp_path / "picture.svg").read_text()


def test_an_option_of_the_other_protocol_is_refused(compare):
    assert "--at" in compare(csv_of(GOOD), "--protocol", "lescao2021", "--at", "0.5").err


@pytest.mark.slow
def test_nothing_heavy_is_loaded(tmp_path):
    (tmp_path / "runs.csv").write_text(csv_of(GOOD))
    script = "import sys; from stillhouse.cli import main\ntry: main()\nexcept SystemExit: pass\n"
    script += "print([name for name in ('torch', 'transformers', 'sklearn', 'pyarrow') if name in sys.modules], file=sys.stderr)"
    command = [
        sys.executable,
        "-c",
        script,
        "curves",
        str(tmp_path / "runs.csv"),
        "--better",
        "prompt",
        "--worse",
        "head",
        "--json",
    ]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(found.stdout)["better"] == "prompt"
    assert found.stderr.strip() == "[]"
