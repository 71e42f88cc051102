// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"fmt"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"
	"k8s.io/client-go/rest"
)

// registerPublicRoots makes the publicly trusted root certificates, which are compiled in, the roots of the system if
// that has none: the image has no such file. It is called where system roots are first needed, because they take
// 1 MiB, and a replica that waits for its lease needs none.
var registerPublicRoots = sync.OnceValue(func() error {
	roots := x509.NewCertPool()
	for root := range bundle.Roots() {
		certificate, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			return fmt.Errorf("parse a publicly trusted root certificate: %w", err)
		}
		roots.AddCertWithConstraint(certificate, root.Constraint)
	}
	x509.SetFallbackRoots(roots)
	return nil
})

// systemRoots returns the root certificates of the system, or the compiled-in ones if there are none, so that a CA
// bundle is added to either in the same way (B103).
func systemRoots() (*x509.CertPool, error) {
	if err := registerPublicRoots(); err != nil {
		return nil, err
	}
	return x509.SystemCertPool()
}

// registerRootsFor registers the public roots if the API server's certificate is checked against system roots.
func registerRootsFor(kube *rest.Config) error {
	if len(kube.CAData) > 0 || kube.CAFile != "" {
		return nil
	}
	return registerPublicRoots()
}
