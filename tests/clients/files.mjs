// Sends files to mcpd with the official OpenAI client for JavaScript; prints the results as JSON.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";

import OpenAI from "openai";

const client = new OpenAI();
const { audio, images } = client;
const model = process.env.MODEL;
const script = {};
for (const [name, value] of Object.entries(JSON.parse(process.env.SCRIPTS))) {
  script[name] = JSON.stringify(value);
}
const file = () => createReadStream(process.env.FILE);
const transcribe = (prompt, more) =>
  audio.transcriptions.create({ model, file: file(), prompt, ...more });
let streamed = "";
for await (const event of await transcribe(script.events, { stream: true })) {
  if (event.type === "transcript.text.delta") streamed += event.delta;
}
let error = null;
try {
  await transcribe("", { model: "no-such-model" });
} catch (refused) {
  if (refused instanceof OpenAI.NotFoundError) error = refused.status;
}
const drawn = (result) => result.data[0].b64_json;
const prompt = script.image;
const speech = await audio.speech.create({ model, voice: "alloy", input: script.speech });
const spoken = createHash("sha256").update(Buffer.from(await speech.arrayBuffer()));
const results = {
  transcribed: (await transcribe(script.text)).text,
  streamed,
  translated: (await audio.translations.create({ model, file: file(), prompt: script.text })).text,
  drawn: drawn(await images.generate({ model, prompt })),
  edited: drawn(await images.edit({ model, image: [file(), file()], prompt })),
  varied: drawn(await images.createVariation({ model, image: file(), prompt })),
  spoken: spoken.digest("hex"),
  error,
};
console.log(JSON.stringify(results));
