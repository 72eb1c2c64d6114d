// Builds the page that the tray app embeds. The oldest browsers are WebKitGTK 2.44 and WebView2.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  plugins: [svelte()],
  resolve: { alias: { $bindings: new URL("../src-tauri/bindings", import.meta.url).pathname } },
  clearScreen: false,
  server: { host: "127.0.0.1", port: 5173, strictPort: true },
  build: {
    target: ["safari17.5", "chrome123"],
    // The content security policy allows only files, so nothing is inlined as a data: URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});
