#!/usr/bin/env bash
# `make supply`: known holes, licences, bans and sources of everything that we build on. It
# needs no network once that is fetched. ADVISORY_DB is the advisory database, as a folder or an archive.
. "$(dirname "$0")/env.sh"

install_apt base
find_rust
export PATH=$cache/tools/bin:$PATH
if ! cargo deny --version >/dev/null 2>&1; then
    say "installing cargo-deny (once)"
    cargo install --locked --root "$cache/tools" cargo-deny
fi
cd "$root"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

say "the sources for every system"
cargo fetch --locked
say "licences, bans, sources"
cargo deny --offline check licenses bans sources
say "npm: sources, check sums, install scripts"
command -v node >/dev/null || die "no node: install Node 20 or newer first (nodejs.org)"
node scripts/packages.mjs

database=${ADVISORY_DB:-$root/../shared/data/advisory-db.tar.xz}
if [ ! -e "$database" ]; then
    say "skipped: known holes (no advisory database at $database; set ADVISORY_DB)"
    exit 0
fi
# cargo-deny wants it as the checkout that it would have made itself.
checkout=$folder/db/advisory-db-3157b0e258782691
mkdir -p "$checkout"
if [ -d "$database" ]; then cp -r "$database/." "$checkout"; else tar -xf "$database" -C "$checkout"; fi
rm -rf "$checkout/.git"
git -C "$checkout" init -q
git -C "$checkout" add -A
git -C "$checkout" -c user.name=supply -c user.email=supply@localhost commit -qm database
touch "$checkout/.git/FETCH_HEAD"

say "known holes"
sed "s#^\[advisories\]#&\ndb-path = \"$folder/db\"#" deny.toml >"$folder/deny.toml"
cargo deny --offline --config "$folder/deny.toml" check advisories
say "known holes in all but the desktop package, which alone has exceptions"
sed '/^ignore = \[/,/^\]/d' "$folder/deny.toml" >"$folder/strict.toml"
cargo deny --offline --config "$folder/strict.toml" --exclude mcplocal check advisories
say "npm: signatures of the packages"
if [ -n "${NPM_ONLINE:-}" ]; then
    for part in ui tests/clients; do npm --prefix "$part" audit signatures; done
else
    say "skipped: npm signatures need the registry's keys (NPM_ONLINE=1)"
fi
