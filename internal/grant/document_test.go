// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	full := completeState()
	everyField(t, reflect.ValueOf(full), "State")
	change := func(edit func(*State)) State {
		s := completeState()
		edit(&s)
		return s
	}
	tests := map[string]State{
		"nothing":          {},
		"everything":       full,
		"a client only":    {Client: full.Client},
		"an attempt only":  {Attempt: full.Attempt},
		"no intent":        change(func(s *State) { s.Intent = nil }),
		"not used yet":     change(func(s *State) { s.Attempt.SpentAt = time.Time{} }),
		"scopes unsaid":    change(func(s *State) { s.Grant.Scopes = nil }),
		"no scopes at all": change(func(s *State) { s.Grant.Scopes = []string{} }), // differs from unsaid (B70)
		"no scopes wanted": change(func(s *State) { s.Attempt.Scopes = nil }),
		"no refresh token": change(func(s *State) { s.Grant.RefreshToken = redact.Secret{} }),
		"no secret": change(func(s *State) {
			s.Client.ClientSecret, s.Client.ManagementToken = redact.Secret{},
				redact.Secret{}
		}),
		"no redirect URI": change(func(s *State) { s.Client.RedirectURIs = nil }),
		"no destination":  change(func(s *State) { s.Client.Destination = Destination{} }),
		"of its own":      change(func(s *State) { s.Client.Static = false }),
		"the end":         {Ended: full.Ended},
		"half a second":   change(func(s *State) { s.Grant.Lifetime = 86399*time.Second + 500*time.Millisecond }),
	}
	for name, want := range tests {
		text, err := encodeState(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := decodeState(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", name, err, diff)
		}
	}
}

// everyField fails if a field of the whole state is not set, because the round trip would not test
// it.
func everyField(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	if _, secret := v.Interface().(redact.Secret); secret || v.Kind() != reflect.Pointer && v.Kind() != reflect.Struct {
		if v.IsZero() {
			t.Errorf("%s is not set", path)
		}
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			t.Errorf("%s is not set", path)
			return
		}
		v = v.Elem()
	}
	if v.Type().PkgPath() == "time" {
		return
	}
	for i := range v.NumField() {
		everyField(t, v.Field(i), path+"."+v.Type().Field(i).Name)
	}
}

// documentMembers returns the document as JSON, changed.
func documentMembers(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	text, err := encodeState(completeState())
	if err != nil {
		t.Fatal(err)
	}
	var d map[string]any
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	change(d)
	if text, err = json.Marshal(d); err != nil {
		t.Fatal(err)
	}
	return text
}

func withoutMember(path ...string) func(map[string]any) {
	return func(d map[string]any) {
		for _, name := range path[:len(path)-1] {
			d = d[name].(map[string]any)
		}
		delete(d, path[len(path)-1])
	}
}

// Older operators did not store the lifetime of an access token.
func TestADocumentWithoutLifetime(t *testing.T) {
	t.Parallel()
	got, err := decodeState(documentMembers(t, withoutMember("grant", "lifetimeSeconds")))
	if want := 25 * time.Hour; err != nil || got.Grant.Lifetime != want {
		t.Errorf("got %s, %v, want %s", got.Grant.Lifetime, err, want)
	}
}

func TestUnreadableDocuments(t *testing.T) { // B25, B90
	t.Parallel()
	text, err := encodeState(completeState())
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string][]byte{
		"absent":                nil,
		"empty":                 {},
		"null":                  []byte("null"),
		"an empty object":       []byte("{}"),
		"not JSON":              []byte(mark),
		"the first half":        text[:len(text)/2],
		"the second half":       text[len(text)/2:],
		"two of them":           append(bytes.Clone(text), text...),
		"another type":          []byte(`["` + mark + `"]`),
		"a field's other type":  []byte(`{"version":1,"client":{"id":["` + mark + `"]}}`),
		"a time that is none":   []byte(`{"version":1,"intent":{"at":"` + mark + `"}}`),
		"a later version":       documentMembers(t, func(d map[string]any) { d["version"] = 2 }),
		"no version":            documentMembers(t, withoutMember("version")),
		"a client without id":   documentMembers(t, withoutMember("client", "id")),
		"an attempt, no state":  documentMembers(t, withoutMember("attempt", "state")),
		"an attempt, no proof":  documentMembers(t, withoutMember("attempt", "verifier")),
		"a grant, no token":     documentMembers(t, withoutMember("grant", "accessToken")),
		"a grant, no key id":    documentMembers(t, withoutMember("grant", "keyID")),
		"a destination, no UID": documentMembers(t, withoutMember("client", "destination", "uid")),
		"a destination, no URL": documentMembers(t, withoutMember("client", "destination", "origin")),
		"a grant of no client":  documentMembers(t, withoutMember("client")),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore()
			if _, err := store.Write(t.Context(), newSession(), completeState(), Version{}); err != nil {
				t.Fatal(err)
			}
			broken := server.storedSecret()
			broken.Data = map[string][]byte{"state": text}
			broken = server.putSecret(broken)
			state, version, err := store.Read(t.Context(), newSession())
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Key != "state" || corrupt.Secret != documentKey ||
				!cmp.Equal(state, State{}) {
				t.Fatalf("got %v, %+v", err, state)
			}
			for _, needed := range []string{"ci-oauth", "state"} {
				if !strings.Contains(err.Error(), needed) {
					t.Errorf("the error does not name %s: %v", needed, err)
				}
			}
			if strings.Contains(err.Error(), mark) || errors.Unwrap(err) != nil {
				t.Errorf("the error quotes the document: %v", err)
			}
			if version.UID != broken.UID || version.ResourceVersion != broken.ResourceVersion {
				t.Errorf("the version is %+v", version)
			}
			// an unreadable document can be overwritten
			if _, err := store.Write(t.Context(), newSession(), State{}, version); err != nil {
				t.Error(err)
			}
		})
	}
}

// For any stored text: reading does not panic, and a state that was read survives a round trip.
func FuzzDecode(f *testing.F) {
	for _, s := range []State{{}, completeState(), {Client: completeState().Client, Grant: completeState().Grant}} {
		text, err := encodeState(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(
		`{"version":1,"grant":null,"attempt":{"state":"x","verifier":"y","expiresAt":"2026-02-20T10:00:00+23:59"}}`))
	f.Add(documentMembers(f, withoutMember("client")))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := decodeState(text)
		if err != nil {
			if err.Error() != errUnreadable.Error() || !cmp.Equal(s, State{}) {
				t.Errorf("got %v, %+v", err, s)
			}
			return
		}
		if g := s.Grant; g != nil && (s.Client == nil || s.Client.ClientID == "" || g.AccessToken.Reveal() == "" ||
			g.KeyID == "") {
			t.Errorf("half a grant: %+v", s)
		}
		if a := s.Attempt; a != nil && (a.State == "" || a.Verifier.Reveal() == "") {
			t.Errorf("half an attempt: %+v", s)
		}
		again, err := encodeState(s)
		if err != nil {
			t.Fatal(err)
		}
		other, err := decodeState(again)
		if diff := cmp.Diff(s, other); diff != "" || err != nil {
			t.Errorf("%v %s", err, diff)
		}
	})
}
