// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// AlteredError is returned for a write that the API server has accepted and stored differently:
// admission policies and webhooks may change objects. What they add is no alteration.
type AlteredError struct {
	// Name of the Secret.
	Name string
	// Parts that were removed or changed, such as "annotation credentials.coder.com/serial".
	Parts []string
	// TokenStored is true if the Secret holds the token that was written.
	TokenStored bool
}

// maxAlteredParts is how many parts the text names.
const maxAlteredParts = 3

// Error returns a text without values.
func (e *AlteredError) Error() string {
	named := e.Parts[:min(len(e.Parts), maxAlteredParts)]
	more := ""
	if rest := len(e.Parts) - len(named); rest > 0 {
		more = fmt.Sprintf(" and %d more", rest)
	}
	return fmt.Sprintf("an admission policy or webhook of the cluster changes Secret %q when it is written (%s%s): "+
		"exempt Secrets with the label %s from it", e.Name, strings.Join(named, ", "), more, v1alpha1.LabelSession)
}

// findAlteration compares what was sent with what the API server returned. Nil: it is the same, or more.
func findAlteration(sent, stored *corev1.Secret) error {
	parts := slices.Concat(
		alteredKeys("key", sent.Data, stored.Data, slices.Equal),
		alteredKeys("annotation", sent.Annotations, stored.Annotations, isEqualText),
		alteredKeys("label", sent.Labels, stored.Labels, isEqualText),
	)
	if sent.Type != stored.Type {
		parts = append(parts, "type")
	}
	if was, is := metav1.GetControllerOfNoCopy(sent), metav1.GetControllerOfNoCopy(stored); was != nil &&
		(is == nil || is.UID != was.UID) {
		parts = append(parts, "owner")
	}
	if len(parts) == 0 {
		return nil
	}
	stays := slices.Equal(sent.Data[KeySession], stored.Data[KeySession])
	return &AlteredError{Name: sent.Name, Parts: parts, TokenStored: stays}
}

func isEqualText(a, b string) bool { return a == b }

// alteredKeys lists the keys of sent that stored does not have, or has with another value.
func alteredKeys[V any](what string, sent, stored map[string]V, equal func(a, b V) bool) (parts []string) {
	for _, key := range slices.Sorted(maps.Keys(sent)) {
		if value, found := stored[key]; !found || !equal(sent[key], value) {
			parts = append(parts, what+" "+key)
		}
	}
	return parts
}
