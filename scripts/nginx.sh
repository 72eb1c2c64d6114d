#!/usr/bin/env bash
# Prints where nginx is.
. "$(dirname "$0")/env.sh"
unpacked nginx
