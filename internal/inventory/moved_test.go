// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// B171: tokens of another manager are kept only if they were taken over, and are found beside the own ones of
// their session.
func TestTokensThatWereTakenOver(t *testing.T) {
	t.Parallel()
	own := newToken("session1-2")
	moved := coder.Token{ID: "moved", Name: "cso-another0-session1-1", ExpiresAt: soon}
	other := coder.Token{ID: "other", Name: "cso-another0-session2-1", ExpiresAt: soon}
	foreign := coder.Token{ID: "foreign", Name: "mine", ExpiresAt: soon}
	listed := []coder.Token{own, moved, other, foreign}
	i := newInventory()
	ofSession := func() []string { return tokenIDs(i.WithPrefix(prefix + "session1-")) }

	refreshWith(t, i, listed)
	if diff := cmp.Diff([]string{own.ID}, ofSession()); diff != "" {
		t.Errorf("before (-want +got):\n%s", diff)
	}
	i.AddMoved(moved)
	if diff := cmp.Diff([]string{moved.ID, own.ID}, ofSession()); diff != "" {
		t.Errorf("after it was added (-want +got):\n%s", diff)
	}
	i.SetMoved([]string{moved.ID, foreign.ID})
	refreshWith(t, i, listed)
	if diff := cmp.Diff([]string{moved.ID, own.ID}, ofSession()); diff != "" {
		t.Errorf("after a listing (-want +got):\n%s", diff)
	}
	for _, token := range []coder.Token{other, foreign} {
		if _, found := i.Lookup(token.ID); found {
			t.Errorf("token %s is kept", token.Name)
		}
	}
	if vanished := refreshWith(t, i, []coder.Token{own}).Vanished; len(vanished) != 1 || vanished[0].ID != moved.ID {
		t.Errorf("vanished are %v", vanished)
	}
	i.AddMoved(moved)
	i.Remove(moved.ID)
	if diff := cmp.Diff([]string{own.ID}, ofSession()); diff != "" {
		t.Errorf("after it was removed (-want +got):\n%s", diff)
	}
}

// The tokens of other managers are read only as long as some of them were taken over.
func TestTheListedPrefix(t *testing.T) {
	t.Parallel()
	i := newInventory()
	asked := func() (got string) {
		_, users := listReturning(nil)
		_, err := i.Refresh(t.Context(), func(_ context.Context, p string, _ coder.Reserve) ([]coder.Token, error) {
			got = p
			return nil, nil
		}, users)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, test := range []struct {
		moved []string
		want  string
	}{{nil, prefix}, {[]string{"moved"}, "cso-"}, {nil, prefix}} {
		i.SetMoved(test.moved)
		if got := asked(); got != test.want {
			t.Errorf("with %v it asks for %q, want %q", test.moved, got, test.want)
		}
	}
}

func TestOwnName(t *testing.T) {
	t.Parallel()
	n := Names{Cluster: "k8sabcde"}
	for name, want := range map[string]string{
		"cso-another0-0a1b2c3d-7": "cso-k8sabcde-0a1b2c3d-7", "cso-k8sabcde-0a1b2c3d-7": "cso-k8sabcde-0a1b2c3d-7",
		"cso-another0": "cso-another0", "mine": "mine", "": "",
	} {
		if got := n.OwnName(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
	if serial, ok := n.SerialOfAny("cso-another0-0a1b2c3d-7", "0a1b2c3d-0000"); serial != 7 || !ok {
		t.Errorf("serial %d, %t", serial, ok)
	}
}
