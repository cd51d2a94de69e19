#!/usr/bin/env bash
# Install the servers that the gateway is measured beside into the folder $1.
set -euo pipefail
folder=$1
here=$(cd "$(dirname "$0")" && pwd)

command -v npm > /dev/null && command -v node > /dev/null || {
  echo "npm and Node.js 20 or newer are needed for SCIMMY: install them (Debian: nodejs, npm)" >&2
  exit 1
}
mkdir -p "$folder/node"
"$here/../../../tools/install_requirements.sh" "$folder/python" "$here/requirements.txt" "$folder/.requirements"
if ! cmp -s "$here/package.json" "$folder/node/.installed"; then
  cp "$here/package.json" "$folder/node/package.json"
  (cd "$folder/node" && npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error)
  cp "$here/package.json" "$folder/node/.installed"
fi
cp "$here/scimmy_app.js" "$folder/node/"
