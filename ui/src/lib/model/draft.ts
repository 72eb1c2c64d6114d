// Conversion between an entry of config.json and the draft that the form edits. Rust checks the result.
import type { Entry } from "../commands";
import { fromRecipeDraft, toRecipeDraft, type RecipeDraft } from "./recipes";
import { numberOrText, object, text, withoutEmpty } from "./values";

/** A model while it is edited: every field is a text. */
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

/** Fills a draft from an entry. */
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
    wake: toRecipeDraft(object(entry.wake), "wake"),
    sleep: toRecipeDraft(object(entry.sleep), "sleep"),
  };
}

/** The entry of a draft; an empty field is an absent key. Keys of `before` without a field are kept. */
export function toEntry(draft: Draft, before: Entry): Entry {
  const entry = {
    ...before,
    ...withoutEmpty({
      name: draft.name.trim(),
      type: draft.type,
      url: draft.url.trim(),
      model: draft.model.trim(),
      maxConcurrency: numberOrText(draft.maxConcurrency),
      pool: draft.pool.trim(),
      description: draft.description.trim(),
      contextLength: numberOrText(draft.contextLength),
      apiKeyEnv: draft.apiKeyEnv.trim(),
    }),
    wake: fromRecipeDraft(draft.wake, object(before.wake), "wake"),
    sleep: fromRecipeDraft(draft.sleep, object(before.sleep), "sleep"),
  };
  // Drops the keys that are undefined, as they would be on the way to Rust.
  return JSON.parse(JSON.stringify(entry)) as Entry;
}

/** The keys that differ; `null` for a key that was removed. */
export function changedKeys(before: Entry, after: Entry): Entry {
  const changed: Entry = {};
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (JSON.stringify(before[key]) !== JSON.stringify(after[key])) {
      changed[key] = after[key] ?? null;
    }
  }
  return changed;
}
