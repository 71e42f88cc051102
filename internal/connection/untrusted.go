// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"crypto/x509"
	"errors"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// untrustedMessage says why the server's certificate is not trusted, and what to do about it.
func untrustedMessage(e *coder.Error) string {
	var (
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	remedy := "add its authority to tls.caBundle"
	switch {
	case errors.As(e, &name):
		remedy = "write a name that it has into url or tls.serverName"
	case errors.As(e, &invalid) && invalid.Reason == x509.Expired: // or not yet valid
		remedy = "renew it on the server, or correct the clocks"
	}
	return "the server's certificate is not trusted: " + e.Message + "; " + remedy
}
