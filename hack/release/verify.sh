#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Verifies the release in a folder: builds the same commit once more, from a clone at another path, and compares every
# file; then uses what is in the release as people do. Changes nothing.
#
#   RELEASE           the folder. Default: bin/release. A release that was downloaded can be verified as well.
#   COLD=yes          the second build may not use what the first one compiled, which takes 15 min more
#   ARM64_REQUIRED=1  fail where there is no qemu-aarch64-static (package qemu-user-static), by which the programs for arm64
#                     are run
#
# The repository has to be at the commit of the release. Needs bin/helm; uses bin/kube/kubectl or the PATH's.
set -eu
cd "$(dirname "$0")/../.."

fail() {
	printf 'release-verify: %s\n' "$*" >&2
	exit 1
}

passed() { printf 'release-verify: %s\n' "$*"; }

# value <key>: of the statement of provenance, the first one.
value() { sed -n "s/^ *\"$1\": \"\(.*\)\",\{0,1\}\$/\1/p" "$release/provenance.intoto.json" | head -n 1; }

check_sums() {
	(cd "$release" && sha256sum --check --quiet --strict SHA256SUMS) || fail "SHA256SUMS does not fit"
	for file in "$release"/*; do
		name=$(basename "$file")
		case $name in SHA256SUMS | SHA256SUMS.sigstore.json) continue ;; esac
		sum=$(sed -n "s/^\([0-9a-f]*\) [ *]$name\$/\1/p" "$release/SHA256SUMS")
		[ -n "$sum" ] || fail "$name is not in SHA256SUMS"
		[ "$name" = provenance.intoto.json ] || grep -q "\"$sum\"" "$release/provenance.intoto.json" ||
			fail "$name is no subject of the provenance"
	done
	grep -q "\"$(sed 's/^sha256://' "$release/coder-session-operator_${version}_image.digest")\"" \
		"$release/provenance.intoto.json" || fail "the image is no subject of the provenance"
	passed "checksums and provenance have all files"
}

# rebuild: as the provenance says. Signing is left out.
rebuild() {
	commit=$(value gitCommit)
	git cat-file -e "$commit^{commit}" 2>/dev/null || fail "the release is made of commit $commit, which is not here"
	git clone --quiet --no-checkout . "$work/other/place"
	git -C "$work/other/place" checkout --quiet --detach "$commit"
	mkdir -p "$work/other/place/bin"
	cp bin/helm "$work/other/place/bin/helm"
	[ "${COLD:-}" != yes ] || export GOCACHE="$work/cache"
	plugins=$(cd "$release" && ls kubectl-coder_*.tar.gz | sed "s/^kubectl-coder_${version}_\(.*\)_\(.*\)\.tar\.gz\$/\1\/\2/")
	(
		unset COSIGN_KEY SIGSTORE_ID_TOKEN ACTIONS_ID_TOKEN_REQUEST_URL PLATFORMS
		VERSION=$version REPOSITORY=$(value repository) BUILDER=$(value id) INVOCATION=$(value invocationId) \
			IMAGE=$(value image) PLUGIN_PLATFORMS=$plugins "$work/other/place/hack/release/build.sh" >"$work/log" 2>&1
	) || {
		cat "$work/log" >&2
		fail "the second build has failed"
	}
	for file in "$release"/* "$work/other/place/bin/release"/*; do
		name=$(basename "$file")
		[ "$name" != SHA256SUMS.sigstore.json ] || continue
		cmp "$release/$name" "$work/other/place/bin/release/$name" || fail "$name differs between two builds of commit $commit"
	done
	passed "two builds of commit $commit are the same, byte for byte"
}

# unpack_plugin <os> <architecture>: into $work/plugin/<architecture>
unpack_plugin() {
	mkdir -p "$work/plugin/$2"
	tar -xzf "$release/kubectl-coder_${version}_$1_$2.tar.gz" -C "$work/plugin/$2"
}

# use_plugin: installed in the PATH, as a person does it, and called by kubectl.
use_plugin() {
	for archive in "$release"/kubectl-coder_*.tar.gz; do
		files=$(tar -tzf "$archive" | tr '\n' ' ')
		case $archive in
		*_windows_*) want='LICENSE THIRD_PARTY_LICENSES kubectl-coder.exe ' ;;
		*) want='LICENSE THIRD_PARTY_LICENSES kubectl-coder kubectl_complete-coder ' ;;
		esac
		[ "$files" = "$want" ] || fail "the files of $archive are $files"
		sum=$(sha256sum "$archive" | cut -d ' ' -f 1)
		grep -q "sha256: $sum\$" "$release/coder.yaml" || fail "krew's manifest does not have $archive"
	done
	architecture=$(go env GOHOSTARCH)
	unpack_plugin linux "$architecture"
	PATH=$work/plugin/$architecture:$PWD/bin/kube:$PATH
	command -v kubectl >/dev/null || fail "there is no kubectl: run make kube"
	got=$(kubectl coder --version)
	[ "$got" = "kubectl coder version $version" ] || fail "kubectl coder --version says $got"
	got=$(kubectl __complete coder stat 2>/dev/null | head -n 1 | cut -f 1)
	[ "$got" = status ] || fail "kubectl completes 'coder stat' to '$got'"
	passed "the plugin runs as $version, and kubectl completes its commands"
}

use_chart() {
	package=$release/coder-session-operator-${version#v}.tgz
	[ "$(bin/helm show chart "$package" | sed -n 's/^appVersion: *//p')" = "${version#v}" ] || fail "the chart has another version"
	bin/helm template operator "$package" --namespace operator >"$work/manifests.yaml"
	grep -q "image: .*:${version#v}\"\{0,1\}\$" "$work/manifests.yaml" || fail "the chart installs another image"
	[ "$(grep -c '^kind: CustomResourceDefinition' "$work/manifests.yaml")" -eq 2 ] || fail "the chart has not both CRDs"
	passed "the chart installs image and CRDs of ${version#v}"
}

