// Conversions between values of config.json and the texts of a form.
import type { Entry } from "../commands";

/** The text of a string or number; empty for anything else. */
export const text = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" ? String(value) : "";

/** The object itself; an empty one for anything else. */
export const object = (value: unknown): Entry =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Entry) : {};

/** Sets empty values to `undefined`: an absent key means the default. */
export function withoutEmpty(keys: Entry): Entry {
  const isEmpty = (value: unknown): boolean =>
    value === undefined ||
    value === "" ||
    (Array.isArray(value) && value.length === 0) ||
    (typeof value === "object" && Object.keys(value as object).length === 0);
  return Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [key, isEmpty(value) ? undefined : value]),
  );
}

/** A number if the text is one; otherwise the text, which Rust then refuses. */
export function numberOrText(value: string): unknown {
  const trimmed = value.trim();
  return /^\d+$/.test(trimmed) ? Number(trimmed) : trimmed;
}
