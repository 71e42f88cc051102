// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"context"
	"crypto/x509"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
)

// Resolver creates snapshots. It has no state. It is safe for concurrent use if its readers are.
type Resolver struct {
	contents client.Reader
	metadata client.Reader
	key      fingerprint.Key
	roots    func() (*x509.CertPool, error)
}

// NewResolver returns a Resolver. contents reads Secrets and ConfigMaps from the API server: their
// contents are never cached. metadata reads PartialObjectMetadata of both from the cache of the
// watch. key computes fingerprints. roots returns the system roots, usually x509.SystemCertPool;
// its result is copied.
func NewResolver(
	contents, metadata client.Reader, key fingerprint.Key, roots func() (*x509.CertPool, error),
) *Resolver {
	return &Resolver{contents: contents, metadata: metadata, key: key, roots: roots}
}

// resolution is the state of one call of Resolve.
type resolution struct {
	deployment *v1alpha1.CoderDeployment
	objects    map[Reference]*object
	faults     faults
}

// Resolve reads everything that d refers to, each object once, and returns a new snapshot.
//
// If something is missing or invalid, it returns no snapshot. The error then joins one
// [ReferenceError] for each fault. Other errors are those of the API server or of the system roots,
// and should be retried. d is not changed.
func (r *Resolver) Resolve(ctx context.Context, d *v1alpha1.CoderDeployment) (*Snapshot, error) {
	at := &resolution{deployment: d, objects: make(map[Reference]*object)}
	server, fault := parseEndpoint(d)
	at.faults.add(fault)
	via, fault := parseProxy(d)
	at.faults.add(fault)

	secure := server == nil || server.Scheme == "https"
	wanted := append(wantedValues(d), wantedOAuth(d)...)
	if secure {
		wanted = append(wantedTLS(d), wanted...)
	}
	if err := at.readObjects(ctx, r.contents, wanted); err != nil {
		return nil, err
	}
	s := &Snapshot{
		URL:        server,
		Proxy:      via,
		Headers:    at.resolveHeaders(),
		Token:      at.resolveToken(),
		OAuth:      at.oauthClient(),
		Sources:    at.sourceVersions(),
		UID:        d.UID,
		Generation: d.Generation,
	}
	roots, err := r.systemRoots() // a server without TLS may have a proxy with it
	if err != nil {
		return nil, err
	}
	var bundle trust
	if secure {
		own := at.clientCertificate()
		bundle = at.resolveBundle()
		s.TLS = at.tlsConfig(roots, bundle, own)
		s.CABundlePEM, s.CABundleWarning = bundle.pem, bundle.warning
		if own != nil {
			s.Certificate = own.published
		}
	}
	at.requireIdentity(s)
	if err := at.faults.err(); err != nil {
		return nil, err
	}
	s.Fingerprint = r.computeFingerprint(s, bundle.certificates)
	return s, nil
}

// systemRoots returns a copy of the system roots that can be modified.
func (r *Resolver) systemRoots() (*x509.CertPool, error) {
	roots, err := r.roots()
	if err != nil {
		return nil, fmt.Errorf("read the system roots: %w", err)
	}
	if roots == nil {
		return x509.NewCertPool(), nil
	}
	return roots.Clone(), nil
}

// sourceVersions returns the versions of all objects that were read.
func (r *resolution) sourceVersions() map[Reference]string {
	out := make(map[Reference]string, len(r.objects))
	for ref, from := range r.objects {
		out[ref] = ""
		if from != nil {
			out[ref] = from.resourceVersion
		}
	}
	return out
}
