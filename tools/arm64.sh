#!/usr/bin/env bash
# An ARM64 board without a board: Debian's Python for arm64 and the real aarch64 wheels of the runtime, run by qemu-aarch64.
# Everything goes into the folder given, nothing into the system. Usage: tools/arm64.sh FOLDER; then FOLDER/python3 is the board's Python.
set -euo pipefail

folder=$(realpath -m "${1:?expected a folder}")
[ -e "$folder/complete" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "expected apt-get and dpkg, found none; use Debian 12" >&2; exit 1; }
rm -rf "$folder"
mkdir -p "$folder"/{lists/partial,cache/archives/partial,sources,sysroot,site,wheels}
: >"$folder/status"

# From where this machine has its own packages; the state of packages is one apart, the machine's is neither read nor written.
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
apt_of() { # ARCHITECTURE SUITE COMMAND...: apt-get with this architecture and suite alone
    local arch=$1
    echo "deb [arch=$arch] $mirror $2 main" >"$folder/sources/x.list"
    shift 2
    apt-get -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$folder/sources" -o "Dir::State::lists=$folder/lists" \
        -o "Dir::Cache=$folder/cache" -o "Dir::State::status=$folder/status" -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" \
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 -qq "$@"
}

apt_of arm64 bookworm update
apt_of arm64 bookworm -y --no-install-recommends --download-only install python3.11-minimal libpython3.11-stdlib libstdc++6 libgcc-s1
for deb in "$folder"/cache/archives/*.deb; do dpkg -x "$deb" "$folder/sysroot"; done

# The qemu of Debian 12 itself crashes when it imports ONNX Runtime 1.29 and later.
host=$(dpkg --print-architecture)
apt_of "$host" bookworm-backports update
(cd "$folder/cache" && apt_of "$host" bookworm-backports download qemu-user)
dpkg -x "$folder"/cache/qemu-user_*.deb "$folder/qemu"

pins=$(grep -E '^(numpy|onnxruntime|pillow|tokenizers|rich|typer)==' "$(dirname "$0")/../constraints.txt" | cut -d' ' -f1)
# shellcheck disable=SC2086 # one word each
"${PYTHON:-python3}" -m pip download --quiet --only-binary=:all: --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 --platform manylinux_2_17_aarch64 --python-version 311 --implementation cp -d "$folder/wheels" $pins
for wheel in "$folder"/wheels/*.whl; do "${PYTHON:-python3}" -m zipfile -e "$wheel" "$folder/site"; done

cat >"$folder/python3" <<SCRIPT
#!/bin/sh
# -cpu cortex-a76: the Raspberry Pi 5. A path of modules that the caller gives goes before the wheels.
PYTHONHOME=$folder/sysroot/usr PYTHONPATH="\${PYTHONPATH:+\$PYTHONPATH:}$folder/site" exec $folder/qemu/usr/bin/qemu-aarch64 -cpu cortex-a76 \\
    -L $folder/sysroot $folder/sysroot/usr/bin/python3.11 "\$@"
SCRIPT
chmod +x "$folder/python3"
touch "$folder/complete"
