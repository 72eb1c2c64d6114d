// Short messages that go by themselves, with at most one thing to do about them.

/** How long one stays, in milliseconds. */
const STAYS = 8_000;
/** The most at once; the oldest goes. */
const MOST = 4;

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
    this.list = [...this.list, toast].slice(-MOST);
    setTimeout(() => this.close(toast.id), STAYS);
  }
}

export const toasts = new Toasts();

/** Runs it; what goes wrong is shown. */
export async function or_say(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    toasts.bad(error);
  }
}
