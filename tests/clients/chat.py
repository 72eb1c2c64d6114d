"""What a Python script does with the official OpenAI client; prints what it saw as JSON."""

import json
import os

import openai

client = openai.OpenAI()
model = os.environ["MODEL"]
question = {
    "messages": [{"role": "user", "content": "57"}],
    "max_tokens": 20,
    "temperature": 0,
    "seed": 1,
}
stream = client.chat.completions.create(model=model, stream=True, **question)
streamed = "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices)
whole = client.chat.completions.create(model=model, **question)
try:
    client.chat.completions.create(model="no-such-model", **question)
    error = None
except openai.NotFoundError as refused:
    error = refused.status_code
told = {
    "models": [found.id for found in client.models.list()],
    "streamed": streamed,
    "whole": whole.choices[0].message.content,
    "tokens": whole.usage.completion_tokens,
    "error": error,
}
print(json.dumps(told))
