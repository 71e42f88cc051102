// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// newDeployment is a deployment for the server of a flat Secret. It has no token of its own: nothing is minted.
func newDeployment(f flat, name string) *v1alpha1.CoderDeployment {
	return &v1alpha1.CoderDeployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CoderDeployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: f.secret.Namespace, Name: name},
		Spec:       v1alpha1.CoderDeploymentSpec{URL: f.server},
	}
}

// newSession is a session that publishes the token of a flat Secret.
func newSession(f flat, name, deployment string) *v1alpha1.CoderSession {
	return &v1alpha1.CoderSession{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CoderSession"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: f.secret.Namespace, Name: name,
			Annotations: map[string]string{annotationMigratedFrom: f.secret.Name},
		},
		Spec: v1alpha1.CoderSessionSpec{
			DeploymentRef: v1alpha1.DeploymentRef{Name: v1alpha1.ObjectName(deployment)},
			Auth: v1alpha1.Auth{Token: &v1alpha1.SuppliedTokenAuth{SecretRef: v1alpha1.TokenSecretRef{
				Name: v1alpha1.ObjectName(f.secret.Name), Key: v1alpha1.DataKey(f.tokenKey),
			}}},
		},
	}
}

// notInName is what a host has and a name may not.
var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// deploymentName is made of a server's host and port.
func deploymentName(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return "coder" // serverOf made it
	}
	return strings.Trim(notInName.ReplaceAllString(u.Host, "-"), "-")
}

// longest is how long a session's name may be, less the number that may come after it.
const longest = 63 - len("-99")

// shortened is a name that is not too long, and still another one for another text.
func shortened(name string) string {
	if len(name) <= longest {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	const digits = 8
	return strings.Trim(name[:longest-digits-1], "-.") + "-" + hex.EncodeToString(sum[:])[:digits]
}

// print prints the manifests of what does not exist.
func (m *migration) print() error {
	printed := 0
	give := func(object runtime.Object) error {
		text, err := manifest(object)
		if err != nil {
			return err
		}
		if printed++; printed > 1 {
			text = "---\n" + text
		}
		return m.out.write(text)
	}
	for _, next := range m.moves {
		if next.makesDeployment {
			if err := give(next.deployment); err != nil {
				return err
			}
		}
		if next.makesSession {
			if err := give(next.session); err != nil {
				return err
			}
		} else {
			m.out.printf("Secret %s: session %s is there already.", fullName(next.secret), fullName(next.session))
		}
	}
	if printed > 0 {
		m.out.printf("This would be created, with --apply or kubectl apply.")
	}
	return nil
}

// manifest is an object as a person writes it.
func manifest(object runtime.Object) (string, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	prune(fields)
	text, err := yaml.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	return string(text), nil
}

// prune takes out what is empty.
func prune(fields map[string]any) {
	for key, value := range fields {
		inner, ok := value.(map[string]any)
		if ok {
			prune(inner)
		}
		if value == nil || ok && len(inner) == 0 {
			delete(fields, key)
		}
	}
}
