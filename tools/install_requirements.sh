#!/usr/bin/env bash
# Make the virtual environment $1 hold exactly the hash-checked requirements $2.
# The stamp $3 keeps their digest, so that nothing is installed twice.
set -euo pipefail
venv=$1 requirements=$2 stamp=$3
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "$python is too old: Python 3.11 or newer is needed (make PYTHON=python3.11 install)" >&2
  exit 1
}
digest=$("$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$requirements")
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$digest" ]; then
  touch "$stamp"
  exit 0
fi
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
echo "Installing $requirements into $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$requirements"
printf '%s' "$digest" > "$stamp"
