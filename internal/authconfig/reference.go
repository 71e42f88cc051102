// SPDX-License-Identifier: Apache-2.0

package authconfig

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Kinds of objects that a [Reference] names.
const (
	KindSecret    = "Secret"
	KindConfigMap = "ConfigMap"
	// KindDeployment is the CoderDeployment itself, in a [ReferenceError] about its spec. [References]
	// never returns it.
	KindDeployment = "CoderDeployment"
)

// Reference names a Secret or ConfigMap. It is comparable.
type Reference struct {
	// Kind is KindSecret or KindConfigMap.
	Kind string
	// Namespace and Name of the object.
	Namespace, Name string
}

// String returns the reference in the form "Secret coder/prod-mtls".
func (r Reference) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }

func (r Reference) compare(other Reference) int {
	return cmp.Or(
		cmp.Compare(r.Kind, other.Kind),
		cmp.Compare(r.Namespace, other.Namespace),
		cmp.Compare(r.Name, other.Name),
	)
}

// defaultCAKey is the key of a CA bundle if the spec names none.
const defaultCAKey = "ca.crt"

// References lists the objects whose changes affect d: the client certificate, the CA bundle,
// headers, the token and the OAuth client. They are sorted and without duplicates.
func References(d *v1alpha1.CoderDeployment) []Reference {
	wanted := slices.Concat(wantedTLS(d), wantedValues(d), wantedOAuth(d))
	refs := make([]Reference, 0, len(wanted))
	for _, w := range wanted {
		refs = append(refs, w.ref)
	}
	slices.SortFunc(refs, Reference.compare)
	return slices.Compact(refs)
}

// want is one value that a snapshot needs.
type want struct {
	ref Reference
	key string
}

// wantedTLS lists the values that the TLS settings need.
func wantedTLS(d *v1alpha1.CoderDeployment) []want {
	var wanted []want
	if ref, ok := certificateRef(d); ok {
		wanted = append(wanted, want{ref, corev1.TLSCertKey}, want{ref, corev1.TLSPrivateKeyKey})
	}
	if w, ok := bundleRef(d); ok {
		wanted = append(wanted, w)
	}
	return wanted
}

// wantedValues lists the values that the headers and the token need.
func wantedValues(d *v1alpha1.CoderDeployment) []want {
	var wanted []want
	for _, h := range d.Spec.Headers {
		if w, ok := headerRef(d, h); ok {
			wanted = append(wanted, w)
		}
	}
	if w, ok := tokenRef(d); ok {
		wanted = append(wanted, w)
	}
	return wanted
}

func certificateRef(d *v1alpha1.CoderDeployment) (Reference, bool) {
	if d.Spec.TLS == nil || d.Spec.TLS.ClientCertificateSecretName == "" {
		return Reference{}, false
	}
	return secretReference(d, d.Spec.TLS.ClientCertificateSecretName), true
}

func bundleRef(d *v1alpha1.CoderDeployment) (want, bool) {
	if d.Spec.TLS == nil || d.Spec.TLS.CABundle == nil {
		return want{}, false
	}
	bundle := d.Spec.TLS.CABundle
	ref := Reference{Kind: bundle.Kind, Namespace: d.Namespace, Name: string(bundle.Name)}
	return want{ref, cmp.Or(string(bundle.Key), defaultCAKey)}, true
}

func headerRef(d *v1alpha1.CoderDeployment, h v1alpha1.Header) (want, bool) {
	switch {
	case h.ValueFrom == nil:
		return want{}, false
	case h.ValueFrom.SecretKeyRef != nil:
		from := h.ValueFrom.SecretKeyRef
		return want{secretReference(d, from.Name), string(from.Key)}, true
	case h.ValueFrom.ConfigMapKeyRef != nil:
		from := h.ValueFrom.ConfigMapKeyRef
		return want{Reference{KindConfigMap, d.Namespace, string(from.Name)}, string(from.Key)}, true
	}
	return want{}, false
}

func tokenRef(d *v1alpha1.CoderDeployment) (want, bool) {
	if d.Spec.Token == nil {
		return want{}, false
	}
	from := d.Spec.Token.SecretRef
	return want{secretReference(d, from.Name), from.DataKey()}, true
}

func secretReference(d *v1alpha1.CoderDeployment, name v1alpha1.ObjectName) Reference {
	return Reference{Kind: KindSecret, Namespace: d.Namespace, Name: string(name)}
}
