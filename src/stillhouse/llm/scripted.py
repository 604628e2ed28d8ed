"""`scripted:module:object`: a Python callable in a model's place, for tests and the demo.

The callable takes (request, example or None) and returns the reply's text, or a Completion, at once or as an awaitable.
It may have two attributes: `priced_as`, the model whose list price its tokens are counted at, and `stand_in`, by which
it is called a stand-in wherever it is shown. Tokens are estimated at four characters each, and marked as estimated.
"""

import inspect
import time
from collections.abc import Callable
from typing import Any

from stillhouse.errors import ModelNameError, TeacherError
from stillhouse.llm.request import Completion, Request, is_unicode, text_listener, text_of
from stillhouse.records import Example, Usage
from stillhouse.user_code import object_named

CHARACTERS_PER_TOKEN = 4  # length of a token in English text, the usual rule of thumb


def load_script(name: str) -> Callable[..., Any]:
    """The callable that `module:object` names, in the working folder or installed. Raises ModelNameError."""
    try:
        script = object_named(name)
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise ModelNameError(f"scripted:{name}: cannot be imported ({error}); give scripted:module:object") from None
    if not callable(script):
        raise ModelNameError(f"scripted:{name}: is not callable; give a function of (request, example)")
    return script  # type: ignore[no-any-return]


async def ask_script(script: Callable[..., Any], request: Request, example: Example | None) -> Completion:
    """One reply of the script, timed, with its tokens estimated from the text."""
    began = time.perf_counter()
    try:
        inspect.signature(script).bind(request, example)
    except TypeError as error:
        raise TeacherError(
            f"{request.model}: the script cannot be called with (request, example): {error}; "
            "give it these two parameters"
        ) from None
    except ValueError:
        pass  # some builtins have no signature to look at
    reply = script(request, example)
    if inspect.isawaitable(reply):
        reply = await reply
    if isinstance(reply, Completion):
        return reply
    if not isinstance(reply, str):
        raise TeacherError(
            f"{request.model}: the script answered with {type(reply).__name__} {reply!r:.80}; "
            "return the reply's text, or a Completion"
        )
    if not is_unicode(reply):
        return Completion(None, error="reply is not valid Unicode", latency_s=time.perf_counter() - began)
    if (heard := text_listener.get()) is not None:
        heard(reply)
    n_input = -(-sum(len(text_of(message)) for message in request.messages) // CHARACTERS_PER_TOKEN)
    usage = Usage(n_input, -(-len(reply) // CHARACTERS_PER_TOKEN), estimated=True)
    return Completion(reply, finish_reason="stop", usage=usage, latency_s=time.perf_counter() - began)
