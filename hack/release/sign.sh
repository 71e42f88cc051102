#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Signs a release with cosign:
#
#   hack/release/sign.sh sums <folder>              SHA256SUMS of a folder, into SHA256SUMS.sigstore.json; it has the
#                                                   sums of all other files, the statement of provenance among them
#   hack/release/sign.sh image <folder> <image>     the pushed image <name>@<digest>, with the provenance of the folder
#                                                   as its attestation
#
# What it takes from the environment:
#
#   COSIGN_KEY                                       the key: a file, or the URL of a key management system
#   SIGSTORE_ID_TOKEN, ACTIONS_ID_TOKEN_REQUEST_URL  an identity, where there is no key. The latter is GitHub's.
#   COSIGN_FLAGS                                     more flags of cosign
#
# Without key, identity or cosign nothing is signed, which is said and no error.
set -eu

omit() {
	printf 'release: not signed: %s\n' "$*"
	exit 0
}

[ -n "${COSIGN_KEY:-}${SIGSTORE_ID_TOKEN:-}${ACTIONS_ID_TOKEN_REQUEST_URL:-}" ] ||
	omit "there is no key and no identity; set COSIGN_KEY, or SIGSTORE_ID_TOKEN"
command -v cosign >/dev/null || omit "there is no cosign in the PATH"

what=$1 folder=$2
# shellcheck disable=SC2086 # several flags
case $what in
sums)
	cosign sign-blob --yes ${COSIGN_KEY:+--key "$COSIGN_KEY"} ${COSIGN_FLAGS:-} \
		--bundle "$folder/SHA256SUMS.sigstore.json" "$folder/SHA256SUMS" >/dev/null
	chmod 644 "$folder/SHA256SUMS.sigstore.json" # cosign lets only its user read it
	printf 'release: signed SHA256SUMS\n' ;;
image)
	cosign sign --yes ${COSIGN_KEY:+--key "$COSIGN_KEY"} ${COSIGN_FLAGS:-} "$3"
	predicate=$(mktemp)
	trap 'rm -f "$predicate"' EXIT
	sed -n '/^  "predicate": {$/,$p' "$folder/provenance.intoto.json" | sed '1s/.*/{/; $d' >"$predicate"
	cosign attest --yes ${COSIGN_KEY:+--key "$COSIGN_KEY"} ${COSIGN_FLAGS:-} --type slsaprovenance1 \
		--predicate "$predicate" "$3"
	printf 'release: signed %s\n' "$3" ;;
*)
	printf 'release: sign.sh %s: write sums or image\n' "$what" >&2
	exit 1 ;;
esac
