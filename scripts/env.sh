# Shared by all scripts: strictness, one place for build output, a toolchain that works even when
# HOME is another user's or empty. Sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${MCPLOCAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mcplocal}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}

say() { printf '\033[1m==> %s\033[0m\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# rustup looks for its toolchains in HOME, and would install them into an empty one. They are beside the
# binary as well.
find_rust() {
    command -v cargo >/dev/null || die "no cargo: install a Rust toolchain first (rust-lang.org)"
    local home
    home=$(dirname "$(dirname "$(dirname "$(command -v cargo)")")")
    if [ ! -d "${RUSTUP_HOME:-$HOME/.rustup}/toolchains" ] && [ -d "$home/.rustup/toolchains" ]; then
        export RUSTUP_HOME=$home/.rustup
    fi
    cargo --version >/dev/null || die "cargo does not run; see its message above"
    claim_output
}

find_nextest() {
    export PATH=$cache/tools/bin:$PATH
    cargo nextest --version >/dev/null 2>&1 && return 0
    say "installing cargo-nextest (once)"
    cargo install --locked --root "$cache/tools" cargo-nextest
}

# Checkouts share the build output, and cargo compares times only: what another checkout built last would
# pass for a build of these sources. So what it built of our own packages goes first.
claim_output() {
    local stamp=$CARGO_TARGET_DIR/checkout
    [ "$(cat "$stamp" 2>/dev/null)" = "$root" ] && return 0
    if [ -e "$stamp" ]; then cargo clean --quiet --workspace --manifest-path "$root/Cargo.toml"; fi
    mkdir -p "$CARGO_TARGET_DIR"
    printf '%s\n' "$root" >"$stamp"
}

# Everything that is built and tested, with one set of features, so that each dependency is built once.
everything=(--locked --workspace --features e2e/desktop)

# What `make setup` installs is there, or the script ends and says so.
is_set_up() {
    local missing=
    pkg-config --exists webkit2gtk-4.1 2>/dev/null || missing="the desktop's libraries"
    [ -d "$root/ui/node_modules" ] || missing="the page's packages"
    [ -z "$missing" ] || die "$missing are missing: run make setup first"
}

# install_apt GROUP...: the packages of these groups that are missing.
install_apt() {
    command -v dpkg-query >/dev/null || return 0
    local group name missing=()
    while read -r group name; do
        case " $* " in
        *" $group "*) dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q ' installed' ||
            missing+=("$name") ;;
        esac
    done < <(grep -v '^#' "$root/scripts/apt-packages.txt")
    [ ${#missing[@]} = 0 ] && return 0
    say "installing ${missing[*]}"
    as_root apt-get update -q
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -qy --no-install-recommends "${missing[@]}"
}

# unpacked PROGRAM: prints where a server's program is. One that is not installed is unpacked into a
# folder of its own, with the libraries that are missing: installing it would start it.
unpacked() {
    if [ -x "/usr/sbin/$1" ]; then
        echo "/usr/sbin/$1"
        return
    fi
    local folder=$cache/$1
    mkdir -p "$folder"
    exec 9>"$folder/lock"
    flock 9
    if [ ! -x "$folder/run" ]; then
        say "$1 into $folder" >&2
        unpack "$1" "$folder"
    fi
    echo "$folder/run"
}

unpack() {
    cd "$2"
    as_root apt-get update -q >&2
    apt-get install -qq --print-uris --no-install-recommends "$1" |
        sed "s/^[^ ]* \([^_]*\)_.*/\1/" | xargs apt-get download -q >&2
    local package libraries
    for package in *.deb; do dpkg-deb -x "$package" .; done
    rm ./*.deb
    libraries=$(find "$2" -name '*.so*' -printf '%h:' | tr ':' '\n' | sort -u | tr '\n' ':')
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$2/usr/sbin/$1" >run
    chmod +x run
}

# install_npm FOLDER: what its lock file says. Not `npm ci`: that insists on the packages of every
# other platform, which not every mirror of the registry has.
install_npm() {
    command -v npm >/dev/null || die "no npm: install Node 20 or newer first (nodejs.org)"
    # Unlike everybody else, Node does not look where the system keeps its certificates.
    local system=/etc/ssl/certs/ca-certificates.crt
    [ ! -e "$system" ] || export NODE_EXTRA_CA_CERTS=${NODE_EXTRA_CA_CERTS:-$system}
    npm --prefix "$root/$1" install --no-save --no-audit --no-fund --loglevel=error
}

# between NAME PAGE: what comes in stands between the page's marks of that name from now on.
between() {
    local new
    new=$(
        sed "/^<!-- $1: begin -->/q" "$2"
        cat
        sed -n "/^<!-- $1: end -->/,\$p" "$2"
    )
    printf '%s\n' "$new" >"$2"
}
