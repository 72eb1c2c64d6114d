// A server that speaks only protocol 1. It has one session, sends the tasks that a test posts to
// /control/task, and prints what it receives as lines of JSON. A test posts faults to /control/faults;
// among them further fields of the reply to a register (`registerReply`) and to a heartbeat
// (`heartbeatReply`), as a newer or a bad server might send.
//
// usage: node protocol1-server.mjs      (prints {"kind": "listening", "url": …})

import http from "node:http";

const report = (kind, more) => console.log(JSON.stringify({ kind, at: Date.now(), ...more }));
const session = "protocol1-session";
let faults = {};
let channel = null;
let registered = false;

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
    report("channel-closed");
    if (channel === response) channel = null;
  });
  report("channel");
  if (faults.cut) response.destroy();
};

const provider = async (request, response, path) => {
  if (path === "_provider-register") {
    const register = await body(request);
    report("register", { register, authorization: request.headers.authorization });
    if (faults.register) return reply(response, faults.register, { error: "the server is unwell" });
    registered = true;
    const llms = register.providers.map(({ name }) => ({ id: name, name, kind: "virtual", status: "active" }));
    return reply(response, 201, { providerSessionId: session, llms, ...faults.registerReply });
  }
  if (path === "_provider-stream") {
    const known = registered && request.headers["x-mcpctl-provider-session"] === session;
    return known ? stream(response) : reply(response, 404, { error: "no such session" });
  }
  if (path === "_provider-heartbeat") {
    report("heartbeat", { heartbeat: await body(request) });
    return registered ? reply(response, 200, faults.heartbeatReply) : reply(response, 404, { error: "no such session" });
  }
  const result = await body(request);
  report("result", { path, result });
  return reply(response, 200, {});
};

const control = async (request, response, path) => {
  if (path === "faults") faults = await body(request);
  if (path === "forget") registered = false;
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
  report("listening", { url: `http://127.0.0.1:${server.address().port}` });
});