# use_image: each manager says its version. The one for another architecture runs by emulation.
use_image() {
	mkdir -p "$work/layout"
	tar -xf "$release/coder-session-operator_${version}_image.tar" -C "$work/layout"
	grep -q "$(cat "$release/coder-session-operator_${version}_image.digest")" "$work/layout/index.json" ||
		fail "the layout has another digest"
	for layer in "$work"/layout/blobs/sha256/*; do
		gzip -t "$layer" 2>/dev/null || continue
		folder=$(mktemp -d "$work/image-XXXXXX")
		tar -xzf "$layer" -C "$folder"
		[ -s "$folder/licenses/THIRD_PARTY_LICENSES" ] || fail "an image has no licences"
		# The machine of an ELF header, at byte 18: 3e is amd64, b7 is arm64.
		case $(od -An -tx1 -j18 -N1 "$folder/coder-session-operator") in
		*3e) mv "$folder" "$work/image-amd64" ;;
		*b7) mv "$folder" "$work/image-arm64" ;;
		esac
	done
	for architecture in amd64 arm64; do
		[ -d "$work/image-$architecture" ] || fail "there is no image for $architecture"
		run_on "$architecture" "$work/image-$architecture/coder-session-operator" "$version"
		[ -d "$work/plugin/$architecture" ] || unpack_plugin linux "$architecture"
		run_on "$architecture" "$work/plugin/$architecture/kubectl-coder" "kubectl coder version $version"
	done
}

# run_on <architecture> <program> <what it says about its version>
run_on() {
	emulator=
	if [ "$1" != "$(go env GOHOSTARCH)" ]; then
		case $1 in arm64) emulator=qemu-aarch64-static ;; *) emulator=qemu-x86_64-static ;; esac
		if ! command -v $emulator >/dev/null; then
			[ -z "${ARM64_REQUIRED:-}" ] || fail "there is no $emulator: apt-get install qemu-user-static"
			passed "not run: $(basename "$2") for $1, there is no $emulator (apt-get install qemu-user-static)"
			return
		fi
	fi
	got=$($emulator "$2" --version)
	[ "$got" = "$3" ] || fail "$2 --version says '$got', want '$3'"
	passed "$(basename "$2") for $1 runs${emulator:+ by $emulator} as $version"
}

release=$(cd "${RELEASE:-bin/release}" && pwd) || fail "there is no release: make release"
version=$(value ref)
version=${version#refs/tags/}
[ -n "$version" ] || fail "the provenance names no version"
[ -x bin/helm ] || fail "bin/helm is missing: run make helm"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
check_sums
use_plugin
use_chart
use_image
rebuild
