# The manager's image: one static binary, no shell, no package manager.
#
#   make image                                   docker, podman or buildah, whichever is there
#   docker buildx build --platform linux/arm64 . cross-compiled on the build machine, not emulated

FROM --platform=$BUILDPLATFORM golang:1.26 AS builder
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
WORKDIR /src

# The modules are a layer of their own: they change less often than the code.
COPY go.mod go.sum ./
RUN go mod download

COPY . .
RUN CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" \
    -o /out/coder-session-operator ./cmd/manager

FROM scratch
ARG VERSION=dev
LABEL org.opencontainers.image.title="coder-session-operator" \
      org.opencontainers.image.description="Gives Kubernetes workloads working, short-lived credentials for a Coder deployment" \
      org.opencontainers.image.url="https://github.com/coder-session-operator/coder-session-operator" \
      org.opencontainers.image.source="https://github.com/coder-session-operator/coder-session-operator" \
      org.opencontainers.image.vendor="The Coder Session Operator Authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

# An empty image has no system roots, and without them no deployment with a publicly trusted certificate verifies.
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=builder /out/coder-session-operator /coder-session-operator

# By number: runAsNonRoot cannot be checked against a name.
USER 65532:65532
ENTRYPOINT ["/coder-session-operator"]
