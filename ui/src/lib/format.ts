// Times and numbers as people read them.
import { t } from "./words";

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/** A length of time, as `0.8 s`, `12 s`, `3 min`. */
export function duration(ms: number): string {
  if (ms < 10 * SECOND) return t("format.seconds", { count: (ms / SECOND).toFixed(1) });
  if (ms < 2 * MINUTE) return t("format.seconds", { count: Math.round(ms / SECOND) });
  return t("format.minutes", { count: Math.round(ms / MINUTE) });
}

/** A moment of today as its time, an earlier one with its day. */
export function moment(unixMs: number): string {
  const at = new Date(unixMs);
  const today = at.toDateString() === new Date().toDateString();
  return today
    ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
    : at.toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}
