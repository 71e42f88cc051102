# The manager's image: one static binary and nothing else. No shell, no package manager, not even a file of
# certificate authorities: the system roots are in the binary.
#
#   make image        compiles the binary into bin/image/<architecture> and runs docker, podman or buildah
#
# Nothing is compiled here, so that nothing is pulled, and a build needs neither emulation nor a network.

FROM scratch
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="coder-session-operator" \
      org.opencontainers.image.description="Gives Kubernetes workloads working, short-lived credentials for a Coder deployment" \
      org.opencontainers.image.url="https://github.com/coder-session-operator/coder-session-operator" \
      org.opencontainers.image.source="https://github.com/coder-session-operator/coder-session-operator" \
      org.opencontainers.image.vendor="The Coder Session Operator Authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY bin/image/${TARGETARCH}/coder-session-operator /coder-session-operator

# By number: runAsNonRoot cannot be checked against a name.
USER 65532:65532
ENTRYPOINT ["/coder-session-operator"]
