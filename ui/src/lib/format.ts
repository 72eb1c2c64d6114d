// Times and durations as people read them.
import { t } from "./i18n";

const SECOND_MS = 1_000;
const MINUTE_MS = 60 * SECOND_MS;

/** Formats a duration, as `0.8 s`, `12 s` or `3 min`. */
export function duration(ms: number): string {
  if (ms < 10 * SECOND_MS) return t("format.seconds", { count: (ms / SECOND_MS).toFixed(1) });
  if (ms < 2 * MINUTE_MS) return t("format.seconds", { count: Math.round(ms / SECOND_MS) });
  return t("format.minutes", { count: Math.round(ms / MINUTE_MS) });
}

/** Formats a time of today, or an earlier date and time. */
export function moment(unixMs: number): string {
  const at = new Date(unixMs);
  const today = at.toDateString() === new Date().toDateString();
  return today
    ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
    : at.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}
