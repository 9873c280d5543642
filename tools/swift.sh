#!/usr/bin/env bash
# A Swift compiler for Linux: Debian 13's swiftlang, unpacked beside the system (540 MB to load, 2.6 GB on disk).
# Everything goes into the folder given. Usage: tools/swift.sh FOLDER; then `FOLDER/inside WORK COMMAND...` runs a command of that Debian, like
# /usr/bin/swiftc, with the folder WORK as /checks.
set -euo pipefail

folder=$(realpath -m "${1:?expected a folder}")
[ -e "$folder/complete" ] && exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || { echo "expected apt-get and dpkg, found none; use Debian" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "expected root, which changes the root folder for the compiler; run it as root" >&2; exit 1; }
rm -rf "$folder"
mkdir -p "$folder"/{lists/partial,cache/archives/partial,sources,sysroot}
: >"$folder/status"

# From where this machine has its own packages; the state of packages is one apart, the machine's is neither read nor written.
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | head -n 1)
host=$(dpkg --print-architecture)
echo "deb [arch=$host] $mirror trixie main" >"$folder/sources/x.list"
trixie() {
    apt-get -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$folder/sources" -o "Dir::State::lists=$folder/lists" \
        -o "Dir::Cache=$folder/cache" -o "Dir::State::status=$folder/status" -o "APT::Architecture=$host" -o "APT::Architectures=$host" \
        -o APT::Sandbox::User=root -o Debug::NoLocking=1 -qq "$@"
}
trixie update
trixie -y --no-install-recommends --download-only install swiftlang libc6-dev libgcc-14-dev libstdc++-14-dev
for deb in "$folder"/cache/archives/*.deb; do dpkg -x "$deb" "$folder/sysroot"; done
rm -rf "$folder/cache" "$folder/lists"
mkdir -p "$folder"/sysroot/{proc,tmp,checks}
for link in bin lib lib64 sbin; do ln -s "usr/$link" "$folder/sysroot/$link"; done

cat >"$folder/inside" <<'SCRIPT'
#!/bin/sh
# The compiler finds its libraries by /proc. The mounts are seen by this command alone.
root=$(dirname "$(realpath "$0")")/sysroot
work=$(realpath "$1")
shift
exec unshare --mount sh -c 'root=$1 work=$2; shift 2; mount --bind /proc "$root/proc" && mount --bind "$work" "$root/checks" && exec chroot "$root" "$@"' \
    sh "$root" "$work" "$@"
SCRIPT
chmod +x "$folder/inside"
touch "$folder/complete"
