#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes the software bill of materials of each binary in bin/image, as bin/image/sbom-<architecture>.cdx.json: the
# modules that the linker recorded in the binary, with their versions and checksums, Go, and the binary's checksum.
#
# The same binary gives the same file: there is no time and no serial number in it, and -trimpath makes the tool
# itself, whose checksum is in it, the same wherever it is compiled for this platform.
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
	GOWORK=off GOFLAGS=-trimpath go tool -modfile=hack/image/go.mod cyclonedx-gomod bin -json -std \
		-noserial -notimestamp -version "$(cat "$folder/version")" -output "$sbom.new" "$binary"
	mv -f "$sbom.new" "$sbom"
	printf '%s\n' "$sbom"
done
[ -n "$found" ] || {
	echo "sbom: there is no binary in bin/image, run make image" >&2
	exit 1
}
