#!/bin/sh
# Installs the kit in this folder, and nothing outside it. Needs Python 3.11 or newer with venv, TensorRT (JetPack has it for its own Python),
# and a network for numpy, ONNX Runtime, Gradio and what they need.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
for python in ${PYTHON:-python3.14 python3.13 python3.12 python3.11 python3}; do
    command -v "$python" >/dev/null 2>&1 && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && break
    python=
done
[ -n "$python" ] || { echo "expected Python 3.11 or newer, found none; install it: sudo apt install python3.11 python3.11-venv" >&2; exit 2; }

"$python" -m venv --system-site-packages "$here/venv"
"$here/venv/bin/python" -m pip install --quiet "$here"/*.whl
bundle=$(echo "$here"/*.fewstep)
cat <<TEXT
Installed. Next, in this order:
  $here/venv/bin/fewstep-jetson build "$bundle"      engines for this board's GPU, once, some minutes
  $here/venv/bin/fewstep-jetson serve "$bundle"      a page at http://127.0.0.1:7860
  $here/venv/bin/fewstep-jetson bench "$bundle"      figures as JSON
  $here/venv/bin/fewstep-jetson unit "$bundle" | sudo tee /etc/systemd/system/fewstep.service
TEXT
