#!/usr/bin/env bash
# Prints where nginx is. Without one it is unpacked into a folder of its own: installing the package
# would start a server on this machine.
. "$(dirname "$0")/env.sh"

if [ -x /usr/sbin/nginx ]; then
    echo /usr/sbin/nginx
    exit
fi
folder=$cache/nginx
mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -x "$folder/usr/sbin/nginx" ]; then
    say "nginx (0.5 MB) into $folder" >&2
    cd "$folder"
    if ! apt-get download -q nginx >&2; then
        as_root apt-get update -q >&2
        apt-get download -q nginx >&2
    fi
    dpkg-deb -x nginx_*.deb .
    rm nginx_*.deb
fi
echo "$folder/usr/sbin/nginx"
