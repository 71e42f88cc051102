#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes what a release consists of into bin/release (docs/contributing/release.md says what each file is for):
#
#   coder-session-operator_<version>_image.tar              the image of all platforms, as an OCI image layout
#   coder-session-operator_<version>_image.digest           the digest of its index
#   coder-session-operator-<version>.tgz                    the chart
#   kubectl-coder_<version>_<os>_<architecture>.tar.gz      the plugin, its completion and the licences
#   *.cdx.json                                              software bills of materials of the programs
#   coder.yaml                                              krew's manifest of the plugin's archives
#   changes.md                                              the section of the changelog
#   provenance.intoto.json                                  how the files above were made
#   SHA256SUMS                                              the checksums of all files
#   SHA256SUMS.sigstore.json                                the signature, if hack/release/sign.sh has a key or identity
#
# What it takes from the environment, as make sets it:
#
#   VERSION             the version with a v (v0.3.0). It has to be the chart's.
#   PLATFORMS           of the image. Default: linux/amd64,linux/arm64.
#   PLUGIN_PLATFORMS    of the plugin, each <os>/<architecture>.
#   REPOSITORY          the URL of the repository on GitHub that gets the release.
#   IMAGE               the image's name, without a tag. Default: that of the repository at ghcr.io.
#   BUILDER, INVOCATION the URLs of what builds it, and of its run. Default: GitHub's workflow, or the page about releases.
#
# Needs bin/helm, git, GNU tar and gzip. The same commit, version and Go make the same files, except for the signature.
set -eu
cd "$(dirname "$0")/../.."

fail() {
	printf 'release: %s\n' "$*" >&2
	exit 1
}

# check_version: all parts of a release have the version of the chart.
check_version() {
	for field in version appVersion; do
		value=$(sed -n "s/^$field: *//p" "$chart/Chart.yaml")
		[ "v$value" = "$VERSION" ] ||
			fail "VERSION is $VERSION and $field in $chart/Chart.yaml $value: make release VERSION=v$value, or change the chart"
	done
}

# check_tree: a release is that of a commit.
check_tree() {
	commit=$(git rev-parse HEAD 2>/dev/null) || fail "there is no commit here: a release is made of one"
	[ -z "$(git status --porcelain)" ] || fail "there are changes that are in no commit, see git status"
	unreleased=
	if [ "$(git rev-parse --verify --quiet "refs/tags/$VERSION^{commit}")" != "$commit" ]; then
		unreleased=-unreleased
		printf 'release: commit %s does not have the tag %s: this is a trial\n' "$commit" "$VERSION"
	fi
}

# run_tool <package> <argument ...>: a command of this repository.
run_tool() { GOFLAGS= GOWORK=off go run "$@"; }

# archive_plugin <os> <architecture>
archive_plugin() {
	name=kubectl-coder_${VERSION}_$1_$2
	program=kubectl-coder
	[ "$1" != windows ] || program=kubectl-coder.exe
	mkdir -p "$work/$name"
	GOOS=$1 GOARCH=$2 GOAMD64=v1 GOARM64=v8.0 GOFLAGS= GOWORK=off hack/compile.sh "kubectl-coder $VERSION for $1/$2" \
		"$work/$name/$program" "-s -w -X main.version=$VERSION" ./cmd/kubectl-coder
	hack/image/sbom.sh "$work/$name/$program" "$VERSION" "$output/$name.cdx.json" >/dev/null
	cp LICENSE "$work/$name/"
	run_tool ./hack/release/notices -platform "$1/$2" ./cmd/kubectl-coder >"$work/$name/THIRD_PARTY_LICENSES"
	[ "$1" = windows ] || cp cmd/kubectl-coder/kubectl_complete-coder "$work/$name/"
	chmod 644 "$work/$name"/*
	chmod 755 "$work/$name"/kubectl*
	# shellcheck disable=SC2046 # one argument for each file
	tar -cf - -C "$work/$name" --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" \
		--owner=0 --group=0 --numeric-owner $(LC_ALL=C ls "$work/$name") | gzip -9n >"$output/$name.tar.gz"
}

# pack_image: the image of all platforms, its digest and bills of materials.
pack_image() {
	rm -rf bin/image
	prefix=coder-session-operator_$VERSION
	IMG=$IMAGE:${VERSION#v} REVISION=$commit IMAGE_ARCHIVE= PUSH= IMAGE_LAYOUT=$output/${prefix}_image.tar \
		hack/image/build.sh | tee "$work/image.log"
	digest=$(sed -n "s|^$IMAGE:${VERSION#v} \(sha256:[0-9a-f]*\) .*|\1|p" "$work/image.log")
	[ -n "$digest" ] || fail "there is no image"
	printf '%s\n' "$digest" >"$output/${prefix}_image.digest"
	for folder in bin/image/a*; do
		hack/image/sbom.sh "$folder/coder-session-operator" "$VERSION" \
			"$output/${prefix}_linux_$(basename "$folder").cdx.json" >/dev/null
	done
}

: "${VERSION:=}" "${PLATFORMS:=linux/amd64,linux/arm64}"
: "${PLUGIN_PLATFORMS:=linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}"
: "${REPOSITORY:=https://github.com/coder-session-operator/coder-session-operator}"
: "${IMAGE:=ghcr.io/${REPOSITORY#https://*/}}"
if [ -n "${GITHUB_WORKFLOW_REF:-}" ]; then
	: "${BUILDER:=$GITHUB_SERVER_URL/$GITHUB_WORKFLOW_REF}"
	: "${INVOCATION:=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID/attempts/$GITHUB_RUN_ATTEMPT}"
fi
: "${BUILDER:=$REPOSITORY/blob/$VERSION/docs/contributing/release.md#the-same-without-the-workflow}" "${INVOCATION:=}"
chart=charts/coder-session-operator
output=$PWD/bin/release
check_version
check_tree
[ -x bin/helm ] || fail "bin/helm is missing: run make helm"
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export VERSION PLATFORMS SOURCE_DATE_EPOCH
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
rm -rf "$output"
mkdir -p "$output"
run_tool ./hack/release/changelog -version "$VERSION" $unreleased CHANGELOG.md >"$output/changes.md"
pack_image
for platform in $PLUGIN_PLATFORMS; do
	archive_plugin "${platform%/*}" "${platform#*/}"
done
run_tool ./hack/release/krew -version "$VERSION" -repository "$REPOSITORY" -folder "$output" >"$work/coder.yaml"
mv "$work/coder.yaml" "$output/"
hack/release/chart.sh "$output"
run_tool ./hack/release/provenance -folder "$output" -version "$VERSION" -commit "$commit" -repository "$REPOSITORY" \
	-image "$IMAGE" -digest "$digest" -builder "$BUILDER" -invocation "$INVOCATION" >"$work/provenance.intoto.json"
mv "$work/provenance.intoto.json" "$output/"
chmod 644 "$output"/*
(cd "$output" && LC_ALL=C sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
chmod 644 "$output/SHA256SUMS"
cat "$output/SHA256SUMS"
hack/release/sign.sh sums "$output"
