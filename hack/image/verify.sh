#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs the tests of hack/image, and checks that the image and the bill of materials are reproducible, and that there is in the image what is promised: builds
# both twice, in copies of the tree at two different paths and at different times, and compares. Changes nothing.
# With COLD=yes the second build may not use what the first one compiled, which takes some minutes more.
set -eu
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

fail() {
	printf 'image-verify: %s\n' "$*" >&2
	exit 1
}

# build <folder>: builds what is in <folder>/tree, and leaves image.tar, sum, licences and sbom in <folder>.
build() {
	(
		cd "$1/tree"
		export VERSION=v0.0.0-verify REVISION=0000000000000000000000000000000000000000 SOURCE_DATE_EPOCH=1000000000
		IMG=coder-session-operator:verify PLATFORMS= IMAGE_ARCHIVE=$1/image.tar hack/image/build.sh
		hack/image/sbom.sh
		cat bin/image/*/coder-session-operator | sha256sum >"$1/sum"
		cp bin/image/*/licenses/THIRD_PARTY_LICENSES "$1/licences"
		mv bin/image/sbom-*.cdx.json "$1/sbom"
	)
}

# same <file> <what>
same() {
	[ -s "$work/first/$1" ] || fail "no $2"
	cmp -s "$work/first/$1" "$work/other/folder/$1" || fail "$2 differs between two builds of the same code:
$(diff -a "$work/first/$1" "$work/other/folder/$1" | head -n 20)"
	echo "image-verify: the same $2 twice"
}

# content: the image is one layer with one program and its licences, and the program needs no other file.
content() {
	mkdir "$work/image"
	tar -xf "$work/first/image.tar" -C "$work/image"
	layers=$(sed 's/.*"Layers":\[\([^]]*\)\].*/\1/; s/[",]/ /g' "$work/image/manifest.json")
	for layer in $layers; do
		tar -tf "$work/image/$layer"
	done | tr '\n' ' ' >"$work/files"
	[ "$(cat "$work/files")" = "coder-session-operator licenses/ licenses/LICENSE licenses/THIRD_PARTY_LICENSES " ] ||
		fail "the files of the image are: $(cat "$work/files")"
	config=$(sed 's/.*"Config":"\([^"]*\)".*/\1/' "$work/image/manifest.json")
	grep -q '"User": *"65532:65532"' "$work/image/$config" || fail "the image has another user than 65532:65532"
	! grep -aq '/ld-linux' "$work/first/tree"/bin/image/*/coder-session-operator || fail "the binary is not static"
	! grep -aq "$work" "$work/files" "$work/first/licences" "$work/first/sbom" || fail "the folder of the build is in it"
	echo "image-verify: one static binary with its licences, user 65532:65532"
}

GOFLAGS= GOWORK=off go -C hack/image test ./...
mkdir -p "$work/first/tree" "$work/other/folder"
tar -cf - --exclude=./bin --exclude=./.git . | tar -xf - -C "$work/first/tree"
cp -R "$work/first/tree" "$work/other/folder/tree"
build "$work/first"
[ "${COLD:-}" != yes ] || export GOCACHE="$work/cache"
build "$work/other/folder"
same sum "binary"
same image.tar "image"
same licences "licences"
same sbom "bill of materials"
content
