#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds Kubernetes programs of hack/kube/go.mod into bin/kube:
#
#   hack/kube/build.sh [program ...]     default: etcd kube-apiserver kubectl
#   hack/kube/build.sh cluster           all that the node of test/cluster needs
#
# A program that is there in the right version is left alone: next to each stands a stamp, .<program>.stamp, with
# what it was built from. With KUBEBUILDER_ASSETS set, the programs there are used and nothing is built.
#
# Only sh, sed and Go are needed, so that the demo starts on a bare machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=$here/../../bin/kube

# A go.work file, a vendor mode or a target platform of the caller's are not meant for these programs.
unset GOOS GOARCH GOFLAGS
export GOWORK=off CGO_ENABLED=0

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

# cold_build_time <program>: measured on 2 cores with an empty build cache, in this order. kube-apiserver compiles
# what the programs after it share.
cold_build_time() {
	case $1 in
	kube-apiserver) echo "4 min" ;;
	kube-controller-manager) echo "1 min" ;;
	cluster-dns | etcd | kube-proxy | pause) echo "10 s" ;;
	*) echo "30 s" ;;
	esac
}

# ldflags <version>: kubectl, Helm and the discovery API need a version that they can parse, and a plain
# `go build` leaves v0.0.0-master+$Format:%H$ there.
ldflags() {
	major=${1#v}
	major=${major%%.*}
	minor=${1#*.}
	minor=${minor%%.*}
	package=k8s.io/component-base/version
	echo "-s -w -X $package.gitVersion=$1 -X $package.gitMajor=$major -X $package.gitMinor=$minor -X $package.gitTreeState=clean"
}

# compile <program> <version> <log>: replaces the program in one step, so that nobody ever starts half of one.
# Says that it is alive every 30 s.
compile() {
	(cd "$here" && exec go build -trimpath -ldflags "$(ldflags "$2")" -o "$new" "$(package_of "$1")") >"$3" 2>&1 &
	child=$!
	waited=0
	while kill -0 "$child" 2>/dev/null; do
		sleep 1
		waited=$((waited + 1))
		[ $((waited % 30)) -ne 0 ] || printf '  %s: %s s so far\n' "$1" "$waited"
	done
	wait "$child" || return 1
	child=
	mv -f "$new" "$out/$1"
	rm -f "$3"
}

build() {
	stamp="$(version_of "$1") $platform"
	if [ -x "$out/$1" ] && [ "$(cat "$out/.$1.stamp" 2>/dev/null)" = "$stamp" ]; then
		return
	fi
	version=${stamp%% *}
	printf 'building %s %s (%s, about %s cold) ...\n' "$1" "$version" "$2" "$(cold_build_time "$1")"
	started=$(date +%s)
	new=$out/.$1.new.$$
	log=$out/.$1.log
	if ! compile "$1" "$version" "$log"; then
		cat "$log" >&2
		fail "could not build $1"
	fi
	printf '%s\n' "$stamp" >"$out/.$1.stamp"
	printf '  %s built in %s s\n' "$1" "$(($(date +%s) - started))"
}

clean_up() {
	[ -z "$child" ] || kill "$child" 2>/dev/null || true
	[ -z "$new" ] || rm -f "$new" "$log"
}

[ $# -gt 0 ] || set -- etcd kube-apiserver kubectl
[ "$*" != cluster ] || set -- etcd kube-apiserver kubectl kube-controller-manager kube-scheduler kubelet kube-proxy \
	cluster-dns pause
for program in "$@"; do
	package_of "$program" >/dev/null
done

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
	use_given_assets "$@"
	exit
fi

child=
new=
trap clean_up EXIT
trap 'exit 130' INT TERM
mkdir -p "$out"
platform=$(go env GOHOSTOS)/$(go env GOHOSTARCH)
total=$#
current=0
for program in "$@"; do
	current=$((current + 1))
	build "$program" "$current/$total"
done
