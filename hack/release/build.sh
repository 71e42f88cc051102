#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Writes what a release consists of, apart from the images, into bin/release:
#
#   kubectl-coder_<version>_<os>_<architecture>.tar.gz    the plugin, its completion and the licence
#   coder-session-operator-<version>.tgz                  the chart
#   sbom-<architecture>.cdx.json                          the images' software bills of materials
#   coder.yaml                                            krew's manifest of the plugin's archives
#   SHA256SUMS                                            the checksums of the files above
#
# What it takes from the environment, as make sets it:
#
#   VERSION             of the code. The chart has to carry the same one if this is a version (v0.3.0).
#   PLATFORMS           of the images whose bills of materials are written. Default: linux/amd64,linux/arm64.
#   PLUGIN_PLATFORMS    of the plugin, each <os>/<architecture>.
#   REPOSITORY          the URL of the repository on GitHub that gets the release, for krew's manifest.
#   SOURCE_DATE_EPOCH   the time of the files in the plugin's archives. Default: that of the last commit.
#
# Needs bin/helm. The same code, version and Go make the same plugin archives, manifest and bills of materials.
set -eu
cd "$(dirname "$0")/../.."

fail() {
	printf 'release: %s\n' "$*" >&2
	exit 1
}

# check_chart_version: a chart installs the image of its own version.
check_chart_version() {
	for field in version appVersion; do
		value=$(sed -n "s/^$field: *//p" "$chart/Chart.yaml")
		[ "v$value" = "$VERSION" ] ||
			fail "VERSION is $VERSION and $field in $chart/Chart.yaml $value: make release VERSION=v$value, or change the chart"
	done
}

# archive_plugin <os> <architecture>
archive_plugin() {
	name=kubectl-coder_${VERSION}_$1_$2
	program=kubectl-coder
	[ "$1" != windows ] || program=kubectl-coder.exe
	mkdir -p "$work/$name"
	GOOS=$1 GOARCH=$2 GOFLAGS= GOWORK=off hack/compile.sh "kubectl-coder $VERSION for $1/$2" \
		"$work/$name/$program" "-s -w -X main.version=$VERSION" ./cmd/kubectl-coder
	cp LICENSE "$work/$name/"
	[ "$1" = windows ] || cp cmd/kubectl-coder/kubectl_complete-coder "$work/$name/"
	chmod 755 "$work/$name"/kubectl*
	chmod 644 "$work/$name/LICENSE"
	# shellcheck disable=SC2046 # one argument for each file
	tar -cf - -C "$work/$name" --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" \
		--owner=0 --group=0 --numeric-owner $(ls "$work/$name") | gzip -9n >"$output/$name.tar.gz"
}

# write_krew_manifest needs the archives.
write_krew_manifest() {
	GOFLAGS= GOWORK=off go run ./hack/release/krew -version "$VERSION" -repository "$REPOSITORY" \
		-folder "$output" >"$work/coder.yaml"
	cp "$work/coder.yaml" "$output/"
}

# write_boms compiles the manager as make image does, without making an image.
write_boms() {
	rm -rf bin/image
	CONTAINER_TOOL=none IMG=unused hack/image/build.sh
	hack/image/sbom.sh
	cp bin/image/sbom-*.cdx.json "$output/"
}

: "${VERSION:=dev}" "${PLATFORMS:=linux/amd64,linux/arm64}"
: "${PLUGIN_PLATFORMS:=linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}"
: "${REPOSITORY:=https://github.com/coder-session-operator/coder-session-operator}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
export VERSION PLATFORMS SOURCE_DATE_EPOCH
chart=charts/coder-session-operator
output=$PWD/bin/release
check_chart_version
[ -x bin/helm ] || fail "bin/helm is missing: run make helm"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
rm -rf "$output"
mkdir -p "$output"
for platform in $PLUGIN_PLATFORMS; do
	archive_plugin "${platform%/*}" "${platform#*/}"
done
write_krew_manifest
bin/helm package "$chart" --destination "$output" >/dev/null
write_boms
(cd "$output" && sha256sum -- * >"$work/sums" && mv "$work/sums" SHA256SUMS)
ls -1 "$output"
