#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds Kubernetes programs of hack/kube/go.mod into bin/kube:
#
#   hack/kube/build.sh [program ...]     default: etcd kube-apiserver kubectl
#   hack/kube/build.sh demo              the same, without kubectl where PATH has one that is new enough
#   hack/kube/build.sh cluster           all that the node of test/cluster needs
#
# A program that is there in the right version is left alone: next to each stands a stamp,
# .<program>.stamp, with what it was built from. With KUBEBUILDER_ASSETS set, the programs there are
# used and nothing is built.
#
# Only sh, sed, awk and Go are needed, so that the demo starts on a bare machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../bin/kube

# A go.work file, a vendor mode or a target platform of the caller's are not meant for these programs.
unset GOOS GOARCH GOFLAGS
export GOWORK=off

# The oldest kubectl whose output the demo was tried with, as 1.x: that of the oldest supported
# Kubernetes.
least_kubectl=32

fail() {
	printf 'kube: %s\n' "$*" >&2
	exit 1
}

use_given_assets() {
	case $KUBEBUILDER_ASSETS in
	/*) ;;
	*) fail "KUBEBUILDER_ASSETS must be an absolute path, is $KUBEBUILDER_ASSETS" ;;
	esac
	for program in "$@"; do
		[ -x "$KUBEBUILDER_ASSETS/$program" ] || fail "no $program in KUBEBUILDER_ASSETS ($KUBEBUILDER_ASSETS)"
	done
	printf 'kube: using %s\n' "$KUBEBUILDER_ASSETS"
}

# required_version <module>: the version in go.mod, read without asking Go, which might want to download something.
required_version() {
	sed -n "s|^[[:space:]]*$1 \(v[^ ]*\).*|\1|p" "$here/go.mod" | head -n 1
}

package_of() {
	case $1 in
	etcd) echo go.etcd.io/etcd/server/v3 ;;
	kube-apiserver | kube-controller-manager | kube-scheduler | kube-proxy | kubelet | kubectl)
		echo "k8s.io/kubernetes/cmd/$1" ;;
	cluster-dns | pause) echo "./cmd/$1" ;;
	*) fail "unknown program $1" ;;
	esac
}

# version_of <program>: for those whose source is here, followed by the sum of that source.
version_of() {
	case $1 in
	etcd) required_version go.etcd.io/etcd/server/v3 ;;
	cluster-dns | pause)
		echo "$(required_version k8s.io/kubernetes) $(cat "$here/cmd/$1"/*.go | cksum | sed 's/ .*//')" ;;
	*) required_version k8s.io/kubernetes ;;
	esac
}

# ldflags <version>: kubectl, Helm and the discovery API need a version that they can parse, and a plain
# `go build` leaves v0.0.0-master+$Format:%H$ there. Programs without that package ignore it.
ldflags() {
	major=${1#v}
	major=${major%%.*}
	minor=${1#*.}
	minor=${minor%%.*}
	package=k8s.io/component-base/version
	echo "-s -w -X $package.gitVersion=$1 -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
}

# has_usable_kubectl: in PATH.
has_usable_kubectl() {
	minor=$(KUBECONFIG=/dev/null kubectl version --client 2>/dev/null |
		sed -n 's/^Client Version: v1\.\([0-9]*\).*/\1/p')
	[ "${minor:-0}" -ge "$least_kubectl" ]
}

stamp_of() { echo "$(version_of "$1") $platform"; }

# is_current <program>
is_current() { [ -x "$out/$1" ] && [ "$(cat "$out/.$1.stamp" 2>/dev/null)" = "$(stamp_of "$1")" ]; }

# built_name <program>: what `go build` calls it.
built_name() {
	case $1 in
	etcd) echo server ;;
	*) echo "$1" ;;
	esac
}

# build <program ...>: all at once, so that what they share is compiled once. Each is then replaced in
# one step, so that an unfinished one is never started.
build() {
	title= packages=
	for program in "$@"; do
		version=$(version_of "$program")
		title="$title${title:+, }$program ${version%% *}"
		packages="$packages $(package_of "$program")"
	done
	# The line of progress has to fit into a terminal.
	[ $# -le 2 ] || title="$# programs of Kubernetes $(required_version k8s.io/kubernetes)"
	new=$out/.new.$$
	# shellcheck disable=SC2086 # several packages
	(cd "$here" && exec ../compile.sh "$title" "$new/" "$(ldflags "$(required_version k8s.io/kubernetes)")" $packages)
	for program in "$@"; do
		mv -f "$new/$(built_name "$program")" "$out/$program"
		stamp_of "$program" >"$out/.$program.stamp"
	done
}

clean_up() { [ -z "$new" ] || rm -rf "$new"; }

new=
is_demo=
case $* in
"") set -- etcd kube-apiserver kubectl ;;
cluster)
	set -- etcd kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy cluster-dns pause ;;
demo)
	is_demo=yes
	set -- etcd kube-apiserver
	has_usable_kubectl || set -- "$@" kubectl ;;
esac
for program in "$@"; do
	package_of "$program" >/dev/null
done

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	use_given_assets "$@"
	exit
fi

trap clean_up EXIT
trap 'exit 130' INT TERM
mkdir -p "$out"
platform=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
count=$#
while [ "$count" -gt 0 ]; do
	is_current "$1" || set -- "$@" "$1"
	shift
	count=$((count - 1))
done
[ $# -gt 0 ] || exit 0
[ -z "$is_demo" ] || cat <<'END'
The first run compiles Kubernetes' API server and the operator: 9 min of CPU time, 5 min on 2 cores
(measured with empty caches). Later runs start at once.
END
build "$@"
