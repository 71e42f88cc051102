#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Packages the chart:
#
#   hack/release/chart.sh <folder>
#
# Writes coder-session-operator-<version>.tgz. Helm writes the time of the package into it, so it is packed once more,
# with sorted names and SOURCE_DATE_EPOCH (default: that of the last commit) as the only time. Needs bin/helm, GNU tar.
set -eu
cd "$(dirname "$0")/../.."

[ $# -eq 1 ] || {
	echo "usage: hack/release/chart.sh FOLDER" >&2
	exit 1
}
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

mkdir -p "$1" "$work/packed"
bin/helm package charts/coder-session-operator --destination "$work" >/dev/null
package=$(basename "$work"/*.tgz)
tar -xzf "$work/$package" -C "$work/packed"
tar -cf - -C "$work/packed" --sort=name --format=ustar --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
	--numeric-owner --mode=u=rwX,go=rX coder-session-operator | gzip -9n >"$work/$package"
mv "$work/$package" "$1/$package"
