// SPDX-License-Identifier: Apache-2.0

package podsession

import (
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const (
	// nameAlphabet has no vowels and no characters that look alike, as the names that Kubernetes generates.
	nameAlphabet = "bcdfghjklmnpqrstvwxz2456789"
	// nameSuffix is the number of random characters: some 2.8e11 names for each session.
	nameSuffix = 8
	// nameLength is the longest name of a session.
	nameLength = 63
)

// NewName returns the name of the session of one pod: that of its parent, cut if need be, and random
// characters. It fails if the source of randomness does.
func NewName(random io.Reader, parent string) (string, error) {
	suffix := make([]byte, 0, nameSuffix)
	for one := make([]byte, 1); len(suffix) < nameSuffix; {
		if _, err := io.ReadFull(random, one); err != nil {
			return "", fmt.Errorf("read random bytes: %w", err)
		}
		// The rest is thrown away, so that all characters are equally likely.
		if n := int(one[0]); n < 256/len(nameAlphabet)*len(nameAlphabet) {
			suffix = append(suffix, nameAlphabet[n%len(nameAlphabet)])
		}
	}
	return namePrefix(parent) + string(suffix), nil
}

// namePrefix is what the names of the sessions of all pods of a parent begin with.
func namePrefix(parent string) string {
	return strings.TrimRight(parent[:min(len(parent), nameLength-nameSuffix-1)], "-.") + "-"
}

// isName reports whether NewName may have made a name for a pod of the parent.
func isName(parent, name string) bool {
	suffix, found := strings.CutPrefix(name, namePrefix(parent))
	return found && parent != "" && len(suffix) == nameSuffix && strings.Trim(suffix, nameAlphabet) == ""
}

// SessionName returns the name of the session that the webhook has given to a pod; empty: none. What else
// is in the annotation was written past the webhook. It may have any size, and name an object of others,
// so it is as if there were none.
func SessionName(pod *corev1.Pod) string {
	name := pod.Annotations[v1alpha1.AnnotationPodSession]
	if !isName(pod.Labels[v1alpha1.LabelParent], name) {
		return ""
	}
	return name
}
