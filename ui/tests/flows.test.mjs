// What a person does on each page, by keyboard and by mouse, and what Rust is asked for then.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { called, calls, start } from "./browser.mjs";
import { fresh, model, view } from "./fake.mjs";
import { STATES, asked, taken } from "./states.mjs";

let app;
before(async () => {
  app = await start();
});
after(() => app.close());

const show = (page, shown) => page.evaluate((it) => window.fake.show(it), shown);

test("a switch shows what is true and not what was clicked", async () => {
  const page = await app.open({ view: view(), at: "models" });
  const gemma = page.getByRole("switch", { name: "Publish gemma-3" });
  await gemma.click();
  assert.deepEqual(await called(page, "set_publish"), { name: "gemma-3", on: true });
  assert.equal(await gemma.getAttribute("aria-checked"), "false", "Rust has not said so yet");
  const models = view().models.map((model) => ({ ...model, publish: true }));
  await show(page, view({ models }));
  await page.locator("[role=switch][aria-checked=true] >> nth=2").waitFor();
});

test("a switch that Rust refuses says why and stays", async () => {
  const answers = { set_publish: { throws: "config.json belongs to another user" } };
  const page = await app.open({ view: view(), at: "models", answers });
  await page.getByRole("switch", { name: "Publish gemma-3" }).click();
  await page.getByText("config.json belongs to another user").waitFor();
});

test("somebody's request is stopped with one click", async () => {
  const page = await app.open({ view: view(), at: "overview" });
  await page.getByRole("button", { name: "Stop the request of tom" }).click();
  assert.deepEqual(await called(page, "stop_request"), { task: "t1" });
});

test("publishing is paused and goes on again", async () => {
  const page = await app.open({ view: view(), at: "overview" });
  await page.getByRole("button", { name: "For 1 hour" }).click();
  assert.deepEqual(await called(page, "pause"), { pause: "hour" });
  await show(page, view({ publishing: false, headline: "Paused until 15:30" }));
  await page.getByRole("switch", { name: "Publish to mcpd" }).click();
  await page.waitForFunction(() => window.fake.calls.at(-1).args.pause === null);
});

test("only what was changed is saved, and what no form shows stays", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByLabel("Requests at once").fill("3");
  await page
    .getByRole("group", { name: "Wake" })
    .getByLabel("Arguments")
    .fill("--user\nstart\nbig llama");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const wake = { type: "command", command: "systemctl", args: ["--user", "start", "big llama"] };
  assert.deepEqual(await called(page, "save_model"), {
    name: "qwen3-8b",
    keys: { maxConcurrency: 3, wake },
  });
});

test("a recipe of another kind keeps nothing of the first, and no recipe is no key", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByRole("group", { name: "Wake" }).getByLabel("How").selectOption("http");
  await page.getByRole("group", { name: "Wake" }).getByLabel("URL").fill("http://nas/wake");
  await page.getByRole("group", { name: "Wake" }).getByLabel("Headers").fill("x-key: ${KEY}");
  await page.getByRole("group", { name: "Sleep" }).getByLabel("How").selectOption("none");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  const { keys } = await called(page, "save_model");
  const wake = { type: "http", url: "http://nas/wake", headers: { "x-key": "${KEY}" } };
  assert.deepEqual(keys, { wake, sleep: null });
});

test("what is wrong is said beside its field while it is typed, and keeps it from being saved", async () => {
  const message = '"nas" is no whole address';
  const answers = { check_model: [{ field: "url", message }] };
  const page = await app.open({ view: view(), at: "models/qwen3-8b", answers });
  await page.getByLabel("URL", { exact: true }).fill("nas");
  await page.getByText(message).waitFor();
  // The page has also been checked as it was opened.
  await page.waitForFunction(() => window.fake.calls.at(-1).args.entry?.url === "nas");
  assert.equal((await calls(page, "check_model")).at(-1).own, "qwen3-8b");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-invalid") === "true");
  assert.deepEqual(await calls(page, "save_model"), []);
});

test("a wake is tested as it stands in the file: what is not saved is saved first", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByRole("group", { name: "Wake" }).getByLabel("Program").fill("/usr/bin/true");
  await page.getByRole("button", { name: "Save and test wake" }).click();
  assert.deepEqual(await called(page, "test_wake").then(({ name }) => name), "qwen3-8b");
  const order = await page.evaluate(() => window.fake.calls.map((call) => call.command));
  assert.ok(order.indexOf("save_model") < order.indexOf("test_wake"), order.join(" "));
  await page.evaluate(() => window.fake.step({ at: 300, text: "exit code 7", ended: false }));
  await page.getByText("exit code 7").waitFor();
  await page.getByRole("button", { name: "Test wake" }).waitFor();
});

