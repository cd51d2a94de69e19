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
# The file is complete, so nothing is resolved again: a resolver that meets a newer release of
# something that another package asks for with an extra would refuse it for want of a hash.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement "$requirements"
"$venv/bin/python" -m pip check --disable-pip-version-check > "$venv/.pip-check" || { cat "$venv/.pip-check" >&2; exit 1; }
printf '%s' "$digest" > "$stamp"
