#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Checks that nothing in the tree waits for `make generate`, `go mod tidy` or `make fmt`, and that the changelog names
# the stored fields that are gone. Works on copies and compares, so that neither a dirty git tree nor none at all
# matters, and changes nothing.
set -eu
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT TERM
failed=

complain() {
	printf 'verify: %s\n' "$*" >&2
	failed=yes
}

echo "verify: formatting"
unformatted=$(find . -name '*.go' -not -path './bin/*' -exec gofmt -l {} +) || complain "gofmt cannot read the code"
[ -z "$unformatted" ] || complain "not formatted, run make fmt:
$unformatted"

for module in . hack/helm hack/image hack/kube hack/lint hack/tools hack/vuln \
	test/browser test/gitops test/monitoring; do
	echo "verify: $module/go.mod"
	go -C "$module" mod tidy -diff || complain "$module/go.mod is not tidy, run: go -C $module mod tidy"
done

echo "verify: generated files"
tar -cf - --exclude=./bin --exclude=./.git . | tar -xf - -C "$copy"
if ! make -s -C "$copy" generate; then
	complain "make generate fails"
elif ! diff -r -u --exclude=bin --exclude=.git . "$copy"; then
	complain "generated files are not current, run make generate"
fi

echo "verify: stored fields of earlier versions"
go run ./hack/crds check || complain "a stored field is gone or changed, see docs/reference/deprecation.md"

[ -z "$failed" ]
