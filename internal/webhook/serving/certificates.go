// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// errNoCertificate is the error of handshakes and probes until there is a certificate.
var errNoCertificate = errors.New("the webhook has no certificate yet")

// Certificates provides the current certificate to TLS handshakes. It is safe for concurrent use.
type Certificates struct {
	clock   clock.PassiveClock
	current atomic.Pointer[pair]
}

// Use makes a server's TLS configuration take the certificate from here, at each handshake.
func (c *Certificates) Use(config *tls.Config) {
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		current := c.current.Load()
		if current == nil {
			return nil, errNoCertificate
		}
		return &current.tls, nil
	}
}

// Check returns an error if there is no certificate, or if it has expired (a healthz.Checker).
func (c *Certificates) Check(*http.Request) error {
	current := c.current.Load()
	if current == nil {
		return errNoCertificate
	}
	if !c.clock.Now().Before(current.leaf().NotAfter) {
		return errors.New("the webhook's certificate has ended, and was not renewed")
	}
	return nil
}

// End is when the certificate ends. It is zero until there is one.
func (c *Certificates) End() time.Time {
	current := c.current.Load()
	if current == nil {
		return time.Time{}
	}
	return current.leaf().NotAfter
}

// EndOfFile is when the certificate in a PEM file ends, the first one if there are several. It is zero if
// the file has none.
func EndOfFile(path string) time.Time {
	text, err := os.ReadFile(path)
	if err != nil {
		return time.Time{}
	}
	if certificates := parseBundle(text); len(certificates) > 0 {
		return certificates[0].NotAfter
	}
	return time.Time{}
}

// updateFrom takes the certificate from the Secret. If the Secret cannot be parsed or is deleted,
// the last valid certificate stays in use until the rotator has repaired the Secret.
func (c *Certificates) updateFrom(secret *corev1.Secret) {
	if got := readState(secret).current; got != nil && isOwned(secret) {
		c.current.Store(got)
	}
}
