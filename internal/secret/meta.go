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

// TokenMeta is what the metadata of a Secret says about its token.
type TokenMeta struct {
	ID        string
	Serial    int64     // 0: none
	ExpiresAt time.Time // in UTC; zero: unknown
	Request   string    // empty: the token was supplied
	// Fingerprint of the value, see [MintedFingerprint] and [TokenFingerprint].
	Fingerprint string
}

// maxTokenID is the maximum length of a stored ID. Coder's have 10 characters (contract A.4).
const maxTokenID = 64

// ownAnnotations are all annotations that the operator writes. Those that are no longer needed are
// removed with the next write.
var ownAnnotations = []string{
	v1alpha1.AnnotationSerial, v1alpha1.AnnotationTokenID, v1alpha1.AnnotationExpiresAt,
	v1alpha1.AnnotationFingerprint, v1alpha1.AnnotationTokenFingerprint, v1alpha1.AnnotationRequest,
	v1alpha1.AnnotationCredential,
	v1alpha1.AnnotationRetained, v1alpha1.AnnotationManaged,
}

// writeAnnotations writes the annotations that parseToken reads.
func (t TokenMeta) writeAnnotations(annotations map[string]string) {
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

// parseToken reads the annotations about the token. Nil: there are none. corrupt names an invalid
// annotation, without its value, which other writers may have set (B25).
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
		return nil, corruptMessage(v1alpha1.AnnotationTokenID, "is not the id of a token")
	}
	if meta.Fingerprint == "" {
		return nil, corruptMessage(v1alpha1.AnnotationTokenFingerprint, "is missing")
	}
	if serial != "" {
		number, valid := parseSerial(serial)
		if !valid {
			return nil, corruptMessage(v1alpha1.AnnotationSerial, "is not a positive number of at most 15 digits")
		}
		meta.Serial = number
	}
	if expires != "" {
		at, err := time.Parse(time.RFC3339, expires)
		if err != nil || at.IsZero() {
			return nil, corruptMessage(v1alpha1.AnnotationExpiresAt, "is not a time in RFC 3339")
		}
		meta.ExpiresAt = at.UTC()
	}
	return &meta, ""
}

func corruptMessage(annotation, what string) string {
	return fmt.Sprintf("annotation %s %s", annotation, what)
}

func validTokenID(id string) bool {
	return id != "" && len(id) <= maxTokenID && !strings.ContainsFunc(id, func(r rune) bool {
		return r <= ' ' || r > '~'
	})
}

// parseSerial returns the serial that serialText makes the text of; false: there is none.
func parseSerial(text string) (int64, bool) {
	serial, err := strconv.ParseInt(text, 10, 64)
	return serial, err == nil && serialText(serial) == text && serial <= v1alpha1.MaxSerial
}

// serialText returns an empty text for 0, which means that there is no serial.
func serialText(serial int64) string {
	if serial < 1 {
		return ""
	}
	return strconv.FormatInt(serial, 10)
}

// timeText returns an empty text for the zero time, which means that the time is unknown.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// managed lists the labels and annotations of the Secret that come from the session's spec. It is
// stored in [v1alpha1.AnnotationManaged].
type managed struct {
	Labels      []string `json:"labels,omitempty"`
	Annotations []string `json:"annotations,omitempty"`
}

// encode returns the empty string if nothing is managed.
func (m managed) encode() string {
	if len(m.Labels) == 0 && len(m.Annotations) == 0 {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil { // cannot happen: lists of strings can always be encoded
		return ""
	}
	return string(text)
}

// parseManaged returns the zero value if the annotation is invalid. The labels and annotations that
// it listed then stay, as if others had written them.
func parseManaged(annotations map[string]string) managed {
	var m managed
	if err := json.Unmarshal([]byte(annotations[v1alpha1.AnnotationManaged]), &m); err != nil {
		return managed{}
	}
	return m
}

// mergeMetadata returns the metadata to write: that of wanted, and the parts of live that others
// wrote.
func mergeMetadata(live, wanted *metav1.ObjectMeta) metav1.ObjectMeta {
	merged := *live.DeepCopy()
	was := parseManaged(live.Annotations)
	merged.Labels = overlayKeys(live.Labels, wanted.Labels, append(was.Labels, v1alpha1.LabelSession))
	merged.Annotations = overlayKeys(live.Annotations, wanted.Annotations, append(was.Annotations, ownAnnotations...))
	merged.OwnerReferences = slices.DeleteFunc(merged.OwnerReferences, isController)
	merged.OwnerReferences = append(merged.OwnerReferences, wanted.OwnerReferences...)
	return merged
}

// overlayKeys returns live without the keys in ours, and with wanted.
func overlayKeys(live, wanted map[string]string, ours []string) map[string]string {
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
