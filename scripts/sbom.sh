#!/usr/bin/env bash
# `sbom.sh FOLDER`: what is inside of our programs and of the page, as CycloneDX, into that folder.
. "$(dirname "$0")/env.sh"

folder=$(realpath "${1:?a folder}")
find_rust
export PATH=$cache/tools/bin:$PATH
if ! cargo cyclonedx --version >/dev/null 2>&1; then
    say "installing cargo-cyclonedx (once)"
    cargo install --locked --root "$cache/tools" cargo-cyclonedx
fi
# It writes beside each manifest: so it gets a copy of the tree.
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$root" archive HEAD | tar -x -C "$copy"
cd "$copy"
cargo cyclonedx --format json --spec-version 1.5 --all-features --quiet
for part in server server/cli src-tauri/agent src-tauri; do
    cp "$part"/*.cdx.json "$folder/"
done
npm sbom --prefix "$root/ui" --sbom-format cyclonedx --package-lock-only --loglevel=error >"$folder/page.cdx.json"
find "$folder" -name '*.cdx.json' | sort
