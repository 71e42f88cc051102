#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes the software bill of materials of each binary in bin/image, as bin/image/sbom-<architecture>.cdx.json.
set -eu
cd "$(dirname "$0")/../.."

unset GOOS GOARCH GOFLAGS
found=
for binary in bin/image/*/coder-session-operator; do
	[ -f "$binary" ] || continue
	found=yes
	folder=$(dirname "$binary")
	architecture=$(basename "$folder")
	sbom=bin/image/sbom-$architecture.cdx.json
	GOWORK=off go -C hack/image run ./sbom -version "$(cat "$folder/version")" "$PWD/$binary" >"$sbom.new"
	mv -f "$sbom.new" "$sbom"
	printf '%s\n' "$sbom"
done
[ -n "$found" ] || {
	echo "sbom: there is no binary in bin/image, run make image" >&2
	exit 1
}
