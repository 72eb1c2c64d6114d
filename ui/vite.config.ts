// Builds the page that the tray app embeds. WebKitGTK 2.44 and WebView2 are the oldest readers.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  clearScreen: false,
  server: { host: "127.0.0.1", port: 5173, strictPort: true },
  build: {
    target: ["safari17.5", "chrome123"],
    // The page's policy allows files of its own only: nothing inlined as a data: address.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
