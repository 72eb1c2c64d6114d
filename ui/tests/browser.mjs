// The built page in a real Chromium, served with the app's content security policy.
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";
import { preview } from "vite";
import { RESULTS, install } from "./fake.mjs";

const read = (path) => readFileSync(new URL(path, import.meta.url), "utf8");

/** Sizes of the window: large, default, and default at 200 % zoom. */
export const SIZES = [
  { name: "large", width: 1280, height: 800 },
  { name: "default", width: 940, height: 660 },
  { name: "zoomed", width: 470, height: 330 },
];

/** Serves the page and starts the browser; `close` stops both. */
export async function start() {
  const { csp } = JSON.parse(read("../../src-tauri/tauri.conf.json")).app.security;
  const server = await preview({
    root: new URL("..", import.meta.url).pathname,
    preview: { host: "127.0.0.1", port: 0, headers: { "Content-Security-Policy": csp } },
    logLevel: "warn",
  });
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
  });
  const url = server.resolvedUrls.local[0];
  return {
    /** Opens the page with this state, at this address. */
    async open({ view, results = {}, broken, at = "" }) {
      const context = await browser.newContext({
        viewport: SIZES[1],
        reducedMotion: "reduce",
        locale: "en-GB",
      });
      const page = await context.newPage();
      const problems = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      page.on("console", (line) => {
        if (line.type() === "error") problems.push(line.text());
      });
      await page.addInitScript(install, { view, broken, results: { ...RESULTS, ...results } });
      await page.goto(`${url}#${at}`);
      page.problems = problems;
      return page;
    },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}

/** The arguments of every call of this command. */
export const calls = (page, command) =>
  page.evaluate(
    (name) => window.fake.calls.filter((call) => call.command === name).map((call) => call.args),
    command,
  );

/** Waits until the page has called this command; returns the last call's arguments. */
export async function called(page, command) {
  await page.waitForFunction(
    (name) => window.fake.calls.some((call) => call.command === name),
    command,
  );
  return (await calls(page, command)).at(-1);
}
