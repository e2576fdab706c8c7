#!/usr/bin/env bash
# Seconds and MiB of a make target that sets up .venv, in a fresh clone of a commit and without pip's cache.
#   tools/measure_setup.sh                    `make setup` of this commit
#   tools/measure_setup.sh COMMIT TARGET      another commit, or another target such as setup-dev
set -euo pipefail
commit=${1:-HEAD} target=${2:-setup}
repository=$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)
commit=$(git -C "$repository" rev-parse --short "$commit")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
git clone -q "$repository" "$folder/clone"
git -C "$folder/clone" checkout -q "$commit"
export PIP_NO_CACHE_DIR=1
started=$(date +%s)
make -s -C "$folder/clone" "$target"
echo "$commit, make $target: $(($(date +%s) - started)) s, $(du -sm "$folder/clone/.venv" | cut -f1) MiB"
