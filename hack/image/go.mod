// What makes the software bill of materials of the image. A module of its own: the operator itself needs none of it.
module github.com/coder-session-operator/coder-session-operator/hack/image

go 1.26.0

require github.com/CycloneDX/cyclonedx-go v0.12.0
