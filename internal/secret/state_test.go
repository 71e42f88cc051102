// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// renderMeta returns the metadata of the Secret that the session ci owns.
func renderMeta(tb testing.TB) *metav1.ObjectMeta {
	tb.Helper()
	secret, err := Render(testKey(tb), newInput(newSession()))
	if err != nil {
		tb.Fatal(err)
	}
	secret.ResourceVersion, secret.UID = "7", "secret"
	return &secret.ObjectMeta
}

func TestStateOf(t *testing.T) {
	t.Parallel()
	in := newInput(newSession())
	token := &TokenMeta{
		ID: tokenID, Serial: 3, ExpiresAt: expires, Request: "digest",
		Fingerprint: MintedFingerprint(testKey(t), in.Session.UID, in.Token.Value),
	}
	owned := State{
		Ownership: Owned, ResourceVersion: "7", UID: "secret",
		Token: token, Fingerprint: Fingerprint(testKey(t), in), Credential: Credential(testKey(t), in),
	}
	adoptable := owned
	adoptable.Ownership = Adoptable
	foreign := State{Ownership: Foreign, ResourceVersion: "7", UID: "secret"}
	// with returns owned with another token. Nil: none.
	with := func(change func(*TokenMeta)) State {
		state := owned
		state.Token = ptr.To(*token)
		change(state.Token)
		return state
	}
	corrupt := func(annotation, why string) State { // B25
		state := owned
		state.Token, state.Corrupt = nil, "annotation credentials.coder.com/"+annotation+" "+why
		return state
	}
	annotate := func(name, value string) func(*metav1.ObjectMeta) {
		return func(m *metav1.ObjectMeta) { m.Annotations["credentials.coder.com/"+name] = value }
	}
	without := func(names ...string) func(*metav1.ObjectMeta) {
		return func(m *metav1.ObjectMeta) {
			for _, name := range names {
				delete(m.Annotations, "credentials.coder.com/"+name)
			}
		}
	}
	const noID, noTime, noDigits = "is not the id of a token", "is not a time in RFC 3339",
		"is not a positive number of at most 15 digits"

	tests := map[string]struct {
		change func(*metav1.ObjectMeta)
		want   State
	}{
		"own": {func(*metav1.ObjectMeta) {}, owned},
		"no token": {without("token-id", "serial", "expires-at", "request", "token-fingerprint"),
			func() State { s := owned; s.Token = nil; return s }()},
		"supplied": {without("serial", "request", "expires-at"),
			with(func(m *TokenMeta) { *m = TokenMeta{ID: m.ID, Fingerprint: m.Fingerprint} })},
		"another zone": {
			annotate("expires-at", "2030-01-02T05:04:05+02:00"), owned,
		},
		"deleting": {
			func(m *metav1.ObjectMeta) { m.DeletionTimestamp = ptr.To(metav1.Now()) },
			func() State { s := owned; s.Deleting = true; return s }(),
		},
		"nothing of it": {
			func(m *metav1.ObjectMeta) { m.Annotations, m.Labels, m.OwnerReferences = nil, nil, nil }, foreign, // B23
		},
		"another controller": {func(m *metav1.ObjectMeta) { // B23
			m.OwnerReferences[0].UID, m.OwnerReferences[0].Kind = "other", "Other"
		}, foreign},
		"a session of another name": {func(m *metav1.ObjectMeta) {
			m.OwnerReferences[0].UID, m.OwnerReferences[0].Name = "other", "other"
		}, foreign}, // B23
		"a session of another API": {func(m *metav1.ObjectMeta) {
			m.OwnerReferences[0].UID, m.OwnerReferences[0].APIVersion = "other", "example.com/v1"
		}, foreign}, // B23
		"B112 the owner is gone": {func(m *metav1.ObjectMeta) { m.OwnerReferences = nil }, adoptable},
		"B112 a session of another life": {
			func(m *metav1.ObjectMeta) { m.OwnerReferences[0].UID = "other" }, adoptable,
		},
		"B112 an owner without controller": {
			func(m *metav1.ObjectMeta) { m.OwnerReferences[0].Controller = nil }, adoptable,
		},
		"restored without fingerprint": {
			func(m *metav1.ObjectMeta) { m.OwnerReferences = nil; without("fingerprint")(m) }, foreign, // B23
		},
		"restored for another session": {
			func(m *metav1.ObjectMeta) { m.OwnerReferences, m.Labels[v1alpha1.LabelSession] = nil, "other" }, foreign, // B23
		},
		"retained": {
			func(m *metav1.ObjectMeta) { m.OwnerReferences = nil; annotate("retained", "true")(m) },
			func() State { s := adoptable; s.Retained = true; return s }(),
		},
		"retained by another": {
			func(m *metav1.ObjectMeta) {
				m.OwnerReferences, m.Labels[v1alpha1.LabelSession] = nil, "other"
				annotate("retained", "true")(m)
			}, foreign,
		},
		"retained, then taken": {
			func(m *metav1.ObjectMeta) {
				m.OwnerReferences[0].UID, m.OwnerReferences[0].Kind = "other", "Other"
				annotate("retained", "true")(m)
			}, foreign,
		},
		"no id":                 {without("token-id"), corrupt("token-id", noID)},
		"id with a space":       {annotate("token-id", "a b"), corrupt("token-id", noID)},
		"id without end":        {annotate("token-id", strings.Repeat("a", 65)), corrupt("token-id", noID)},
		"serial in words":       {annotate("serial", "three"), corrupt("serial", noDigits)},
		"serial below one":      {annotate("serial", "0"), corrupt("serial", noDigits)},
		"negative serial":       {annotate("serial", "-3"), corrupt("serial", noDigits)},
		"serial with a sign":    {annotate("serial", "+3"), corrupt("serial", noDigits)},
		"serial too large":      {annotate("serial", "9223372036854775808"), corrupt("serial", noDigits)},
		"serial above the most": {annotate("serial", "1000000000000000"), corrupt("serial", noDigits)},
		"time without a zone":   {annotate("expires-at", "2030-01-02T03:04:05"), corrupt("expires-at", noTime)},
		"the zero time":         {annotate("expires-at", "0001-01-01T00:00:00Z"), corrupt("expires-at", noTime)},
		"no token fingerprint":  {without("token-fingerprint"), corrupt("token-fingerprint", "is missing")},
		"nothing but an expiry": {without("token-id", "serial", "request", "token-fingerprint"), corrupt("token-id", noID)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meta := renderMeta(t)
			test.change(meta)
			if diff := cmp.Diff(test.want, StateOf(metaOf(meta), newSession())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStateOfNothing(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(State{Ownership: Absent}, StateOf(nil, newSession())); diff != "" {
		t.Error(diff)
	}
}

// A session without a UID owns nothing, not even a Secret whose owner has an empty UID.
func TestStateOfASessionWithoutUID(t *testing.T) {
	t.Parallel()
	meta := renderMeta(t)
	meta.OwnerReferences[0].UID = ""
	unstored := newSession(func(s *v1alpha1.CoderSession) { s.UID = "" })
	if got := StateOf(metaOf(meta), unstored); got.Ownership != Foreign {
		t.Error(got.Ownership)
	}
}

// B25: reading any metadata does not panic, and a token that was read is written again unchanged.
func FuzzStateOf(f *testing.F) {
	f.Add("ci", "a1B2c3D4e5", "3", "2030-01-02T03:04:05Z", "hmac-sha256:00", "digest", `{"labels":["a"]}`, "true", true)
	f.Add("", "", "-1", "never", "", "", "[", "x", false)
	f.Fuzz(func(t *testing.T, label, id, serial, expiry, sum, request, record, retained string, own bool) {
		meta := metav1.ObjectMeta{
			Labels: map[string]string{v1alpha1.LabelSession: label},
			Annotations: map[string]string{
				v1alpha1.AnnotationTokenID: id, v1alpha1.AnnotationSerial: serial, v1alpha1.AnnotationExpiresAt: expiry,
				v1alpha1.AnnotationTokenFingerprint: sum, v1alpha1.AnnotationRequest: request,
				v1alpha1.AnnotationManaged: record, v1alpha1.AnnotationRetained: retained,
			},
		}
		if own {
			meta.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(newSession().UID), Controller: ptr.To(true)}}
		}
		state := StateOf(metaOf(&meta), newSession())
		if state.Token != nil && state.Corrupt != "" {
			t.Error("corrupt, and yet a token")
		}
		if own != (state.Ownership == Owned) {
			t.Error(state.Ownership)
		}
		if state.Token != nil {
			again := map[string]string{}
			state.Token.writeAnnotations(again)
			token, corrupt := parseToken(again)
			if corrupt != "" {
				t.Error(corrupt)
			}
			state.Token.ExpiresAt = token.ExpiresAt // fractions of a second are not stored
			if diff := cmp.Diff(state.Token, token); diff != "" {
				t.Error(diff)
			}
		}
		mergeMetadata(&meta, renderMeta(t)) // reads the record
	})
}
