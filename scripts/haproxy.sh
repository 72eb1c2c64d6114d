#!/usr/bin/env bash
# Prints the path of HAProxy, which the benchmark compares with.
. "$(dirname "$0")/env.sh"
unpacked haproxy
