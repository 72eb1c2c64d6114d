// A publisher that speaks only protocol 1. It registers one model, opens the control channel, and
// responds to tasks with results. It prints what happens as lines of JSON.
//
// usage: node protocol1-publisher.mjs MCPD_URL TOKEN NAME

const [url, token, name] = process.argv.slice(2);
const base = `${url}/api/v1/llms`;
const report = (kind, more) => console.log(JSON.stringify({ kind, ...more }));

const post = async (path, body) => {
  const answer = await fetch(base + path, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await answer.text();
  return { status: answer.status, json: text ? JSON.parse(text) : {} };
};

const event = (at) =>
  JSON.stringify({ object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: ` ${at}` } }] });

const perform = async (task) => {
  report("task", { task });
  const path = `/_provider-task/${task.taskId}/result`;
  if (task.kind === "wake") {
    return post(path, { ok: true, ms: 1 });
  }
  if (!task.streaming) {
    const message = { role: "assistant", content: `response to ${task.request.messages[0].content}` };
    return post(path, { status: 200, body: { object: "chat.completion", choices: [{ index: 0, message }] } });
  }
  for (let at = 1; at <= 5; at += 1) {
    await post(path, { chunk: { data: event(at), done: false } });
  }
  return post(path, { chunk: { data: "[DONE]", done: true } });
};

const registered = await post("/_provider-register", {
  providers: [{ name, type: "openai", model: "protocol1-model", tier: "fast" }],
});
report("registered", registered);
const { providerSessionId } = registered.json;
setInterval(async () => {
  report("heartbeat", await post("/_provider-heartbeat", { providerSessionId }));
}, 500);

const channel = await fetch(`${base}/_provider-stream`, {
  headers: {
    authorization: `Bearer ${token}`,
    accept: "text/event-stream",
    "x-mcpctl-provider-session": providerSessionId,
  },
});
report("channel", { status: channel.status });
let rest = "";
for await (const bytes of channel.body.pipeThrough(new TextDecoderStream())) {
  rest += bytes;
  const events = rest.split("\n\n");
  rest = events.pop();
  for (const text of events) {
    const fields = text.split("\n").filter((line) => !line.startsWith(":"));
    const data = fields.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
    if (fields.some((line) => line === "event: task")) {
      const done = await perform(JSON.parse(data.join("\n")));
      report("answered", { status: done.status });
    }
  }
}
