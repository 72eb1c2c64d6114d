#!/usr/bin/env bash
# Prints where LiteLLM's proxy is, a gateway that ours is measured beside when asked; installs it the
# first time (about 500 MB).
. "$(dirname "$0")/env.sh"

version=1.106.0
folder=$cache/litellm
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$version" ]; then
    say "LiteLLM $version into $folder" >&2
    python3 -m venv --clear "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
        "litellm[proxy]==$version" >&2
    printf '%s\n' "$version" >"$folder/installed"
fi
echo "$folder/bin/litellm"
