"""Sends files to mcpd with the official OpenAI client for Python; prints the results as JSON."""

import hashlib
import json
import os

import openai

client = openai.OpenAI()
model, scripts = os.environ["MODEL"], json.loads(os.environ["SCRIPTS"])
script = {name: json.dumps(value) for name, value in scripts.items()}
with open(os.environ["FILE"], "rb") as opened:
    file = ("speech.wav", opened.read())
audio, images = client.audio, client.images
stream = audio.transcriptions.create(
    model=model, file=file, prompt=script["events"], stream=True, timestamp_granularities=["word"]
)
streamed = "".join(event.delta for event in stream if event.type == "transcript.text.delta")
speech = audio.speech.create(model=model, voice="alloy", input=script["speech"])
try:
    audio.transcriptions.create(model="no-such-model", file=file)
    error = None
except openai.NotFoundError as refused:
    error = refused.status_code


def drawn(result):
    return result.data[0].b64_json


results = {
    "transcribed": audio.transcriptions.create(model=model, file=file, prompt=script["text"]).text,
    "streamed": streamed,
    "translated": audio.translations.create(model=model, file=file, prompt=script["text"]).text,
    "drawn": drawn(images.generate(model=model, prompt=script["image"])),
    "edited": drawn(images.edit(model=model, image=[file, file], prompt=script["image"])),
    "varied": drawn(
        images.create_variation(
            model=model, image=file, extra_body={"prompt": script["image"]}
        )
    ),
    "spoken": hashlib.sha256(speech.content).hexdigest(),
    "error": error,
}
print(json.dumps(results))
