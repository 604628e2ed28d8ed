"""Without the extra: one sentence that names it."""

import subprocess
import sys

MISSING = """
import sys
sys.modules["pydantic_ai"] = None
from stillhouse.errors import MissingExtraError
try:
    import stillhouse.interop.pydantic_ai
except MissingExtraError as error:
    print(error)
"""


def test_without_the_extra_one_sentence_names_it():
    said = subprocess.run([sys.executable, "-c", MISSING], capture_output=True, text=True, check=True).stdout
    assert said == "pydantic-ai is not installed; `pip install 'stillhouse[pydantic-ai]'`\n"
