// Which page is shown: the part of the address behind `#`, so that a page can be opened by name.

export const PAGES = [
  "overview",
  "models",
  "activity",
  "connection",
  "general",
  "diagnostics",
  "about",
] as const;

export type PageName = (typeof PAGES)[number];

export class Route {
  page = $state<PageName>("overview");
  /** What of the page, as the name of a model. */
  part = $state<string>();

  constructor() {
    this.#read();
    window.addEventListener("hashchange", () => this.#read());
  }

  go(page: PageName, part?: string): void {
    location.hash = href(page, part);
  }

  #read(): void {
    const [page, part] = location.hash.slice(1).split("/", 2);
    this.page = PAGES.find((name) => name === page) ?? "overview";
    this.part = part ? decodeURIComponent(part) : undefined;
  }
}

export function href(page: PageName, part?: string): string {
  return part === undefined ? `#${page}` : `#${page}/${encodeURIComponent(part)}`;
}
