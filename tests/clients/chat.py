"""Calls mcpd with the official OpenAI client for Python; prints the results as JSON."""

import json
import os

import openai

client = openai.OpenAI()
model = os.environ["MODEL"]
request = {
    "messages": [{"role": "user", "content": "57"}],
    "max_tokens": 20,
    "temperature": 0,
    "seed": 1,
}
stream = client.chat.completions.create(model=model, stream=True, **request)
streamed = "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices)
whole = client.chat.completions.create(model=model, **request)
try:
    client.chat.completions.create(model="no-such-model", **request)
    error = None
except openai.NotFoundError as refused:
    error = refused.status_code
results = {
    "models": [found.id for found in client.models.list()],
    "streamed": streamed,
    "whole": whole.choices[0].message.content,
    "tokens": whole.usage.completion_tokens,
    "error": error,
}
print(json.dumps(results))
