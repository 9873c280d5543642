#!/usr/bin/env bash
# apps/fewstep_apps/android/webview/smali from the Java beside it: only after an edit of the Java, since Debian has an assembler of Dalvik code but no
# compiler to it. Usage: tools/webview_smali.sh D8.jar, a jar that holds D8 (an Android SDK's d8.jar or r8.jar, or a bundletool-all jar).
set -euo pipefail

d8=${1:?expected a jar that holds D8}
root=$(realpath "$(dirname "$0")/..")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"${PYTHON:-python3}" - "$root/tests/apps/android/stubs.txt" "$work/stubs" <<'PYTHON'
import sys
from pathlib import Path

for part in Path(sys.argv[1]).read_text().split("// file: ")[1:]:
    path, text = part.split("\n", 1)
    (Path(sys.argv[2]) / path).parent.mkdir(parents=True, exist_ok=True)
    (Path(sys.argv[2]) / path).write_text(text)
PYTHON
mkdir "$work/classes" "$work/dex"
find "$work/stubs" "$root/apps/fewstep_apps/android/webview/java" -name '*.java' >"$work/sources"
javac --release 8 -Xlint:-options -g:none -d "$work/classes" "@$work/sources"
class=$(unzip -Z1 "$d8" | grep -E '(^|/)r8/D8\.class$' | head -n 1) # bundletool has it under a name of its own
java -cp "$d8" "$(echo "${class%.class}" | tr / .)" --release --min-api 29 --lib "$work/classes" --output "$work/dex" "$work"/classes/fewstep/web/*.class
rm -rf "$root/apps/fewstep_apps/android/webview/smali"
baksmali disassemble --api 29 --output "$root/apps/fewstep_apps/android/webview/smali" "$work/dex/classes.dex"
# By this a test knows that the assembly is that of the Java.
cd "$root/apps/fewstep_apps/android/webview/java/fewstep/web" && sha256sum -- *.java >../../../java.sha256
