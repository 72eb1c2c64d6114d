// The fields of wake and sleep recipes. The form and the conversion to config.json follow this table:
// for a new kind of Rust's table, add an entry here and its texts. Rust checks the values.
import { RECIPE_KINDS } from "$bindings/kinds";
import type { Entry } from "../commands";
import type { Key } from "../i18n";
import { numberOrText, object, text, withoutEmpty } from "./values";

/** How a field's text becomes a value of config.json. */
type Format =
  /** One line, trimmed. */
  | { input: "line" }
  /** Several lines, as they are. */
  | { input: "text" }
  /** An array with one item per line. */
  | { input: "list" }
  /** An object with one key per line; `separator` follows the key. */
  | { input: "map"; separator: string };

export interface RecipeField {
  /** The key in config.json. */
  key: string;
  label: Key;
  hint?: Key;
  placeholder?: string;
  format: Format;
}

type RecipeKindId = (typeof RECIPE_KINDS)[number]["id"];

/** Kinds that share a key must share its format, because a draft holds one text for both. */
const RECIPES: Record<RecipeKindId, { label: Key; fields: RecipeField[] }> = {
  command: {
    label: "recipe.type.command",
    fields: [
      {
        key: "command",
        label: "recipe.command",
        hint: "recipe.commandHint",
        format: { input: "line" },
      },
      { key: "args", label: "recipe.args", hint: "recipe.argsHint", format: { input: "list" } },
      {
        key: "env",
        label: "recipe.env",
        hint: "recipe.envHint",
        format: { input: "map", separator: "=" },
      },
    ],
  },
  http: {
    label: "recipe.type.http",
    fields: [
      { key: "url", label: "recipe.url", format: { input: "line" } },
      {
        key: "method",
        label: "recipe.method",
        placeholder: "POST",
        format: { input: "line" },
      },
      {
        key: "headers",
        label: "recipe.headers",
        hint: "recipe.headersHint",
        format: { input: "map", separator: ":" },
      },
      { key: "body", label: "recipe.body", format: { input: "text" } },
    ],
  },
  wol: {
    label: "recipe.type.wol",
    fields: [
      {
        key: "mac",
        label: "recipe.mac",
        placeholder: "aa:bb:cc:dd:ee:ff",
        format: { input: "line" },
      },
      {
        key: "broadcast",
        label: "recipe.broadcast",
        placeholder: "255.255.255.255",
        format: { input: "line" },
      },
    ],
  },
};

/** Wakes a backend, or puts it to sleep. */
export type Purpose = "wake" | "sleep";

/** The key of a recipe's seconds, and its default. */
export const SECONDS = {
  wake: { key: "maxWaitSeconds", label: "recipe.maxWaitSeconds", placeholder: "60" },
  sleep: { key: "idleSeconds", label: "recipe.idleSeconds", placeholder: "900" },
} as const satisfies Record<Purpose, { key: string; label: Key; placeholder: string }>;

/** A recipe while it is edited: every field is a text. */
export interface RecipeDraft {
  kind: RecipeKindId | "none";
  /** The texts of all kinds' fields, by key. */
  fields: Record<string, string>;
  seconds: string;
}

/** The kinds to choose from, with their labels. */
export function recipeChoices(purpose: Purpose): [RecipeDraft["kind"], Key][] {
  const kinds = RECIPE_KINDS.filter((kind) => purpose === "wake" || kind.canSleep);
  return [["none", "recipe.type.none"], ...kinds.map(({ id }) => choice(id))];
}

const choice = (id: RecipeKindId): [RecipeKindId, Key] => [id, RECIPES[id].label];

/** The fields of a kind. */
export const recipeFields = (kind: RecipeDraft["kind"]): RecipeField[] =>
  kind === "none" ? [] : RECIPES[kind].fields;

/** Fills a draft from a recipe of config.json. */
export function toRecipeDraft(recipe: Entry, purpose: Purpose): RecipeDraft {
  const kind = RECIPE_KINDS.find(({ id }) => id === recipe.type);
  const fields = Object.values(RECIPES).flatMap((of) => of.fields);
  return {
    kind: kind?.id ?? "none",
    fields: Object.fromEntries(fields.map(({ key, format }) => [key, print(recipe[key], format)])),
    seconds: text(recipe[SECONDS[purpose].key]),
  };
}

/** The recipe of a draft. `before` is the recipe in the file: a recipe of its kind keeps other keys. */
export function fromRecipeDraft(
  draft: RecipeDraft,
  before: Entry,
  purpose: Purpose,
): Entry | undefined {
  if (draft.kind === "none") return undefined;
  const other = before.type === draft.kind ? before : {};
  const fields = recipeFields(draft.kind).map(({ key, format }) => [
    key,
    parse(draft.fields[key] ?? "", format),
  ]);
  return {
    ...other,
    type: draft.kind,
    ...withoutEmpty({ [SECONDS[purpose].key]: numberOrText(draft.seconds) }),
    ...withoutEmpty(Object.fromEntries(fields) as Entry),
  };
}

function print(value: unknown, format: Format): string {
  if (format.input === "list") return Array.isArray(value) ? value.map(text).join("\n") : "";
  if (format.input !== "map") return text(value);
  const between = format.separator === ":" ? ": " : format.separator;
  return Object.entries(object(value))
    .map(([name, of]) => `${name}${between}${text(of)}`)
    .join("\n");
}

function parse(value: string, format: Format): unknown {
  switch (format.input) {
    case "line":
      return value.trim();
    case "text":
      return value;
    case "list":
      return lines(value);
    case "map":
      return Object.fromEntries(lines(value).map((line) => split(line, format.separator)));
  }
}

const lines = (value: string): string[] => value.split("\n").filter((line) => line !== "");

/** Splits at the first separator; a line without one is a key with an empty value. */
function split(line: string, separator: string): [string, string] {
  const at = line.indexOf(separator);
  if (at < 0) return [line.trim(), ""];
  return [line.slice(0, at).trim(), line.slice(at + separator.length).trim()];
}
