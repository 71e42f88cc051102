# Needs Go, make and git, nothing else: generators, linters and checks are Go tool dependencies
# (hack/tools, hack/lint, hack/vuln), and the Kubernetes programs that tests and demo talk to are built from their Go modules
# (hack/kube). Times are of 2 cores; cold means with empty caches.

VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),dev)
IMG ?= coder-session-operator:latest
# Of the image: hack/image/build.sh says what they mean. Empty: the container tool that works gets it,
# the host's platform, no archive, no layout, not pushed.
CONTAINER_TOOL ?=
PLATFORMS ?=
IMAGE_ARCHIVE ?=
IMAGE_LAYOUT ?=
PUSH ?=
KUBECTL ?= kubectl

# Of the tests: RACE= where there is no C compiler, PKG=./controllers/... for some of the packages.
RACE ?= -race
PKG ?= ./...
TEST_FLAGS ?=
BENCH_FLAGS ?=
SOAK_TIME ?= 30m
BROWSER_ARTIFACTS ?= bin/browser
# Of vulncheck: a copy of the database of vulnerabilities, such as file:///srv/vulndb. Empty: vuln.go.dev.
VULNDB ?=
# Of conformance: the server's URL, a file with an owner's token, and flags such as --template=docker.
CODER_URL ?=
CODER_TOKEN_FILE ?=
CONFORMANCE_FLAGS ?=
DEMO_FLAGS ?=
E2E_FLAGS ?=

# The folder with etcd, kube-apiserver and kubectl. A KUBEBUILDER_ASSETS of the caller's is used as it is.
KUBE_ASSETS := $(or $(KUBEBUILDER_ASSETS),$(CURDIR)/bin/kube)
WITH_KUBE = KUBEBUILDER_ASSETS="$(KUBE_ASSETS)"

# Packages whose tests need no control plane.
UNIT_PACKAGES = $$(go list -f '{{.ImportPath}} {{.TestImports}} {{.XTestImports}}' $(PKG) | \
	grep -v '/test/kube[] ]' | cut -d ' ' -f 1)

# The race detector makes a program several times as slow. It watches where goroutines of the operator meet: the
# packages of the product, the simulated Coder server, the manager's integration tests, and few of the random
# schedules. All schedules, and the other packages, which run the same controllers or none, run without it.
# Both lists begin with long ones, so that no processor is idle at the end.
RACED = operator/(api|cmd|controllers|internal|test/(coderd|operator))(/|$$)
LIST_RACED = go list $(PKG) | grep -E '$(RACED)|/test/simulation$$' | sort -r
LIST_UNRACED = go list $(PKG) $(if $(RACE),| grep -vE '$(RACED)')
# Without the tables of debuggers, test binaries link in half the time. What go vet finds, lint finds too.
GO_TEST = go test -ldflags=-w -vet=off
TEST_ALL = $(WITH_KUBE) $(GO_TEST) -timeout 20m $(TEST_FLAGS)

# The chart's copies of what is generated into config.
CHART_FILES = charts/coder-session-operator/files

# go tool would compile them with other flags than all else.
CONTROLLER_GEN = go run -modfile=hack/tools/go.mod sigs.k8s.io/controller-tools/cmd/controller-gen
CRD_REF_DOCS = go run -modfile=hack/tools/go.mod github.com/elastic/crd-ref-docs
GOVULNCHECK = go run -modfile=hack/vuln/go.mod golang.org/x/vuln/cmd/govulncheck
GOLANGCI_LINT = go run -modfile="$(CURDIR)/hack/lint/go.mod" github.com/golangci/golangci-lint/v2/cmd/golangci-lint
LDFLAGS = -s -w -X main.version=$(VERSION)

# Everything is compiled with the flags of hack/compile.sh: a package that programs, tests, linters and Kubernetes share
# is compiled once, and once more for the race detector, which needs cgo.
export CGO_ENABLED ?= 0
export GOFLAGS += -trimpath -gcflags=all=-dwarf=false

# What build compiles, in one go, into bin.
PROGRAMS = ./cmd/manager ./cmd/kubectl-coder ./test/coderd/cmd/coderd-sim ./test/demo

# The image that the manifests in config/ name.
MANIFEST_IMG = coder-session-operator:latest

.DEFAULT_GOAL := help

##@ Start here

.PHONY: help
help: ## Print this map of the targets.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  %-17s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## See it work on this machine (DEMO_FLAGS). The first run takes 5 min more.
	@hack/kube/build.sh demo
	@$(MAKE) --no-print-directory build
	@$(WITH_KUBE) bin/demo $(DEMO_FLAGS)

.PHONY: test-unit
test-unit: ## Run the tests that need Go only, in less than a minute (PKG, TEST_FLAGS).
	$(GO_TEST) -short $(TEST_FLAGS) $(UNIT_PACKAGES)

##@ Develop

.PHONY: generate
generate: deepcopy manifests docs ## Generate everything that is generated.

