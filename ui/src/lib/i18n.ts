// Texts that people read, from the catalogue that the tray uses too.
import texts from "../../words/en.json";

/** A key of the catalogue. */
export type Key = keyof typeof texts;

/** Returns the text of a key with each `{name}` replaced by its value. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return Object.entries(values).reduce(
    (text, [name, value]) => text.replaceAll(`{${name}}`, String(value)),
    texts[key] as string,
  );
}
