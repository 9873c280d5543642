#!/usr/bin/env bash
# System tools beyond Python that the tests need: npm (with Node.js), for the art packages of `fewstep data build` and to build the
# web app; Chromium, in which that app is tested; Debian's tools that build an APK and read one, and the libraries of the Kotlin tests (the Kotlin
# compiler itself comes from npm, see tests/apps/android/package.json); and an ssh server, which plays a board for `fewstep bench --device` (started by the
# tests alone, on the loopback interface).
# Present tools are left alone; missing ones come from the system's package manager where we may use it.
set -euo pipefail

missing=()
command -v npm >/dev/null || missing+=(nodejs npm)
command -v chromium >/dev/null || missing+=(chromium)
PATH="$PATH:/usr/sbin" command -v sshd >/dev/null || missing+=(openssh-server)
command -v ssh >/dev/null || missing+=(openssh-client)
for tool in aapt zipalign apksigner dexdump enjarify; do command -v $tool >/dev/null || missing+=($tool); done
command -v smali >/dev/null || missing+=(libsmali-java)
command -v javac >/dev/null || missing+=(default-jdk-headless)
[ -e /usr/share/android-framework-res ] || missing+=(android-framework-res)
[ -e /usr/share/java/gson.jar ] || missing+=(libgoogle-gson-java)
[ -e /usr/share/java/junit4.jar ] || missing+=(junit4)
[ ${#missing[@]} = 0 ] && exit 0

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}"
else
    echo "expected ${missing[*]}, found none; install them, Node.js in version 18 or newer, then run again" >&2
    exit 1
fi
