// Short messages that disappear after a while, with at most one action.

/** How long a toast is shown, in milliseconds. */
const SHOWN_MS = 8_000;
/** The most toasts at once; the oldest is dropped. */
const TOASTS_MAX = 4;

export interface Toast {
  id: number;
  text: string;
  bad: boolean;
  action?: { label: string; run: () => void } | undefined;
}

export class Toasts {
  list = $state.raw<Toast[]>([]);
  #next = 0;

  good(text: string, action?: Toast["action"]): void {
    this.#add({ id: this.#next++, text, bad: false, action });
  }

  bad(error: unknown): void {
    this.#add({ id: this.#next++, text: String(error), bad: true });
  }

  close(id: number): void {
    this.list = this.list.filter((toast) => toast.id !== id);
  }

  #add(toast: Toast): void {
    this.list = [...this.list, toast].slice(-TOASTS_MAX);
    setTimeout(() => this.close(toast.id), SHOWN_MS);
  }
}

export const toasts = new Toasts();

/** Waits for the work; shows its error as a toast. */
export async function toastErrors(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    toasts.bad(error);
  }
}
