#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Pushes the image and the chart of the release in bin/release, and signs the image:
#
#   VERSION        of the release
#   IMAGE          the image's name, without a tag. Its tag is the version without the v, as the chart has it.
#   CHARTS         where the chart goes, as oci://...
#   PUSH_FLAGS     flags of helm push, such as --plain-http
#
# Takes the credentials of docker login or podman login. The image is packed once more from the same code, and has to
# get the digest that the release says.
set -eu
cd "$(dirname "$0")/../.."

fail() {
	printf 'release-push: %s\n' "$*" >&2
	exit 1
}

: "${VERSION:?of the release}" "${IMAGE:?name of the image, without a tag}" "${CHARTS:?oci://...}" "${PUSH_FLAGS:=}"
release=bin/release
digest=$(cat "$release/coder-session-operator_${VERSION}_image.digest")
IMG=$IMAGE:${VERSION#v} PUSH=yes PLATFORMS=linux/amd64,linux/arm64 hack/image/build.sh >"$release.log"
cat "$release.log"
pushed=$(sed -n 's/^.* \(sha256:[0-9a-f]*\) pushed$/\1/p' "$release.log")
rm -f "$release.log"
[ "$pushed" = "$digest" ] || fail "pushed was $pushed, the release has $digest"
# shellcheck disable=SC2086 # several flags
bin/helm push $PUSH_FLAGS "$release/coder-session-operator-${VERSION#v}.tgz" "$CHARTS"
hack/release/sign.sh image "$release" "$IMAGE@$digest"
