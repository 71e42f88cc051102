#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Compiles the manager and puts it into an image, with docker, podman or buildah. What it takes from the environment,
# as make sets it:
#
#   IMG                 the image's name. With several platforms each image has its architecture appended (x:1-arm64),
#                       since a manifest list is something that only a registry holds for all three tools.
#   PUSH                yes: push the image to its registry, where several platforms get a manifest list named IMG.
#   PLATFORMS           linux/amd64,linux/arm64 or one of them. Default: the host's architecture.
#   VERSION, REVISION   of the code.
#   CONTAINER_TOOL      docker, podman, buildah, or none: compile only. Default: the first of them that works.
#   IMAGE_ARCHIVE       a file that takes the image, too, as a docker-archive; for one platform. Relative to the tree's root.
#   SOURCE_DATE_EPOCH   the only time in the image. Default: that of the last commit.
#
# The same code, version and Go make the same image, whenever and in whatever folder. The image's id is printed.
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
	fail "there is no podman, no buildah and no docker with a daemon here (apt-get install buildah)"
}

# compile <architecture>: into bin/image/<architecture>, with a time that is not that of the build. The version lies
# beside it, for the bill of materials.
compile() {
	binary=bin/image/$1/coder-session-operator
	mkdir -p "bin/image/$1"
	echo "compiling coder-session-operator $VERSION for linux/$1 (about 2 min cold) ..."
	CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOAMD64=v1 GOARM64=v8.0 GOFLAGS= GOWORK=off \
		go build -trimpath -buildvcs=false -gcflags=all=-dwarf=false \
		-ldflags "-s -w -X main.version=$VERSION" -o "$binary" ./cmd/manager
	printf '%s\n' "$VERSION" >"bin/image/$1/version"
	touch -d "@$SOURCE_DATE_EPOCH" "$binary" 2>/dev/null ||
		TZ=UTC touch -t "$(date -u -r "$SOURCE_DATE_EPOCH" +%Y%m%d%H%M.%S)" "$binary"
}

# assemble <architecture> <name>
assemble() {
	set -- "$1" "$2" --platform "linux/$1" --build-arg "VERSION=$VERSION" --build-arg "REVISION=$REVISION" --tag "$2"
	architecture=$1 name=$2
	shift 2
	case $CONTAINER_TOOL in
	docker)
		# Attestations have the time of the build in them and turn the image into an index.
		BUILDX_NO_DEFAULT_ATTESTATIONS=1 docker build --quiet --build-arg "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" "$@" . >/dev/null ;;
	*)
		# The other format has the names of the container and of its host in it, both random.
		"$CONTAINER_TOOL" build --quiet --format oci --identity-label=false --timestamp "$SOURCE_DATE_EPOCH" "$@" . >/dev/null ;;
	esac
	printf '%s linux/%s %s by %s\n' "$name" "$architecture" "$(image_id "$name")" "$CONTAINER_TOOL"
}

# push <image ...>: all images, and the manifest list IMG if there are several. The tool is logged in already.
push() {
	case $CONTAINER_TOOL in
	docker)
		for name in "$@"; do
			docker push --quiet "$name"
		done
		[ $# -eq 1 ] || docker buildx imagetools create --tag "$IMG" "$@" ;;
	*)
		for name in "$@"; do
			"$CONTAINER_TOOL" push --quiet "$name" "docker://$name"
		done
		if [ $# -gt 1 ]; then
			"$CONTAINER_TOOL" manifest rm "$IMG" >/dev/null 2>&1 || true
			"$CONTAINER_TOOL" manifest create "$IMG" "$@" >/dev/null
			"$CONTAINER_TOOL" manifest push --all "$IMG" "docker://$IMG"
		fi ;;
	esac
	printf '%s pushed\n' "$IMG"
}

image_id() {
	case $CONTAINER_TOOL in
	buildah) buildah inspect --type image --format '{{.FromImageID}}' "$1" ;;
	*) "$CONTAINER_TOOL" image inspect --format '{{.Id}}' "$1" | sed 's/^sha256://' ;;
	esac
}

# archive <name>: the name is given once more to the tools that would otherwise put localhost/ before it.
archive() {
	mkdir -p "$(dirname "$IMAGE_ARCHIVE")"
	rm -f "$IMAGE_ARCHIVE"
	case $CONTAINER_TOOL in
	docker) docker save --output "$IMAGE_ARCHIVE" "$1" ;;
	*) "$CONTAINER_TOOL" push --quiet "$1" "docker-archive:$IMAGE_ARCHIVE:$1" ;;
	esac
	printf '%s\n' "$IMAGE_ARCHIVE"
}

: "${IMG:=coder-session-operator:latest}" "${VERSION:=dev}" "${IMAGE_ARCHIVE:=}" "${PUSH:=}"
: "${REVISION:=$(git rev-parse HEAD 2>/dev/null || echo unknown)}"
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
: "${PLATFORMS:=linux/$(go env GOHOSTARCH)}"
[ -n "${CONTAINER_TOOL:-}" ] || CONTAINER_TOOL=$(choose_tool)

case $PLATFORMS in
*,*) [ -z "$IMAGE_ARCHIVE" ] || fail "IMAGE_ARCHIVE takes the image of one platform, not $PLATFORMS" ;;
esac
names=
for platform in $(echo "$PLATFORMS" | tr , ' '); do
	case $platform in
	linux/amd64 | linux/arm64) ;;
	*) fail "PLATFORMS may be linux/amd64 and linux/arm64, is $PLATFORMS" ;;
	esac
	architecture=${platform#linux/}
	compile "$architecture"
	[ "$CONTAINER_TOOL" != none ] || continue
	name=$IMG
	[ "$platform" = "$PLATFORMS" ] || name=$IMG-$architecture
	assemble "$architecture" "$name"
	names="$names $name"
done
[ -z "$IMAGE_ARCHIVE" ] || archive "$IMG"
# shellcheck disable=SC2086 # one argument for each name
[ "$PUSH" != yes ] || push $names
