#!/usr/bin/env bash
# System tools beyond Python that the tests need: npm (with Node.js), for the art packages of `fewstep data build` and to build the
# web app; Chromium, in which that app is tested; and an ssh server, which plays a board for `fewstep bench --device` (started by the
# tests alone, on the loopback interface).
# Present tools are left alone; missing ones come from the system's package manager where we may use it.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(nodejs npm)
command -v chromium >/dev/null || missing+=(chromium)
PATH="$PATH:/usr/sbin" command -v sshd >/dev/null || missing+=(openssh-server)
command -v ssh >/dev/null || missing+=(openssh-client)
[ ${#missing[@]} = 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    echo "expected ${missing[*]}, found none; install them, Node.js in version 18 or newer, then run again" >&2
    exit 1
fi
