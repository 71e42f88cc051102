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

// newDeployment returns a deployment for the server of a flat Secret. It has no operator token, so
// it cannot mint.
func newDeployment(f flatSecret, name string) *v1alpha1.CoderDeployment {
	return &v1alpha1.CoderDeployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "CoderDeployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: f.secret.Namespace, Name: name},
		Spec:       v1alpha1.CoderDeploymentSpec{URL: f.server},
	}
}

// newSession returns a session that publishes the token of a flat Secret.
func newSession(f flatSecret, name, deployment string) *v1alpha1.CoderSession {
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

// notInName matches the characters of a host that the name of an object may not have.
var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// deploymentName derives a name from the server's host and port.
func deploymentName(server string) string {
	u, err := url.Parse(server)
	if err != nil {
		return "coder" // out of reach: serverURL returned it
	}
	return shortenName(strings.Trim(notInName.ReplaceAllString(u.Host, "-"), "-"))
}

// maxNameLength is the maximum length of a session's name without a number that is appended to make
// it unique.
const maxNameLength = 63 - len("-99")

// shortenName shortens a long name. A hash keeps the names of different texts different.
func shortenName(name string) string {
	if len(name) <= maxNameLength {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	const digits = 8
	return strings.Trim(name[:maxNameLength-digits-1], "-.") + "-" + hex.EncodeToString(sum[:])[:digits]
}

// printManifests prints the manifests of the missing objects.
func (m *migration) printManifests() error {
	printed := 0
	printObject := func(object runtime.Object) error {
		text, err := marshalManifest(object)
		if err != nil {
			return err
		}
		if printed++; printed > 1 {
			text = "---\n" + text
		}
		return m.out.writeOut(text)
	}
	for _, next := range m.moves {
		if next.makesDeployment {
			if err := printObject(next.deployment); err != nil {
				return err
			}
		}
		if next.makesSession {
			if err := printObject(next.session); err != nil {
				return err
			}
		} else {
			m.out.printErrf("Secret %s: session %s is there already.", fullName(next.secret), fullName(next.session))
		}
	}
	if printed > 0 {
		m.out.printErrf("This would be created, with --apply or kubectl apply.")
	}
	return nil
}

// marshalManifest returns an object as YAML without empty fields.
func marshalManifest(object runtime.Object) (string, error) {
	fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	removeEmptyFields(fields)
	text, err := yaml.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("write a manifest: %w", err)
	}
	return string(text), nil
}

// removeEmptyFields removes null values and empty maps, also in nested maps.
func removeEmptyFields(fields map[string]any) {
	for key, value := range fields {
		inner, ok := value.(map[string]any)
		if ok {
			removeEmptyFields(inner)
		}
		if value == nil || ok && len(inner) == 0 {
			delete(fields, key)
		}
	}
}
