// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// part is a part of a Secret's contents.
type part struct {
	size int    // bytes
	what string // for people
}

// SizeProblem says why the API server would refuse the Secret for its size, without templates: what
// these add is checked when they are rendered. It is empty if the size is allowed.
func SizeProblem(in Input) string {
	token, url := len(in.Token.Value.Reveal()), len(clientURL(in.URL))
	headers := 0
	for _, header := range in.Headers {
		headers += len(header.Name) + len(header.Value.Reveal()) + len("=\n")
	}
	const withCertificate = ", or remove secret.includeClientCertificate"
	parts := []part{
		{len(in.CA), "shorten the CA bundle of the CoderDeployment" + withCertificate},
		{len(in.Certificate) + len(in.CertificateKey.Reveal()),
			"shorten the client certificate of the CoderDeployment" + withCertificate},
		{headers, "shorten the headers of the CoderDeployment"},
		{2 * (token + url), "shorten the URL of the CoderDeployment"},
	}
	total, largest := 0, parts[0]
	for _, key := range reserved {
		total += len(key)
	}
	for _, each := range parts {
		total += each.size
		if each.size > largest.size {
			largest = each
		}
	}
	if total <= corev1.MaxSecretSize {
		return ""
	}
	return fmt.Sprintf("the Secret would have %d bytes, and the API server accepts %d: %s", total, corev1.MaxSecretSize,
		largest.what)
}
