#!/usr/bin/env bash
# Prints where HAProxy is, which ours is measured beside; unpacked into a folder of its own with the
# libraries that this machine lacks, for installing the package would start a server.
. "$(dirname "$0")/env.sh"

if [ -x /usr/sbin/haproxy ]; then
    echo /usr/sbin/haproxy
    exit
fi
folder=$cache/haproxy
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -x "$folder/haproxy" ]; then
    say "HAProxy (3 MB) into $folder" >&2
    cd "$folder"
    as_root apt-get update -q >&2
    missing() { apt-get install -qq --print-uris --no-install-recommends haproxy; }
    missing | sed "s/^[^ ]* \([^_]*\)_.*/\1/" | xargs apt-get download -q >&2
    for package in *.deb; do dpkg-deb -x "$package" .; done
    rm ./*.deb
    libraries=$(dirname "$(find "$folder" -name 'liblua*.so*' | head -n 1)")
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' \
        "$libraries" "$folder/usr/sbin/haproxy" >haproxy
    chmod +x haproxy
fi
echo "$folder/haproxy"
