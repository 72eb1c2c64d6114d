#!/usr/bin/env bash
# Prints where HAProxy is, which ours is measured beside.
. "$(dirname "$0")/env.sh"
unpacked haproxy
