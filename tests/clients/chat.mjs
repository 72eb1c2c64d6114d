// Calls mcpd with the official OpenAI client for JavaScript; prints the results as JSON.

import OpenAI from "openai";

const client = new OpenAI();
const model = process.env.MODEL;
const request = {
  messages: [{ role: "user", content: "57" }],
  max_tokens: 20,
  temperature: 0,
  seed: 1,
};
let streamed = "";
const stream = await client.chat.completions.create({ model, stream: true, ...request });
for await (const piece of stream) streamed += piece.choices[0]?.delta?.content ?? "";
const whole = await client.chat.completions.create({ model, ...request });
let error = null;
try {
  await client.chat.completions.create({ model: "no-such-model", ...request });
} catch (refused) {
  if (refused instanceof OpenAI.NotFoundError) error = refused.status;
}
const models = [];
for await (const found of client.models.list()) models.push(found.id);
const results = {
  models,
  streamed,
  whole: whole.choices[0].message.content,
  tokens: whole.usage.completion_tokens,
  error,
};
console.log(JSON.stringify(results));
