#!/usr/bin/env bash
# Prints the path of nginx, which tests and the benchmark use as a proxy.
. "$(dirname "$0")/env.sh"
unpacked nginx
