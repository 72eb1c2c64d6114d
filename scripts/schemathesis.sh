#!/usr/bin/env bash
# Asks a running mcpd everything that its OpenAPI document allows, and much that it does not: no answer
# may be a failure of the server, or another one than the document says.
. "$(dirname "$0")/env.sh"

version=4.32.5
tool=$cache/schemathesis
if [ "$(cat "$tool/installed" 2>/dev/null)" != "$version" ]; then
    say "installing schemathesis (once)"
    python3 -m venv --clear "$tool"
    "$tool/bin/python" -m pip install --quiet --disable-pip-version-check "schemathesis==$version"
    printf '%s\n' "$version" >"$tool/installed"
fi
find_rust
cd "$root"
cargo build --locked --bins
mcpd=$CARGO_TARGET_DIR/debug/mcpd
folder=$(mktemp -d)
# A tenth of the usual waits: a call of a model whose publisher is not connected waits for a minute.
MCPD_TIME_SCALE=0.1 "$mcpd" --data-dir "$folder" --listen 127.0.0.1:0 >"$folder/out" 2>"$folder/err" &
server=$!
trap 'kill $server; rm -rf "$folder"' EXIT
until grep -q listening "$folder/out"; do
    kill -0 "$server" || die "mcpd has ended: $(tail -5 "$folder/err")"
    sleep 0.1
done
url=$(sed -n 's/^mcpd listening on //p' "$folder/out")
token=$("$mcpd" --data-dir "$folder" token create --user probe --scope infer,publish,admin --json |
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
say "asking mcpd everything that its document allows"
# The long poll waits, as it should, frames are nothing that the tool can make up, and the key must not
# take itself away. 503 says that a model, which the tool itself has registered, has no publisher.
cd "$folder"
printf '[checks.not_a_server_error]\nexpected-statuses = ["2XX", "3XX", "4XX", "503"]\n' >schemathesis.toml
"$tool/bin/st" run "$url/openapi.json" --header "Authorization: Bearer $token" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --max-examples "${EXAMPLES:-50}" --request-timeout 30 --seed 1 --no-color \
    --exclude-path-regex '_provider-(stream|poll|uplink)' --exclude-method DELETE
kill -0 "$server" || die "mcpd has ended: $(tail -5 "$folder/err")"
