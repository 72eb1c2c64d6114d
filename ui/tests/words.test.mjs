// The catalogue of texts is complete and has no unused keys.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const ROOT = new URL("../..", import.meta.url).pathname;
const sources = ["ui/src", "src-tauri/src"].flatMap((folder) =>
  readdirSync(ROOT + folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(svelte|ts|rs)$/.test(entry.name))
    .map((entry) => readFileSync(`${entry.parentPath}/${entry.name}`, "utf8")),
);
const code = sources.join("\n");
const words = JSON.parse(readFileSync(`${ROOT}ui/words/en.json`, "utf8"));

test("every key of the catalogue is used", () => {
  // Composed keys are found by their prefix: `page.${id}`.
  const prefixes = [...code.matchAll(/`([a-z]+\.[A-Za-z.]*)\$\{/g)].map((match) => match[1]);
  const isUsed = (key) =>
    code.includes(`"${key}"`) || prefixes.some((prefix) => key.startsWith(prefix));
  assert.deepEqual(
    Object.keys(words).filter((key) => !isUsed(key)),
    [],
  );
});

test("components contain no text outside of the catalogue", () => {
  const markup = sources
    .filter((text) => text.includes("</script>"))
    .map((text) =>
      text
        .replaceAll(/<(script|style)[\s\S]*?<\/\1>/g, "")
        .replaceAll(/<!--[\s\S]*?-->/g, "")
        .replaceAll(/\{[^{}]*(\{[^{}]*(\{[^{}]*\}[^{}]*)*\}[^{}]*)*\}/g, "")
        .replaceAll(/<[^>]*>/g, "\n"),
    );
  const text = markup
    .join("\n")
    .split("\n")
    .map((line) => line.trim());
  const names = ["mcplocal", "Apache-2.0"];
  const stray = text.filter((line) => /[a-z]{3}/.test(line) && !names.includes(line));
  assert.deepEqual(stray, []);
});
