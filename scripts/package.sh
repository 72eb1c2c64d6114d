#!/usr/bin/env bash
# Builds the tray app as people install it, optimised: `package.sh deb` (the default), or another
# kind of package that this system can make. The last line says where it is.
. "$(dirname "$0")/env.sh"

install_apt base desktop
find_rust
cd "$root"
say "building the page"
install_npm ui
npm --prefix ui run build
say "building the package (the first time takes many minutes)"
(cd src-tauri && ../ui/node_modules/.bin/tauri build --ci --no-sign --bundles "${1:-deb}" -- --locked --profile desktop)
say "what is inside, as CycloneDX"
mkdir -p "$CARGO_TARGET_DIR/desktop/bundle/sbom"
"$root/scripts/sbom.sh" "$CARGO_TARGET_DIR/desktop/bundle/sbom"
find "$CARGO_TARGET_DIR/desktop/bundle/${1:-deb}" -maxdepth 1 -type f | tail -1
