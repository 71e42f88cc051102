# Needs Go, make and git, nothing else: generators and linters are Go tool dependencies (hack/tools, hack/lint), and
# the Kubernetes programs that tests and demo talk to are built from their Go modules (hack/kube).

VERSION ?= $(or $(shell git describe --tags --always --dirty 2>/dev/null),dev)
IMG ?= coder-session-operator:latest
# Of the image: hack/image/build.sh says what they mean. Empty: the tool that works, the host's platform, no archive.
CONTAINER_TOOL ?=
PLATFORMS ?=
IMAGE_ARCHIVE ?=
KUBECTL ?= kubectl

# Of the tests: RACE= where there is no C compiler, PKG=./controllers/... for some of the packages.
RACE ?= -race
PKG ?= ./...
TEST_FLAGS ?=
BENCH_FLAGS ?=
SOAK_TIME ?= 30m
BROWSER_ARTIFACTS ?= bin/browser
DEMO_FLAGS ?=
E2E_FLAGS ?=

# The folder with etcd, kube-apiserver and kubectl. A KUBEBUILDER_ASSETS of the caller's is used as it is.
KUBE_ASSETS := $(or $(KUBEBUILDER_ASSETS),$(CURDIR)/bin/kube)
WITH_KUBE = KUBEBUILDER_ASSETS="$(KUBE_ASSETS)"

# The race detector makes the controllers' random schedules six times as slow, so that with it only a few of them run.
# Then all run without it. Little of their memory lives long: the garbage collector has time.
ALL_SCHEDULES = $(if $(and $(RACE),$(filter ./... ./controllers ./controllers/...,$(PKG))),\
	GOGC=800 go test -run '^TestRandomSchedules$$' $(TEST_FLAGS) ./controllers)

# The chart's copies of what is generated into config.
CHART_FILES = charts/coder-session-operator/files

CONTROLLER_GEN = go tool -modfile=hack/tools/go.mod controller-gen
CRD_REF_DOCS = go tool -modfile=hack/tools/go.mod crd-ref-docs
GOLANGCI_LINT = go tool -modfile=hack/lint/go.mod golangci-lint
GO_BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"

# The image that the manifests in config/ name.
MANIFEST_IMG = coder-session-operator:latest

.DEFAULT_GOAL := help

##@ General

.PHONY: help
help: ## Print this help.
	@awk 'BEGIN { FS = ":.*## "; print "Usage: make <target>" } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: kube build ## See it work on this machine: builds what is missing, then runs test/demo (DEMO_FLAGS).
	@$(WITH_KUBE) go run ./test/demo $(DEMO_FLAGS)

.PHONY: clean
clean: ## Remove everything that was built, the Kubernetes programs too.
	rm -rf bin

##@ Development

.PHONY: generate
generate: deepcopy manifests docs ## Generate everything that is generated.

