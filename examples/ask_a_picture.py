"""One picture, one question, one answer.

python examples/ask_a_picture.py [PICTURE [QUESTION]]
"""

import sys
from pathlib import Path

import smolvlm

picture, question = Path(__file__).with_name("cat.png"), "What is this?"
if len(sys.argv) > 1:
    picture, question = Path(sys.argv[1]), " ".join(sys.argv[2:]) or question

assistant = smolvlm.load("embedded", max_tiles=1)
answer = assistant.ask(picture, question, max_new_tokens=64)

print(answer.text)
print(f"[{answer.finish_reason}, {answer.timings.tokens_per_s:.0f} tokens/s]", file=sys.stderr)
