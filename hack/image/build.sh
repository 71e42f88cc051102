#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the manager and puts it into an image, without a container tool (hack/image/pack). What it takes from the
# environment, as make sets it:
#
#   IMG                 the image's name.
#   IMAGE_ARCHIVE       a file that takes the image, as a docker-archive; for one platform. Relative to the tree's root.
#   IMAGE_LAYOUT        a file that takes the index of all platforms, as a tar archive of an OCI image layout.
#   PUSH                yes: push the image to its registry, with the credentials of docker or podman. Several platforms
#                       are pushed as one index.
#   CONTAINER_TOOL      docker, podman, buildah, or none: what gets the image if none of the above is asked for.
#                       Default: the first of them that works. With several platforms each image has its architecture
#                       appended there (x:1-arm64).
#   PLATFORMS           linux/amd64,linux/arm64 or one of them. Default: the host's architecture.
#   VERSION, REVISION   of the code.
#   SOURCE_DATE_EPOCH   the only time in the image. Default: that of the last commit.
#
# The same code, version and Go make the same image, whenever, wherever and with whatever tools. Its digest is printed.
set -eu
cd "$(dirname "$0")/../.."

fail() {
	printf 'image: %s\n' "$*" >&2
	exit 1
}

# works <tool>: a docker without its daemon is of no use.
works() {
	case $1 in
	docker) command -v docker >/dev/null && docker info >/dev/null 2>&1 ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

choose_tool() {
	for tool in docker podman buildah; do
		if works "$tool"; then
			echo "$tool"
			return
		fi
	done
	fail "there is no podman, no buildah and no docker with a daemon here: set IMAGE_ARCHIVE or PUSH=yes"
}

# compile <architecture>: into bin/image/<architecture>, with the licences of what is compiled in. The version lies
# beside it, for the bill of materials.
compile() {
	folder=bin/image/$1
	mkdir -p "$folder/licenses"
	echo "compiling coder-session-operator $VERSION for linux/$1 (about 2 min cold) ..."
	CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOAMD64=v1 GOARM64=v8.0 GOFLAGS= GOWORK=off \
		go build -trimpath -buildvcs=false -gcflags=all=-dwarf=false \
		-ldflags "-s -w -X main.version=$VERSION" -o "$folder/coder-session-operator" ./cmd/manager
	cp LICENSE "$folder/licenses/LICENSE"
	GOFLAGS= GOWORK=off go run ./hack/release/notices -platform "linux/$1" ./cmd/manager \
		>"$folder/licenses/THIRD_PARTY_LICENSES"
	printf '%s\n' "$VERSION" >"$folder/version"
}

# pack <flag ...> <architecture ...>: prints the digest of the image, or of the index.
pack() {
	if [ ! -x bin/image/.pack ]; then
		GOFLAGS= GOWORK=off CGO_ENABLED=0 go -C hack/image build -trimpath -o ../../bin/image/.pack ./pack
	fi
	bin/image/.pack -folder bin/image -version "$VERSION" -revision "$REVISION" -epoch "$SOURCE_DATE_EPOCH" "$@"
}

# load <architecture> <name>: into the container tool.
load() {
	archive=$(mktemp)
	pack -image "$2" -archive "$archive" "$1" >/dev/null
	case $CONTAINER_TOOL in
	buildah) buildah pull --quiet "docker-archive:$archive" >/dev/null ;;
	*) "$CONTAINER_TOOL" load --quiet --input "$archive" >/dev/null ;;
	esac
	rm -f "$archive"
	printf '%s linux/%s loaded into %s\n' "$2" "$1" "$CONTAINER_TOOL"
}

: "${IMG:=coder-session-operator:latest}" "${VERSION:=dev}" "${IMAGE_ARCHIVE:=}" "${IMAGE_LAYOUT:=}" "${PUSH:=}"
: "${REVISION:=$(git rev-parse HEAD 2>/dev/null || echo unknown)}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
: "${PLATFORMS:=linux/$(go env GOHOSTARCH)}"
architectures=
for platform in $(echo "$PLATFORMS" | tr , ' '); do
	case $platform in
	linux/amd64 | linux/arm64) architectures="$architectures ${platform#linux/}" ;;
	*) fail "PLATFORMS may be linux/amd64 and linux/arm64, is $PLATFORMS" ;;
	esac
done
case $PLATFORMS in
*,*) [ -z "$IMAGE_ARCHIVE" ] || fail "IMAGE_ARCHIVE takes the image of one platform, not $PLATFORMS" ;;
esac
if [ -n "$IMAGE_ARCHIVE$IMAGE_LAYOUT" ] || [ "$PUSH" = yes ]; then
	CONTAINER_TOOL=none
fi
[ -n "${CONTAINER_TOOL:-}" ] || CONTAINER_TOOL=$(choose_tool)

rm -f bin/image/.pack
for architecture in $architectures; do
	compile "$architecture"
	[ "$CONTAINER_TOOL" != none ] || continue
	name=$IMG
	[ "linux/$architecture" = "$PLATFORMS" ] || name=$IMG-$architecture
	load "$architecture" "$name"
done
# shellcheck disable=SC2086 # one argument for each architecture
{
	if [ -n "$IMAGE_ARCHIVE" ]; then
		mkdir -p "$(dirname "$IMAGE_ARCHIVE")"
		rm -f "$IMAGE_ARCHIVE"
		digest=$(pack -image "$IMG" -archive "$IMAGE_ARCHIVE" $architectures)
		printf '%s %s %s\n' "$IMG" "$digest" "$IMAGE_ARCHIVE"
	fi
	if [ -n "$IMAGE_LAYOUT" ]; then
		mkdir -p "$(dirname "$IMAGE_LAYOUT")"
		digest=$(pack -layout "$IMAGE_LAYOUT" $architectures)
		printf '%s %s %s\n' "$IMG" "$digest" "$IMAGE_LAYOUT"
	fi
	if [ "$PUSH" = yes ]; then
		digest=$(pack -image "$IMG" -push $architectures)
		printf '%s %s pushed\n' "$IMG" "$digest"
	fi
}
