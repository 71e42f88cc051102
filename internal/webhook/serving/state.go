// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"bytes"
	"maps"

	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secret, in addition to tls.crt and tls.key, which hold the served certificate.
const (
	// keyBundle holds all authorities that the API server has to trust.
	keyBundle = "ca.crt"
	// keyNextCertificate and keyNextPrivateKey hold the next certificate, which is served once all
	// API servers trust it.
	keyNextCertificate = "next.crt"
	keyNextPrivateKey  = "next.key"
)

// state is the parsed content of the Secret. Invalid parts count as absent (B25).
type state struct {
	current, next *pair
	trusted       bundle
}

func readState(secret *corev1.Secret) state {
	s := state{trusted: parseBundle(secret.Data[keyBundle])}
	s.current, _ = parsePair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	s.next, _ = parsePair(secret.Data[keyNextCertificate], secret.Data[keyNextPrivateKey])
	return s
}

// secretData returns the state as data of the Secret.
func (s state) secretData() map[string][]byte {
	out := map[string][]byte{keyBundle: s.trusted.encodePEM()}
	if s.current != nil {
		out[corev1.TLSCertKey], out[corev1.TLSPrivateKeyKey] = s.current.certPEM, s.current.keyPEM
	}
	if s.next != nil {
		out[keyNextCertificate], out[keyNextPrivateKey] = s.next.certPEM, s.next.keyPEM
	}
	return out
}

// isOwned reports whether this package may write the Secret: it is labelled as the operator's, or
// it is empty, as an installation may create it.
func isOwned(secret *corev1.Secret) bool {
	return secret.Labels[labelManagedBy] == managedBy || len(secret.Data) == 0
}

// applyTo writes the state into a Secret, and reports whether that changes it.
func (s state) applyTo(secret *corev1.Secret) bool {
	data := s.secretData()
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
