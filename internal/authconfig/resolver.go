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

// Resolver makes snapshots. It keeps nothing between two calls and is safe for concurrent use as far as its readers are.
type Resolver struct {
	contents client.Reader
	metadata client.Reader
	key      fingerprint.Key
	roots    func() (*x509.CertPool, error)
}

// NewResolver returns a Resolver. contents reads Secrets and ConfigMaps from the API server itself: their contents are
// never cached. metadata reads PartialObjectMetadata of both, from the cache of the watch. key makes fingerprints. roots
// returns the system roots, usually x509.SystemCertPool; its result is copied.
func NewResolver(contents, metadata client.Reader, key fingerprint.Key, roots func() (*x509.CertPool, error)) *Resolver {
	return &Resolver{contents: contents, metadata: metadata, key: key, roots: roots}
}

// resolution is one call of Resolve on its way.
type resolution struct {
	deployment *v1alpha1.CoderDeployment
	objects    map[Reference]*object
	faults     faults
}

// Resolve reads everything that d refers to, each object once, and returns it as a new snapshot.
//
// Where something is missing or invalid there is no snapshot; the error joins one [ReferenceError] for each fault, all that
// there are. Other errors are the API server's, or those of the system roots, and worth a retry. d is not changed.
func (r *Resolver) Resolve(ctx context.Context, d *v1alpha1.CoderDeployment) (*Snapshot, error) {
	at := &resolution{deployment: d, objects: make(map[Reference]*object)}
	server, fault := endpoint(d)
	at.faults.add(fault)
	via, fault := proxy(d)
	at.faults.add(fault)

	secure := server == nil || server.Scheme == "https"
	wanted := append(wantedValues(d), wantedOAuth(d)...)
	if secure {
		wanted = append(wantedTLS(d), wanted...)
	}
	if err := at.read(ctx, r.contents, wanted); err != nil {
		return nil, err
	}
	s := &Snapshot{
		URL:        server,
		Proxy:      via,
		Headers:    at.headers(),
		Token:      at.token(),
		OAuth:      at.oauthClient(),
		Sources:    at.sources(),
		UID:        d.UID,
		Generation: d.Generation,
	}
	var bundle trust
	if secure {
		roots, err := r.systemRoots()
		if err != nil {
			return nil, err
		}
		own := at.clientCertificate()
		bundle = at.bundle()
		s.TLS = at.config(roots, bundle, own)
		s.CABundlePEM = bundle.pem
		if own != nil {
			s.Certificate = own.published
		}
	}
	if err := at.faults.err(); err != nil {
		return nil, err
	}
	s.Fingerprint = r.fingerprint(s, bundle.certificates)
	return s, nil
}

// systemRoots returns a copy of the system roots to add to.
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

// sources lists what was read.
func (r *resolution) sources() map[Reference]string {
	out := make(map[Reference]string, len(r.objects))
	for ref, from := range r.objects {
		out[ref] = ""
		if from != nil {
			out[ref] = from.resourceVersion
		}
	}
	return out
}
