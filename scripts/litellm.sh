#!/usr/bin/env bash
# Prints the path of LiteLLM's proxy, a gateway that the benchmark compares with on request. Installs
# it the first time (about 500 MB).
. "$(dirname "$0")/env.sh"

version=1.106.0
folder=$cache/litellm
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$version" ]; then
    say "installing LiteLLM $version into $folder (once)" >&2
    python3 -m venv --clear "$folder" >&2
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
        "litellm[proxy]==$version" >&2
    printf '%s\n' "$version" >"$folder/installed"
fi
echo "$folder/bin/litellm"
