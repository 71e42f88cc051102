// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secret, besides tls.crt and tls.key, which hold the certificate that is served.
const (
	// keyBundle holds all authorities that are to be trusted.
	keyBundle = "ca.crt"
	// keyNextCertificate and keyNextPrivateKey hold the certificate that will be served once all API servers trust it.
	keyNextCertificate = "next.crt"
	keyNextPrivateKey  = "next.key"
)

// state is what the Secret holds. What cannot be read is as good as absent (B25).
type state struct {
	current, next *pair
	trusted       bundle
}

func stateOf(secret *corev1.Secret) state {
	s := state{trusted: parseBundle(secret.Data[keyBundle])}
	s.current, _ = parsePair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	s.next, _ = parsePair(secret.Data[keyNextCertificate], secret.Data[keyNextPrivateKey])
	return s
}

// data is the state as the Secret holds it.
func (s state) data() map[string][]byte {
	out := map[string][]byte{keyBundle: s.trusted.pem()}
	if s.current != nil {
		out[corev1.TLSCertKey], out[corev1.TLSPrivateKeyKey] = s.current.certPEM, s.current.keyPEM
	}
	if s.next != nil {
		out[keyNextCertificate], out[keyNextPrivateKey] = s.next.certPEM, s.next.keyPEM
	}
	return out
}

// ours reports whether a Secret is this package's to write: one that it made, or one that is empty, as an installation may
// bring it along.
func ours(secret *corev1.Secret) bool {
	return secret.Labels[labelManagedBy] == managedBy || len(secret.Data) == 0
}

// apply writes the state into a Secret, and reports whether that changes it.
func (s state) apply(secret *corev1.Secret) bool {
	data := s.data()
	if maps.EqualFunc(secret.Data, data, bytes.Equal) && secret.Labels[labelManagedBy] == managedBy {
		return false
	}
	secret.Data = data
	if secret.Labels == nil {
		secret.Labels = map[string]string{}
	}
	secret.Labels[labelManagedBy] = managedBy
	return true
}

const (
	labelManagedBy = "app.kubernetes.io/managed-by"
	managedBy      = "coder-session-operator"
)
