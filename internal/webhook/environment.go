// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Variables by which the Coder CLI finds its settings (contract E).
const (
	envConfigDir     = "CODER_CONFIG_DIR"
	envHeaderCommand = "CODER_HEADER_COMMAND"
	envCertificate   = "CODER_CLIENT_TLS_CERT_FILE"
	envPrivateKey    = "CODER_CLIENT_TLS_KEY_FILE"
	envCA            = "CODER_CLIENT_TLS_CA_FILE"
)

// Keys of the generated Secret that variables point to.
const (
	keyHeaders = "headers"
	keyCA      = "ca.crt"
)

// secretVariables returns the variables that point to keys of the generated Secret, in groups that
// are only useful together. The Secret has headers if the deployment has any; it has certificate,
// key and CA bundle if the deployment has them and the session includes them.
//
// If the deployment is not known, a session that includes the client certificate is assumed to have
// one.
func secretVariables(folder string, k Resolved) [][]corev1.EnvVar {
	groups := [][]corev1.EnvVar{{{Name: envConfigDir, Value: folder}}}
	includes := k.Session != nil && k.Session.Spec.Secret != nil && k.Session.Spec.Secret.IncludeClientCertificate
	hasCertificate, hasCA, hasHeaders := true, false, false
	if k.Deployment != nil {
		tls := k.Deployment.Spec.TLS
		hasCertificate = tls != nil && tls.ClientCertificateSecretName != ""
		hasCA = tls != nil && tls.CABundle != nil
		hasHeaders = slices.ContainsFunc(k.Deployment.Spec.Headers, isSent)
	}
	if hasHeaders {
		groups = append(groups, []corev1.EnvVar{
			{Name: envHeaderCommand, Value: "cat " + path.Join(folder, keyHeaders)}})
	}
	if includes && hasCertificate {
		groups = append(groups, []corev1.EnvVar{
			{Name: envCertificate, Value: path.Join(folder, corev1.TLSCertKey)},
			{Name: envPrivateKey, Value: path.Join(folder, corev1.TLSPrivateKeyKey)},
		})
	}
	if includes && hasCA {
		groups = append(groups, []corev1.EnvVar{{Name: envCA, Value: path.Join(folder, keyCA)}})
	}
	return groups
}

// isSent reports whether a header is sent: a literal value that is empty is not. The contents of
// referenced Secrets are not checked.
func isSent(h v1alpha1.Header) bool {
	return h.Value == nil || strings.TrimSpace(*h.Value) != ""
}

// setVariables sets the container's variables. A group is left out if the container sets one of its
// variables differently.
func (in *injection) setVariables(c *corev1.Container) {
	for _, group := range in.groups {
		var missing []corev1.EnvVar
		var missed, own []string
		for _, wanted := range group {
			switch at := lastIndex(c.Env, wanted.Name); {
			case at < 0:
				missing, missed = append(missing, wanted), append(missed, wanted.Name)
			case c.Env[at].ValueFrom != nil || c.Env[at].Value != wanted.Value:
				own = append(own, wanted.Name)
			}
		}
		if len(own) == 0 {
			c.Env = append(c.Env, missing...)
			continue
		}
		warning := fmt.Sprintf("container %q sets %s itself: it is left as it is", c.Name, strings.Join(own, " and "))
		if len(missed) > 0 {
			warning += ", and " + strings.Join(missed, " and ") + " is not set"
		}
		in.warnings = append(in.warnings, warning)
	}
}

// lastIndex is the index of a variable, or -1: of several with the same name the last one counts.
func lastIndex(env []corev1.EnvVar, name string) int {
	for i, v := range slices.Backward(env) {
		if v.Name == name {
			return i
		}
	}
	return -1
}