test("a removed model comes back with Undo", async () => {
  const page = await app.open({ view: view(), at: "models/qwen3-8b" });
  await page.getByRole("button", { name: "Remove" }).click();
  assert.deepEqual(await called(page, "remove_model"), { name: "qwen3-8b" });
  await page.getByRole("button", { name: "Undo" }).click();
  await called(page, "undo_removal");
});

test("a found model is added to the list without being published", async () => {
  const page = await app.open({ view: view(), at: "models" });
  await page.getByRole("button", { name: "Add phi-4" }).click();
  const url = "http://127.0.0.1:11434";
  const keys = { name: "phi-4", type: "ollama", url, model: "phi-4", publish: false };
  assert.deepEqual(await called(page, "save_model"), { name: null, keys });
});

test("an address is not found fault with before its field is left", async () => {
  const message = '"https://m" must be typed whole';
  const page = await app.open({ view: fresh(), answers: { check_server: message } });
  const url = page.getByLabel("Server URL");
  await url.pressSequentially("https://m");
  assert.deepEqual(await calls(page, "check_server"), [], "it is being typed");
  await page.getByLabel("Pairing code").focus();
  await page.getByText(message).waitFor();
  assert.equal(await url.getAttribute("aria-invalid"), "true");
  await url.pressSequentially("cpd.example.com");
  await page.getByText(message).waitFor({ state: "detached" });
});

test("the first run leads from a server to an answer", async () => {
  const page = await app.open({ view: fresh() });
  await page.getByLabel("Server URL").fill("https://mcpd.example.com");
  await page.getByLabel("Pairing code").check();
  await page.getByPlaceholder("K7QM-3XTP-9RWD").fill("k7qm 3xtp 9rwd");
  await page.getByRole("button", { name: "Sign in" }).click();
  const url = "https://mcpd.example.com";
  assert.deepEqual(await called(page, "pair"), { url, code: "k7qm 3xtp 9rwd", inFile: false });
  await page.getByRole("button", { name: "Publish phi-4" }).click();
  assert.equal((await called(page, "save_model")).keys.publish, true);
  await show(page, view());
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("switch", { name: "Start at login" }).click();
  assert.deepEqual(await called(page, "start_at_login"), { on: false });
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("button", { name: "Ask it now" }).click();
  await page.getByText("Hello there, my good friend!").waitFor();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByRole("navigation").waitFor();
});

test("a token is sent once and is nowhere on the page afterwards", async () => {
  const page = await app.open({ view: view(), at: "connection" });
  const field = page.locator("input[type=password]");
  await field.fill("mcp_publish_canary");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.equal((await called(page, "sign_in")).token, "mcp_publish_canary");
  await page.getByText("Signed in", { exact: true }).waitFor();
  assert.equal(await field.inputValue(), "");
});

test("without a keychain the token is kept in a file only when the person says so", async () => {
  const answers = {
    sign_in: { throws: { message: "this session has no keychain", help: "file" } },
  };
  const page = await app.open({ view: view(), at: "connection", answers });
  await page.locator("input[type=password]").fill("x");
  await page.getByRole("button", { name: "Sign in" }).click();
  assert.equal((await called(page, "sign_in")).inFile, false);
  await page.getByRole("button", { name: "Keep it in a file" }).click();
  await page.waitForFunction(() => window.fake.calls.at(-1).args.inFile === true);
});

test("a token in a file can be moved to the keychain from any page", async () => {
  const notices = [{ about: "tokenFile", text: "The token is in a file" }];
  const page = await app.open({ view: view({ notices, token: "file" }), at: "general" });
  await page.getByRole("button", { name: "Move it to the keychain" }).click();
  await called(page, "move_to_keychain");
});

test("signing out asks first", async () => {
  const page = await app.open({ view: view(), at: "connection" });
  await page.getByRole("button", { name: "Sign out" }).click();
  assert.deepEqual(await calls(page, "sign_out"), []);
  await page.getByRole("button", { name: "Sign out" }).click();
  await called(page, "sign_out");
});

