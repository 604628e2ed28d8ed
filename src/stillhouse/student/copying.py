"""A T5 that can copy: names and numbers that no training row held must still get from the question into the answer.

After CopyNet (Gu et al. 2016, 1603.06393, sections 3.2 and 3.3). Writing and copying share one softmax, and a place
in the question is favoured where the token before it is the one just written. Simpler than CopyNet: a place's score
is added to the logit of its token, where CopyNet adds the score's exponential to the token's share.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration
from transformers.modeling_outputs import Seq2SeqLMOutput


class CopyingT5(T5ForConditionalGeneration):  # type: ignore[misc]
    """Load it by its own `from_pretrained`: a plain T5 would read the same folder and leave out the copying."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        width = config.d_model
        self.copy_query = nn.Linear(width, width, bias=False)
        self.copy_key = nn.Linear(width, width, bias=False)
        self.copy_next = nn.Linear(width, 1)
        nn.init.normal_(self.copy_key.weight, std=width**-0.5)
        # At first nothing is copied, but the token that follows the last one in the question is a little likelier.
        nn.init.zeros_(self.copy_query.weight)
        nn.init.zeros_(self.copy_next.weight)
        nn.init.ones_(self.copy_next.bias)

    def forward(
        self,
        input_ids: Tensor,  # (batch, question); needed beside `encoder_outputs` too, because its tokens are copied
        attention_mask: Tensor,  # (batch, question)
        decoder_input_ids: Tensor,  # (batch, answer)
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
    ) -> Seq2SeqLMOutput:
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        question = encoder_outputs.last_hidden_state  # (batch, question, width)
        decoded = self.decoder(
            input_ids=decoder_input_ids,
            encoder_hidden_states=question,
            encoder_attention_mask=attention_mask,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )
        answer = decoded.last_hidden_state  # (batch, answer, width)
        scaled = answer * self.model_dim**-0.5  # T5 scales the answer like this when its embeddings are tied
        logits = self.lm_head(scaled)  # (batch, answer, vocabulary)
        before = F.pad(input_ids, (1, -1), value=-1)  # (batch, question), each place's token to the left
        follows = before.unsqueeze(1) == decoder_input_ids.unsqueeze(2)  # (batch, answer, question)
        matches = self.copy_query(answer) @ self.copy_key(question).transpose(1, 2)  # (batch, answer, question)
        scores = (matches + follows * self.copy_next(answer)) * attention_mask.unsqueeze(1)  # (batch, answer, question)
        places = input_ids.unsqueeze(1).expand_as(scores)  # (batch, answer, question)
        logits = logits.scatter_add(-1, places, scores.to(logits.dtype))
        return Seq2SeqLMOutput(logits=logits, past_key_values=decoded.past_key_values)
