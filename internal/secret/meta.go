// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// TokenMeta is what the metadata of a Secret says of the token in it.
type TokenMeta struct {
	ID        string
	Serial    int64     // 0: none was noted
	ExpiresAt time.Time // in UTC; zero: not known
	Request   string    // empty: the token was supplied
	// Fingerprint of the value, see [TokenFingerprint].
	Fingerprint string
}

// maxTokenID bounds a stored id; Coder's have 10 characters (contract A.4).
const maxTokenID = 64

// ownAnnotations are all that the operator writes. Those that it does not want any
// more are taken away with the next write.
var ownAnnotations = []string{
	v1alpha1.AnnotationSerial, v1alpha1.AnnotationTokenID, v1alpha1.AnnotationExpiresAt,
	v1alpha1.AnnotationFingerprint, v1alpha1.AnnotationTokenFingerprint, v1alpha1.AnnotationRequest,
	v1alpha1.AnnotationRetained, v1alpha1.AnnotationManaged,
}

// encode writes the annotations that parseToken reads.
func (t TokenMeta) encode(annotations map[string]string) {
	for name, value := range map[string]string{
		v1alpha1.AnnotationTokenID:          t.ID,
		v1alpha1.AnnotationSerial:           serialText(t.Serial),
		v1alpha1.AnnotationExpiresAt:        timeText(t.ExpiresAt),
		v1alpha1.AnnotationRequest:          t.Request,
		v1alpha1.AnnotationTokenFingerprint: t.Fingerprint,
	} {
		if value != "" {
			annotations[name] = value
		}
	}
}

// parseToken reads the annotations about the token. Nil: there are none. corrupt
// names the annotation that cannot be read, without its value, which anybody may have
// written (B25).
func parseToken(annotations map[string]string) (token *TokenMeta, corrupt string) {
	meta := TokenMeta{
		ID:          annotations[v1alpha1.AnnotationTokenID],
		Request:     annotations[v1alpha1.AnnotationRequest],
		Fingerprint: annotations[v1alpha1.AnnotationTokenFingerprint],
	}
	serial, expires := annotations[v1alpha1.AnnotationSerial], annotations[v1alpha1.AnnotationExpiresAt]
	if meta == (TokenMeta{}) && serial == "" && expires == "" {
		return nil, ""
	}
	if !validTokenID(meta.ID) {
		return nil, complaint(v1alpha1.AnnotationTokenID, "is not the id of a token")
	}
	if meta.Fingerprint == "" {
		return nil, complaint(v1alpha1.AnnotationTokenFingerprint, "is missing")
	}
	if serial != "" {
		number, err := strconv.ParseInt(serial, 10, 64)
		if err != nil || serialText(number) != serial {
			return nil, complaint(v1alpha1.AnnotationSerial, "is not a positive number in digits")
		}
		meta.Serial = number
	}
	if expires != "" {
		at, err := time.Parse(time.RFC3339, expires)
		if err != nil || at.IsZero() {
			return nil, complaint(v1alpha1.AnnotationExpiresAt, "is not a time in RFC 3339")
		}
		meta.ExpiresAt = at.UTC()
	}
	return &meta, ""
}

func complaint(annotation, what string) string {
	return fmt.Sprintf("annotation %s %s", annotation, what)
}

func validTokenID(id string) bool {
	return id != "" && len(id) <= maxTokenID && !strings.ContainsFunc(id, func(r rune) bool {
		return r <= ' ' || r > '~'
	})
}

// serialText is empty for 0, which stands for none.
func serialText(serial int64) string {
	if serial < 1 {
		return ""
	}
	return strconv.FormatInt(serial, 10)
}

// timeText is empty for the zero time, which stands for not known.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// managed is what of a session's spec is in the metadata of its Secret, as
// [v1alpha1.AnnotationManaged] records it.
type managed struct {
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
}

// encode returns the empty string when nothing is managed.
func (m managed) encode() string {
	if len(m.Labels) == 0 && len(m.Annotations) == 0 {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil { // lists of strings can always be encoded
		return ""
	}
	return string(text)
}

// parseManaged returns nothing for a record that cannot be read: what it told of then
// stays, as if it were somebody else's.
func parseManaged(annotations map[string]string) managed {
	var m managed
	if err := json.Unmarshal([]byte(annotations[v1alpha1.AnnotationManaged]), &m); err != nil {
		return managed{}
	}
	return m
}

// merge makes the metadata that a Secret gets: what wanted has, and of live what
// others wrote.
func merge(live, wanted *metav1.ObjectMeta) metav1.ObjectMeta {
	merged := *live.DeepCopy()
	was := parseManaged(live.Annotations)
	merged.Labels = overlay(live.Labels, wanted.Labels, append(was.Labels, v1alpha1.LabelSession))
	merged.Annotations = overlay(live.Annotations, wanted.Annotations, append(was.Annotations, ownAnnotations...))
	merged.OwnerReferences = slices.DeleteFunc(merged.OwnerReferences, isController)
	merged.OwnerReferences = append(merged.OwnerReferences, wanted.OwnerReferences...)
	return merged
}

// overlay is live without the keys that were ours, and with wanted.
func overlay(live, wanted map[string]string, ours []string) map[string]string {
	merged := maps.Clone(live)
	if merged == nil {
		merged = map[string]string{}
	}
	for _, key := range ours {
		delete(merged, key)
	}
	maps.Copy(merged, wanted)
	return merged
}

func isController(ref metav1.OwnerReference) bool { return ref.Controller != nil && *ref.Controller }