test("each setting is a change of its own key", async () => {
  const page = await app.open({ view: view(), at: "general" });
  const last = (expected) =>
    page.waitForFunction((keys) => {
      const changes = window.fake.calls.filter((call) => call.command === "change_settings");
      return JSON.stringify(changes.at(-1)?.args.keys) === JSON.stringify(keys);
    }, expected);
  await page.getByRole("switch", { name: "Only when plugged in" }).click();
  await last({ onlyOnAc: true });
  await page.getByRole("switch", { name: "Quiet hours" }).click();
  await last({ quietHours: null });
  await page.getByLabel("From").fill("23:30");
  await page.getByLabel("From").blur();
  await last({ quietHours: { from: "23:30", to: "07:00" } });
  await page.getByLabel("Keep this machine awake").selectOption("publishing");
  await last({ keepAwake: "publishing" });
  await page.getByRole("switch", { name: "a model could not be woken" }).click();
  await last({ notifications: { signIn: true, connection: true, wake: true, requests: true } });
  await page.getByLabel("Colours").selectOption("dark");
  await last({ theme: "dark" });
});

test("a taken name is left behind with one click, from the list and from the model's page", async () => {
  for (const at of ["models", "models/qwen3-8b"]) {
    const page = await app.open({ view: view({ models: [taken] }), at });
    await page.getByText("belongs to another user").waitFor();
    await page.getByRole("button", { name: "Publish as qwen3-8b-mia" }).click();
    assert.deepEqual(await called(page, "publish_as"), { name: "qwen3-8b", new: "qwen3-8b-mia" });
    await page.getByText("Published as qwen3-8b-mia").waitFor();
    const hash = at === "models" ? "#models" : "#models/qwen3-8b-mia";
    assert.equal(await page.evaluate(() => location.hash), hash);
    await page.context().close();
  }
});

test("the first run gets past a taken name, while models are chosen and while one is tried", async () => {
  const setup = STATES.find((state) => state.name === "setup-models-taken");
  const page = await app.open(setup);
  await setup.act(page);
  await page.getByRole("button", { name: "Publish as phi-4-mia" }).click();
  assert.deepEqual(await called(page, "publish_as"), { name: "phi-4", new: "phi-4-mia" });
  await page.getByRole("button", { name: "Publish as qwen3-8b-mia" }).click();
  await show(page, view({ models: [taken] }));
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByRole("button", { name: "Next" }).click();
  const way = page.getByRole("button", { name: "Publish as qwen3-8b-mia" });
  await way.waitFor();
  assert.equal(await page.getByRole("button", { name: "Ask it now" }).count(), 0);
  const mine = model("qwen3-8b-mia", { publish: true, tone: "good", state: "ready" });
  await show(page, view({ models: [{ ...mine, asks: "qwen3-8b" }] }));
  await page.getByRole("button", { name: "Ask it now" }).click();
  assert.deepEqual(await called(page, "try_model"), { name: "qwen3-8b-mia" });
});

