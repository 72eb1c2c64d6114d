// A server as the seed system has it: protocol 1 and nothing more. It knows one session, hands out
// the tasks that a test posts to /control/task, and tells what it gets as lines of JSON. Faults
// that a test wants are posted to /control/faults; among them what it says beside its usual answer to
// a register (`registered`) and to a heartbeat (`beaten`), as a newer server or a bad one would.
//
// usage: node seed-mcpd.mjs      (prints {"kind": "listening", "url": …})

import http from "node:http";

const tell = (kind, more) => console.log(JSON.stringify({ kind, at: Date.now(), ...more }));
const session = "seed-session-0001";
let faults = {};
let channel = null;
let knows = false;

const body = async (request) => {
  const pieces = [];
  for await (const piece of request) pieces.push(piece);
  const text = Buffer.concat(pieces).toString();
  return text ? JSON.parse(text) : {};
};

const reply = (response, status, json) => {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(json === undefined ? "" : JSON.stringify(json));
};

const stream = (response) => {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write(faults.garbage ?? ": connected\n\n");
  channel = response;
  const comments = setInterval(() => response.write(": ka\n\n"), 1000);
  response.on("close", () => {
    clearInterval(comments);
    tell("channel-closed");
    if (channel === response) channel = null;
  });
  tell("channel");
  if (faults.cut) response.destroy();
};

const provider = async (request, response, path) => {
  if (path === "_provider-register") {
    const register = await body(request);
    tell("register", { register, authorization: request.headers.authorization });
    if (faults.register) return reply(response, faults.register, { error: "the seed is unwell" });
    knows = true;
    const llms = register.providers.map(({ name }) => ({ id: name, name, kind: "virtual", status: "active" }));
    return reply(response, 201, { providerSessionId: session, llms, ...faults.registered });
  }
  if (path === "_provider-stream") {
    const known = knows && request.headers["x-mcpctl-provider-session"] === session;
    return known ? stream(response) : reply(response, 404, { error: "no such session" });
  }
  if (path === "_provider-heartbeat") {
    tell("heartbeat", { heartbeat: await body(request) });
    return knows ? reply(response, 200, faults.beaten) : reply(response, 404, { error: "no such session" });
  }
  const result = await body(request);
  tell("result", { path, result });
  return reply(response, 200, {});
};

const control = async (request, response, path) => {
  if (path === "faults") faults = await body(request);
  if (path === "forget") knows = false;
  if (path === "close") channel?.end();
  if (path === "task") channel.write(`event: task\ndata: ${JSON.stringify(await body(request))}\n\n`);
  reply(response, 200, {});
};

const server = http.createServer(async (request, response) => {
  const path = request.url.replace("/api/v1/llms/", "");
  if (path.startsWith("/control/")) return control(request, response, path.slice(9));
  return provider(request, response, path);
});
server.listen(0, "127.0.0.1", () => {
  tell("listening", { url: `http://127.0.0.1:${server.address().port}` });
});
