#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes the software bill of materials of a program:
#
#   hack/image/sbom.sh <program> <version> <output>
#   hack/image/sbom.sh                   of each binary in bin/image, as bin/image/sbom-<architecture>.cdx.json
#
# It has the modules that the linker recorded in the program, with their versions and checksums, Go, and the program's
# checksum.
#
# The same program gives the same file: there is no time and no serial number in it, and -trimpath makes the tool
# itself, whose checksum is in it, the same wherever it is compiled for this platform.
set -eu
cd "$(dirname "$0")/../.."

unset GOOS GOARCH GOFLAGS

# write_bom <program> <version> <output>
write_bom() {
	GOWORK=off GOFLAGS=-trimpath go tool -modfile=hack/image/go.mod cyclonedx-gomod bin -json -std \
		-noserial -notimestamp -version "$2" -output "$3.new" "$1"
	mv -f "$3.new" "$3"
	printf '%s\n' "$3"
}

if [ $# -eq 3 ]; then
	write_bom "$@"
	exit
fi
found=
for binary in bin/image/*/coder-session-operator; do
	[ -f "$binary" ] || continue
	found=yes
	folder=$(dirname "$binary")
	write_bom "$binary" "$(cat "$folder/version")" "bin/image/sbom-$(basename "$folder").cdx.json"
done
[ -n "$found" ] || {
	echo "sbom: there is no binary in bin/image, run make image" >&2
	exit 1
}