.PHONY: deepcopy
deepcopy: ## Generate the deep copies of the API types.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate the CRDs and the manager's role into config, and copy them into the chart.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=coder-session-operator paths=./controllers/... paths=./cmd/... \
		output:rbac:dir=config/rbac
	rm -rf $(CHART_FILES)
	mkdir -p $(CHART_FILES)/crds $(CHART_FILES)/rbac
	cp config/crd/bases/*.yaml $(CHART_FILES)/crds
	cp config/rbac/role.yaml config/rbac/reasons.yaml $(CHART_FILES)/rbac

.PHONY: docs
docs: ## Generate the pages of docs/reference that come from code.
	go run ./hack/docs docs/reference
	$(CRD_REF_DOCS) --config=hack/docs/api/config.yaml --templates-dir=hack/docs/api/templates \
		--source-path=api/v1alpha1 --renderer=markdown --output-path=docs/reference/api.md --log-level=WARN

.PHONY: fmt
fmt: ## Format the Go code.
	$(GOLANGCI_LINT) fmt

.PHONY: lint
lint: ## Run the linters.
	$(GOLANGCI_LINT) run
	cd test/browser && go tool -modfile=../../hack/lint/go.mod golangci-lint run

.PHONY: verify
verify: ## Check that generated files, go.mod files and formatting are as make would leave them.
	@hack/verify.sh

##@ Build

.PHONY: build
build: ## Build the manager, the kubectl plugin and the simulated Coder server into bin.
	@echo "building coder-session-operator, kubectl-coder and coderd-sim $(VERSION) (about 3 min cold) ..."
	@$(GO_BUILD) -o bin/coder-session-operator ./cmd/manager
	@$(GO_BUILD) -o bin/kubectl-coder ./cmd/kubectl-coder
	@cp cmd/kubectl-coder/kubectl_complete-coder bin/
	@$(GO_BUILD) -o bin/coderd-sim ./test/coderd/cmd/coderd-sim

.PHONY: kube
kube: ## Build etcd, kube-apiserver and kubectl into bin/kube, once.
	@hack/kube/build.sh

.PHONY: image
image: ## Build the manager's image (IMG) with docker, podman or buildah. Several PLATFORMS: one image each, IMG-<arch>.
	@IMG="$(IMG)" VERSION="$(VERSION)" CONTAINER_TOOL="$(CONTAINER_TOOL)" PLATFORMS="$(PLATFORMS)" \
		IMAGE_ARCHIVE="$(IMAGE_ARCHIVE)" hack/image/build.sh

.PHONY: sbom
sbom: ## Write the software bill of materials (CycloneDX) of what image has built, into bin/image.
	@[ -d bin/image ] || VERSION="$(VERSION)" CONTAINER_TOOL=none PLATFORMS="$(PLATFORMS)" hack/image/build.sh
	@hack/image/sbom.sh

.PHONY: image-verify
image-verify: ## Check that the image and its bill of materials are reproducible, and what is in the image.
	@CONTAINER_TOOL="$(CONTAINER_TOOL)" hack/image/verify.sh

##@ Test

.PHONY: test
test: kube ## Run all tests, against a real kube-apiserver and with the race detector.
	$(WITH_KUBE) go test $(RACE) -timeout 20m $(TEST_FLAGS) $(PKG)
	$(ALL_SCHEDULES)

.PHONY: chart-test
chart-test: kube ## Test the Helm chart, and that config is the same. Builds Helm first (about 2 min cold).
	@go tool -modfile=hack/helm/go.mod helm version --short
	$(WITH_KUBE) go test $(RACE) -tags chart -count 1 -timeout 10m $(TEST_FLAGS) ./test/chart

.PHONY: browser-test
browser-test: kube ## Test a person's way through consent in Chromium. Pictures of all pages: BROWSER_ARTIFACTS.
	$(WITH_KUBE) BROWSER_ARTIFACTS="$(abspath $(BROWSER_ARTIFACTS))" \
		go -C test/browser test $(RACE) -count=1 -timeout 10m $(TEST_FLAGS) ./...

.PHONY: helm
helm: ## Build Helm into bin (about 2 min cold).
	@go tool -modfile=hack/helm/go.mod helm version --short
	@mkdir -p bin && cp "$$(go tool -modfile=hack/helm/go.mod -n helm)" bin/helm

.PHONY: cluster-test
cluster-test: ## Test the one-node cluster that e2e runs in. Needs root.
	@hack/kube/build.sh cluster
	go test $(RACE) -tags e2e -count 1 -timeout 10m $(TEST_FLAGS) ./test/cluster/...

.PHONY: e2e
e2e: helm ## Install and use it all in a real cluster: one of its own, which needs root, or that of KUBECONFIG.
	@hack/kube/build.sh $(if $(KUBECONFIG),kubectl,cluster)
	@$(MAKE) --no-print-directory image IMG=coder-session-operator:e2e PLATFORMS= IMAGE_ARCHIVE=bin/e2e/image.tar
	@$(GO_BUILD) -o bin/kubectl-coder ./cmd/kubectl-coder
	@$(GO_BUILD) -o bin/e2e/ ./test/e2e ./test/e2e/caller ./test/coderd/cmd/coderd-sim
	@bin/e2e/e2e $(E2E_FLAGS)

.PHONY: soak
soak: ## Run random schedules that nobody has seen, for SOAK_TIME. A failure names the seed that repeats it.
	SOAK=$(SOAK_TIME) go test -run '^TestSoak$$' -count=1 -timeout 0 -v ./controllers

.PHONY: bench
bench: kube ## Run the benchmarks at scale.
	$(WITH_KUBE) go test -run '^$$' -bench . -timeout 30m $(BENCH_FLAGS) ./test/scale/...

##@ Cluster (the one that kubectl points to)

.PHONY: install
install: ## Install the CRDs.
	$(KUBECTL) apply -k config/crd

.PHONY: deploy
deploy: ## Install CRDs, roles and manager (IMG).
	$(KUBECTL) kustomize config/default | sed 's|image: $(MANIFEST_IMG)$$|image: $(IMG)|' | $(KUBECTL) apply -f -

.PHONY: undeploy
undeploy: ## Remove what deploy installed. All sessions go, and their tokens are revoked first.
	$(KUBECTL) delete --ignore-not-found -k config/crd
	$(KUBECTL) delete --ignore-not-found -k config/default
