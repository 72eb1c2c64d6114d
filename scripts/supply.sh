#!/usr/bin/env bash
# `make supply`: checks all dependencies for known vulnerabilities, licences, bans and sources.
#   ADVISORY_DB=path   RustSec's advisory database as a folder or a tar archive; without it, it is cloned
#                      from GitHub
#   NPM_ONLINE=1       checks the signatures of npm packages too
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

say "fetching the dependencies for every platform"
cargo fetch --locked
say "licences, bans, sources"
cargo deny --offline check licenses bans sources
say "npm: sources, check sums, install scripts"
command -v node >/dev/null || die "no node: install Node 20 or newer first (nodejs.org)"
node scripts/packages.mjs

say "npm: signatures of the packages"
if [ -n "${NPM_ONLINE:-}" ]; then
    for part in ui tests/clients; do npm --prefix "$part" audit signatures; done
else
    say "skipped: npm signatures need the registry's keys (NPM_ONLINE=1)"
fi

database=${ADVISORY_DB:-$folder/advisory-db}
if [ -z "${ADVISORY_DB:-}" ] &&
    ! git clone -q --depth 1 https://github.com/rustsec/advisory-db "$database"; then
    say "skipped: known vulnerabilities (the advisory database cannot be cloned; set ADVISORY_DB)"
    exit 0
fi
[ -e "$database" ] || die "no advisory database at $database; check ADVISORY_DB"
# cargo-deny --offline expects the checkout that it would have made itself.
checkout=$folder/db/advisory-db-3157b0e258782691
mkdir -p "$checkout"
if [ -d "$database" ]; then cp -r "$database/." "$checkout"; else tar -xf "$database" -C "$checkout"; fi
rm -rf "$checkout/.git"
git -C "$checkout" init -q
git -C "$checkout" add -A
git -C "$checkout" -c user.name=supply -c user.email=supply@localhost commit -qm database
touch "$checkout/.git/FETCH_HEAD"

say "known vulnerabilities"
sed "s#^\[advisories\]#&\ndb-path = \"$folder/db\"#" deny.toml >"$folder/deny.toml"
cargo deny --offline --config "$folder/deny.toml" check advisories
say "known vulnerabilities, without the exceptions, which only the desktop package may use"
sed '/^ignore = \[/,/^\]/d' "$folder/deny.toml" >"$folder/strict.toml"
cargo deny --offline --config "$folder/strict.toml" --exclude mcplocal check advisories
