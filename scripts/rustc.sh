#!/usr/bin/env bash
# The gate's compiler for the workspace's own packages (cargo's RUSTC_WORKSPACE_WRAPPER): compiles with
# clippy's lints and checks the documentation with the same arguments. `cargo clippy` and `cargo doc`
# would check each dependency again, beside building it.
set -euo pipefail
rustc=$1
shift
clippy-driver "$rustc" "$@"
case " $* " in
*" --test "* | *" --print="* | *" --crate-name build_script_"*) exit 0 ;;
*" --crate-type lib "*) arguments=() ;;
# A program's pages are for its authors, as with `cargo doc`, and its help texts have `<placeholders>`.
*" --crate-type bin "*)
    arguments=(--document-private-items -A rustdoc::private_intra_doc_links -A rustdoc::invalid_html_tags)
    ;;
*) exit 0 ;;
esac
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
while [ $# -gt 0 ]; do
    case $1 in
    --emit=* | --json=* | --error-format=* | --diagnostic-width=*) ;;
    --out-dir) shift ;;
    -C)
        [[ $2 = incremental=* ]] || arguments+=(-C "$2")
        shift
        ;;
    *) arguments+=("$1") ;;
    esac
    shift
done
# Help texts are doc comments too, and show URLs as people type them.
rustdoc "${arguments[@]}" --out-dir "$pages" -D warnings -A rustdoc::bare_urls