test("a model that is published under another name is not offered once more", async () => {
  const mine = { ...model("phi-4-mia", { publish: true }), asks: "phi-4" };
  const page = await app.open({ view: view({ models: [mine] }), at: "models" });
  await page.getByRole("button", { name: "Add gemma-3" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Add phi-4" }).count(), 0);
});

test("the first run without a backend says what to do and leads to where one is entered", async () => {
  const setup = STATES.find((state) => state.name === "setup-models-none");
  const page = await app.open(setup);
  await setup.act(page);
  await page.getByText("Start one of them and look again").waitFor();
  await page.getByRole("button", { name: "Add by hand…" }).click();
  await page.getByRole("heading", { name: "A new model" }).waitFor();
});

test("who asks for a name is allowed it, or not now, which can be taken back", async () => {
  const page = await app.open({ view: view({ models: [asked] }), at: "models/qwen3-8b" });
  await page.getByText("tom would like to publish qwen3-8b too").waitFor();
  await page.getByRole("button", { name: "Allow tom" }).press("Enter");
  const name = "qwen3-8b";
  assert.deepEqual(await called(page, "share_name"), { name, with: "tom", on: true });
  const resting = () => document.activeElement?.id === "sharing";
  await page.waitForFunction(resting);
  await page.getByRole("button", { name: "Not now, ann" }).press("Enter");
  assert.deepEqual(await called(page, "decline_name"), { name, user: "ann", on: true });
  await page.getByRole("button", { name: "Undo" }).click();
  await page.waitForFunction(() => window.fake.calls.at(-1).args.on === false);
});

test("a name is shared by hand, and what is wrong with the entry is said beside it", async () => {
  const message = "shareName: a group must have a name";
  const answers = { share_name: { throws: message } };
  const page = await app.open({ view: view({ models: [asked] }), at: "models/qwen3-8b", answers });
  await page.getByLabel("Share it with").fill("group:");
  await page.getByLabel("Share it with").press("Enter");
  await page.getByText(message).waitFor();
  assert.equal(await page.getByLabel("Share it with").getAttribute("aria-invalid"), "true");
  await page.evaluate(() => (window.fake.answers.share_name = undefined));
  await page.getByLabel("Share it with").fill(" group:lab ");
  await page.getByRole("button", { name: "Share", exact: true }).click();
  const last = (with_, on) =>
    page.waitForFunction(
      (wish) => {
        const { args } = window.fake.calls.filter((call) => call.command === "share_name").at(-1);
        return args.with === wish.with && args.on === wish.on;
      },
      { with: with_, on },
    );
  await last("group:lab", true);
  assert.equal(await page.getByLabel("Share it with").inputValue(), "");
  await page.getByRole("button", { name: "Do not share with everybody any more" }).click();
  await last("*", false);
  await page.getByRole("button", { name: "Undo" }).click();
  await last("*", true);
});

test("the tray leads to the model that somebody asks for", async () => {
  const page = await app.open({ view: view({ models: [asked] }) });
  await page.getByRole("heading", { name: "In use now" }).waitFor();
  await page.evaluate(() => window.fake.want("models", "qwen3-8b"));
  await page.getByRole("heading", { name: "Sharing this name" }).waitFor();
});

test("what is in the bundle is shown before it can be saved", async () => {
  const page = await app.open({ view: view(), at: "diagnostics" });
  const save = page.getByRole("button", { name: "Save…" });
  assert.equal(await save.count(), 0);
  await page.getByRole("button", { name: "See what is in it" }).click();
  await page.getByText("about.json").click();
  await page.getByText('"version": "0.1.0"').waitFor();
  await save.click();
  await page.getByText("Saved as /home/mia/mcplocal-diagnostics.zip").waitFor();
});

test("the tray leads to the page that it names", async () => {
  const page = await app.open({ view: view() });
  await page.getByRole("heading", { name: "In use now" }).waitFor();
  await page.evaluate(() => window.fake.want("activity"));
  await page.getByRole("heading", { name: "Activity" }).waitFor();
});

test("a new view moves nothing that was drawn", async () => {
  const page = await app.open({ view: view(), at: "overview" });
  await page.getByRole("heading", { name: "In use now" }).waitFor();
  const place = () => page.getByRole("heading", { name: "Published", exact: true }).boundingBox();
  const before = await place();
  const models = view().models.map((model) => ({ ...model, tone: "asleep", state: "asleep" }));
  await show(page, view({ models, mark: "online" }));
  await page.getByText("asleep").nth(1).waitFor();
  assert.deepEqual(await place(), before);
});

test("everything on every page is reached by keyboard, and it is seen where one is", async () => {
  const all = STATES.filter((state) => state.view);
  for (const state of all) {
    const page = await app.open(state);
    await page.locator("h1").first().waitFor({ state: "attached" });
    await state.act?.(page);
    await page.evaluate(() => {
      document.activeElement?.blur();
      const controls = "a[href], button, input, select, textarea, summary, [tabindex='0']";
      window.missing = new Set(
        [...document.querySelectorAll(controls)].filter((element) => element.checkVisibility()),
      );
      // Of radio buttons that belong together one is reached by Tab and the others by arrows.
      for (const radio of document.querySelectorAll("input[type=radio]:not(:checked)")) {
        window.missing.delete(radio);
      }
    });
    // A time has several stops.
    const most = await page.evaluate(() => 2 * window.missing.size + 10);
    for (let at = 0; at < most && (await page.evaluate(() => window.missing.size > 0)); at += 1) {
      await page.keyboard.press("Tab");
      const hidden = await page.evaluate(() => {
        const on = document.activeElement;
        window.missing.delete(on);
        return on !== document.body && on?.matches(":focus-visible")
          ? getComputedStyle(on).outlineStyle === "none"
          : false;
      });
      assert.equal(hidden, false, `${state.name}: the focus cannot be seen`);
    }
    const missing = await page.evaluate(() => [...window.missing].map((m) => m.outerHTML));
    assert.deepEqual(missing, [], state.name);
    await page.context().close();
  }
});
