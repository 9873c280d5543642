#!/usr/bin/env bash
# System tools beyond Python that the tests need: npm (with Node.js), for the art packages of `fewstep data build`.
# Present tools are left alone; missing ones come from the system's package manager where we may use it.
set -euo pipefail

command -v npm >/dev/null && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends nodejs npm
else
    echo "expected npm on PATH, found none; install Node.js 18 or newer with npm, then run again" >&2
    exit 1
fi