.PHONY: deepcopy
deepcopy: ## Generate the deep copies of the API types.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate CRDs, the manager's role and admission policies into config and chart.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	go run ./hack/crds
	$(CONTROLLER_GEN) rbac:roleName=coder-session-operator paths=./controllers/... paths=./cmd/... \
		output:rbac:dir=config/rbac
	go run ./hack/policies config/policies
	rm -rf $(CHART_FILES)/crds $(CHART_FILES)/rbac $(CHART_FILES)/policies
	mkdir -p $(CHART_FILES)/crds $(CHART_FILES)/rbac $(CHART_FILES)/policies/optional
	cp config/crd/bases/*.yaml $(CHART_FILES)/crds
	cp config/rbac/role.yaml config/rbac/reasons.yaml $(CHART_FILES)/rbac
	cp config/policies/*_*.yaml $(CHART_FILES)/policies
	cp config/session_finalizer/session_finalizer.yaml $(CHART_FILES)/policies/optional

.PHONY: docs
docs: ## Generate the pages of docs/reference that come from code.
	go run ./hack/docs docs/reference
	$(CRD_REF_DOCS) --config=hack/docs/api/config.yaml --templates-dir=hack/docs/api/templates \
		--source-path=api/v1alpha1 --renderer=markdown --output-path=docs/reference/api.md --log-level=WARN

.PHONY: pictures
pictures: kube ## Draw the pictures of docs/images that show what programs print and measure.
	$(WITH_KUBE) go test -count=1 -run '^TestStatusIsWhatTheREADMEShows$$' ./internal/cli -update
	go -C test/monitoring test -count=1 -tags remove_all_sd -run '^TestTheDashboardIsWhatTheREADMEShows$$' . -update

.PHONY: fmt
fmt: ## Format the Go code.
	$(GOLANGCI_LINT) fmt

.PHONY: lint
lint: ## Run the linters.
	$(GOLANGCI_LINT) run
	cd hack/image && $(GOLANGCI_LINT) run
	cd test/browser && $(GOLANGCI_LINT) run
	cd test/monitoring && $(GOLANGCI_LINT) run --build-tags remove_all_sd
	cd test/gitops && $(GOLANGCI_LINT) run

.PHONY: linters
linters: ## Build the linters.
	$(GOLANGCI_LINT) version

.PHONY: verify
verify: ## Check that generated files, go.mod files and formatting are current.
	@hack/verify.sh

.PHONY: vulncheck
vulncheck: ## Look for known vulnerabilities in the code that is called. Asks vuln.go.dev (VULNDB).
	$(GOVULNCHECK) $(if $(VULNDB),-db "$(VULNDB)") ./cmd/...

##@ Test

.PHONY: test
test: kube ## Run all tests, with kube-apiserver and race detector (PKG, TEST_FLAGS).
	@go list $(PKG) >/dev/null
	$(if $(RACE),packages=$$($(LIST_RACED)); test -z "$$packages" || CGO_ENABLED=1 $(TEST_ALL) $(RACE) $$packages)
	packages=$$($(LIST_UNRACED)); test -z "$$packages" || $(TEST_ALL) $$packages

.PHONY: chart-test
chart-test: kube helm ## Test the Helm chart, and that config is the same.
	$(WITH_KUBE) $(GO_TEST) -tags chart -count 1 -timeout 10m $(TEST_FLAGS) ./test/chart

.PHONY: monitoring-test
monitoring-test: kube helm ## Test alerts and dashboard with Prometheus' engine. Builds promtool (2 min cold).
	$(WITH_KUBE) go -C test/monitoring test -count=1 -timeout 10m -tags remove_all_sd $(TEST_FLAGS) ./...

.PHONY: browser-test
browser-test: kube ## Test a person's consent in Chromium, with pictures in BROWSER_ARTIFACTS.
	$(WITH_KUBE) BROWSER_ARTIFACTS="$(abspath $(BROWSER_ARTIFACTS))" \
		go -C test/browser test -count=1 -timeout 10m $(TEST_FLAGS) ./...

.PHONY: gitops-test
gitops-test: ## Test what kstatus, Argo CD and Flux make of every reason (3 min cold).
	go -C test/gitops test -timeout 5m $(TEST_FLAGS) ./...

.PHONY: cluster-test
cluster-test: ## Test the one-node cluster that e2e runs in. Needs root.
	@hack/kube/build.sh cluster
	$(GO_TEST) -tags e2e -count 1 -timeout 10m $(TEST_FLAGS) ./test/cluster/...

.PHONY: e2e
e2e: helm build ## Use it all in a cluster: one of its own, which needs root, or KUBECONFIG's.
	@hack/kube/build.sh $(if $(KUBECONFIG),kubectl,cluster)
	@$(MAKE) --no-print-directory image IMG=coder-session-operator:e2e PLATFORMS= IMAGE_ARCHIVE=bin/e2e/image.tar
	@rm -rf bin/e2e/chart && hack/release/chart.sh bin/e2e/chart && cd bin/e2e/chart && sha256sum -- *.tgz >SHA256SUMS
	@hack/compile.sh "end-to-end test" bin/e2e/ "$(LDFLAGS)" ./test/e2e ./test/e2e/caller ./test/coderd/cmd/coderd-sim
	@bin/e2e/e2e $(E2E_FLAGS)

.PHONY: conformance
conformance: ## Ask a Coder server what the operator relies on (CODER_URL, CODER_TOKEN_FILE, CONFORMANCE_FLAGS).
	@go build -o bin/coder-conformance ./test/conformance/cmd/coder-conformance
	@bin/coder-conformance --url "$(CODER_URL)" --token-file "$(CODER_TOKEN_FILE)" $(CONFORMANCE_FLAGS)

.PHONY: soak
soak: ## Run random schedules for SOAK_TIME. A failure names the seed that repeats it.
	SOAK=$(SOAK_TIME) go test -run '^TestSoak$$' -count=1 -timeout 0 -v ./test/simulation

LARGE ?= 300,3000,10000

.PHONY: bench
bench: kube ## Run the benchmarks at scale.
	$(WITH_KUBE) go test -run '^$$' -bench . -timeout 30m $(BENCH_FLAGS) ./test/scale/...

.PHONY: bench-large
bench-large: kube ## Run the benchmark with thousands of sessions on 40 deployments in 200 namespaces.
	$(WITH_KUBE) go test -run '^$$' -bench '^BenchmarkLarge$$' -benchtime 1x -timeout 3h $(BENCH_FLAGS) \
		./test/scale -large $(LARGE)

##@ Build

.PHONY: build
build: ## Build manager, kubectl plugin, simulated Coder server and demo into bin.
	@hack/compile.sh "coder-session-operator $(VERSION)" bin/ "$(LDFLAGS)" $(PROGRAMS)
	@ln -f bin/manager bin/coder-session-operator
	@cp cmd/kubectl-coder/kubectl_complete-coder bin/

.PHONY: kube
kube: ## Build etcd, kube-apiserver and kubectl into bin/kube, once (5 min cold).
	@hack/kube/build.sh

.PHONY: helm
helm: ## Build Helm into bin (2 min cold).
	@cd hack/helm && unset GOOS GOARCH && ../compile.sh \
		"Helm $$(go list -m -f '{{.Version}}' helm.sh/helm/v4)" ../../bin/ "-s -w" helm.sh/helm/v4/cmd/helm

.PHONY: image
image: ## Build the manager's image (IMG, PLATFORMS), into docker, podman or buildah, IMAGE_ARCHIVE, or PUSH=yes.
	@IMG="$(IMG)" VERSION="$(VERSION)" CONTAINER_TOOL="$(CONTAINER_TOOL)" PLATFORMS="$(PLATFORMS)" \
		IMAGE_ARCHIVE="$(IMAGE_ARCHIVE)" IMAGE_LAYOUT="$(IMAGE_LAYOUT)" PUSH="$(PUSH)" hack/image/build.sh

.PHONY: image-verify
image-verify: ## Check what is in the image, and that it and its SBOM are reproducible.
	@hack/image/verify.sh

.PHONY: sbom
sbom: ## Write the image's software bill of materials (CycloneDX) into bin/image.
	@[ -d bin/image ] || VERSION="$(VERSION)" CONTAINER_TOOL=none PLATFORMS="$(PLATFORMS)" hack/image/build.sh
	@hack/image/sbom.sh

.PHONY: release
release: helm ## Write all of a release into bin/release (VERSION, the chart's; 10 min cold).
	@VERSION="$(VERSION)" PLATFORMS="$(PLATFORMS)" hack/release/build.sh

.PHONY: release-verify
release-verify: helm ## Build the release once more elsewhere, compare, and try what is in it (RELEASE, COLD).
	@hack/kube/build.sh kubectl
	@hack/release/verify.sh

.PHONY: release-push
release-push: ## Push the release's image and chart to registries (VERSION, IMAGE, CHARTS).
	@VERSION="$(VERSION)" hack/release/push.sh

.PHONY: clean
clean: ## Remove everything that was built, the Kubernetes programs too.
	rm -rf bin

##@ Cluster (the one that kubectl points to)

.PHONY: install
install: ## Install the CRDs.
	$(KUBECTL) apply -k config/crd

.PHONY: deploy
deploy: ## Install CRDs, roles and manager (IMG).
	$(KUBECTL) kustomize config/default | sed 's|image: $(MANIFEST_IMG)$$|image: $(IMG)|' | $(KUBECTL) apply -f -

.PHONY: undeploy
undeploy: ## Remove what deploy installed. Tokens of all sessions are revoked first.
	$(KUBECTL) delete --ignore-not-found -k config/crd
	$(KUBECTL) delete --ignore-not-found -k config/default
