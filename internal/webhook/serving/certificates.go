// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"crypto/tls"
	"errors"
	"net/http"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"
)

// errNone is the answer until there is a certificate.
var errNone = errors.New("the webhook has no certificate yet")

// Certificates hands the current certificate to TLS handshakes. It is safe for concurrent use.
type Certificates struct {
	clock   clock.PassiveClock
	current atomic.Pointer[pair]
}

// Use makes a server's settings take their certificate from here, at each handshake.
func (c *Certificates) Use(config *tls.Config) {
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		current := c.current.Load()
		if current == nil {
			return nil, errNone
		}
		return &current.tls, nil
	}
}

// Check is an error while there is no certificate, or only one that has ended (a healthz.Checker).
func (c *Certificates) Check(*http.Request) error {
	current := c.current.Load()
	if current == nil {
		return errNone
	}
	if !c.clock.Now().Before(current.leaf().NotAfter) {
		return errors.New("the webhook's certificate has ended, and was not renewed")
	}
	return nil
}

// deliver takes over what the Secret holds. A Secret that cannot be read leaves the last good certificate in use, and so does
// one that is deleted: it is put right.
func (c *Certificates) deliver(secret *corev1.Secret) {
	if got := stateOf(secret).current; got != nil && ours(secret) {
		c.current.Store(got)
	}
}
