// What people read, from the one catalogue that the tray uses too.
import words from "../../words/en.json";

export type Key = keyof typeof words;

/** The words of a key, with each `{name}` filled in. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return Object.entries(values).reduce(
    (text, [name, value]) => text.replaceAll(`{${name}}`, String(value)),
    words[key] as string,
  );
}
