// Between an entry of config.json and what a form holds. Nothing here decides what is right: Rust
// checks the entry that comes out.
import type { Model } from "$bindings/Model";
import type { Entry } from "../backend";

export const KINDS = ["llamacpp", "ollama", "vllm", "lmstudio", "openai"] as const;

export type RecipeType = "none" | "command" | "http" | "wol";

/** A recipe as a form holds it: each field a text. */
export interface RecipeDraft {
  type: RecipeType;
  command: string;
  args: string;
  env: string;
  url: string;
  method: string;
  headers: string;
  body: string;
  mac: string;
  broadcast: string;
  /** `maxWaitSeconds` or `idleSeconds`. */
  seconds: string;
}

/** A model as a form holds it. */
export interface Draft {
  name: string;
  type: string;
  url: string;
  model: string;
  maxConcurrency: string;
  pool: string;
  description: string;
  contextLength: string;
  apiKeyEnv: string;
  wake: RecipeDraft;
  sleep: RecipeDraft;
}

const text = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";

const object = (value: unknown): Entry =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Entry) : {};

const lines = (value: string): string[] => value.split("\n").filter((line) => line !== "");

export function toDraft(entry: Entry): Draft {
  return {
    name: text(entry.name),
    type: text(entry.type) || "openai",
    url: text(entry.url),
    model: text(entry.model),
    maxConcurrency: text(entry.maxConcurrency),
    pool: text(entry.pool),
    description: text(entry.description),
    contextLength: text(entry.contextLength),
    apiKeyEnv: text(entry.apiKeyEnv),
    wake: toRecipe(object(entry.wake), "maxWaitSeconds"),
    sleep: toRecipe(object(entry.sleep), "idleSeconds"),
  };
}

function toRecipe(recipe: Entry, seconds: string): RecipeDraft {
  const pairs = (value: unknown, between: string): string =>
    Object.entries(object(value))
      .map(([name, of]) => `${name}${between}${text(of)}`)
      .join("\n");
  const type = text(recipe.type);
  return {
    type: type === "command" || type === "http" || type === "wol" ? type : "none",
    command: text(recipe.command),
    args: Array.isArray(recipe.args) ? recipe.args.map(text).join("\n") : "",
    env: pairs(recipe.env, "="),
    url: text(recipe.url),
    method: text(recipe.method),
    headers: pairs(recipe.headers, ": "),
    body: text(recipe.body),
    mac: text(recipe.mac),
    broadcast: text(recipe.broadcast),
    seconds: text(recipe[seconds]),
  };
}

/** The entry that a form describes; an empty field is no key. `before` keeps what no form shows. */
export function toEntry(draft: Draft, before: Entry): Entry {
  return {
    ...before,
    ...known({
      name: draft.name.trim(),
      type: draft.type,
      url: draft.url.trim(),
      model: draft.model.trim(),
      maxConcurrency: number(draft.maxConcurrency),
      pool: draft.pool.trim(),
      description: draft.description.trim(),
      contextLength: number(draft.contextLength),
      apiKeyEnv: draft.apiKeyEnv.trim(),
    }),
    wake: fromRecipe(draft.wake, object(before.wake), "maxWaitSeconds"),
    sleep: fromRecipe(draft.sleep, object(before.sleep), "idleSeconds"),
  };
}

function fromRecipe(draft: RecipeDraft, before: Entry, seconds: string): Entry | undefined {
  if (draft.type === "none") return undefined;
  const same = before.type === draft.type ? before : {};
  const recipe = { ...same, type: draft.type, ...known({ [seconds]: number(draft.seconds) }) };
  if (draft.type === "command") {
    const args = lines(draft.args);
    const env = pairs(draft.env, "=");
    return { ...recipe, ...known({ command: draft.command.trim(), args, env }) };
  }
  if (draft.type === "http") {
    const headers = pairs(draft.headers, ":");
    const { body } = draft;
    const method = draft.method.trim();
    return { ...recipe, ...known({ url: draft.url.trim(), method, headers, body }) };
  }
  return { ...recipe, ...known({ mac: draft.mac.trim(), broadcast: draft.broadcast.trim() }) };
}

/** Without what is empty: absent means the default. */
function known(keys: Entry): Entry {
  const empty = (value: unknown): boolean =>
    value === undefined ||
    value === "" ||
    (Array.isArray(value) && value.length === 0) ||
    (typeof value === "object" && Object.keys(value as object).length === 0);
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [key, empty(value) ? undefined : value]),
  );
}

/** A number where the text is one; otherwise the text, about which Rust says what is wrong. */
function number(value: string): unknown {
  const trimmed = value.trim();
  return /^\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
}

function pairs(value: string, between: string): Entry {
  const split = lines(value).map((line) => {
    const at = line.indexOf(between);
    return at < 0
      ? [line.trim(), ""]
      : [line.slice(0, at).trim(), line.slice(at + between.length).trim()];
  });
  return Object.fromEntries(split);
}

/** The entry as Rust gets it: without keys that are absent. */
export function plain(entry: Entry): Entry {
  return JSON.parse(JSON.stringify(entry)) as Entry;
}

/** The keys that differ; `null` where one is to go. */
export function changes(before: Entry, after: Entry): Entry {
  const changed: Entry = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[key]) !== JSON.stringify(after[key])) {
      changed[key] = after[key] ?? null;
    }
  }
  return changed;
}

/** A name for the catalogue, made of a backend's model id. */
export function nameFor(model: string): string {
  const base = model.split("/").pop() ?? model;
  const bare = base.toLowerCase().replace(/\.gguf$/, "");
  const name = bare.replaceAll(/[^a-z0-9._:-]+/g, "-").replace(/^[^a-z0-9]+/, "");
  return name.slice(0, 63) || "model";
}

/** The entry of a backend's model. One that is published under another name is asked for its own id. */
export function entryFor(models: Model[], model: string): Model | undefined {
  return models.find((entry) => entry.name === nameFor(model) || entry.asks === model);
}
