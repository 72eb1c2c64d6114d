// The pages of the window, in the order of the navigation. A new page is an entry here, its component,
// and its texts: the title is `page.<id>` in the catalogue.
import type { Component } from "svelte";
import ActivityIcon from "@lucide/svelte/icons/activity";
import BoxesIcon from "@lucide/svelte/icons/boxes";
import GaugeIcon from "@lucide/svelte/icons/gauge";
import InfoIcon from "@lucide/svelte/icons/info";
import PlugIcon from "@lucide/svelte/icons/plug";
import SettingsIcon from "@lucide/svelte/icons/settings";
import StethoscopeIcon from "@lucide/svelte/icons/stethoscope";
import type { PageProps } from "./page";
import About from "./pages/About.svelte";
import Activity from "./pages/Activity.svelte";
import Connection from "./pages/Connection.svelte";
import Diagnostics from "./pages/Diagnostics.svelte";
import General from "./pages/General.svelte";
import Models from "./pages/Models.svelte";
import Overview from "./pages/Overview.svelte";
import type { PageId } from "./router.svelte";

export interface Page {
  icon: Component<{ size?: number }>;
  component: Component<PageProps>;
}

export const PAGES: Record<PageId, Page> = {
  overview: { icon: GaugeIcon, component: Overview },
  models: { icon: BoxesIcon, component: Models },
  activity: { icon: ActivityIcon, component: Activity },
  connection: { icon: PlugIcon, component: Connection },
  general: { icon: SettingsIcon, component: General },
  diagnostics: { icon: StethoscopeIcon, component: Diagnostics },
  about: { icon: InfoIcon, component: About },
};

export const PAGE_IDS = Object.keys(PAGES) as PageId[];
