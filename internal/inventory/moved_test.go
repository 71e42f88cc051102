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

// B171: of the tokens of other managers a listing keeps those that were taken over, by their IDs, and no others.
func TestWhatAListingKeeps(t *testing.T) {
	t.Parallel()
	i := newInventory()
	asked := func(id, name string) (kept bool) {
		_, users := listReturning(nil)
		_, err := i.Refresh(t.Context(), func(_ context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
			kept = filter.Keep(id, name)
			return coder.TokenList{}, nil
		}, users)
		if err != nil {
			t.Fatal(err)
		}
		return kept
	}
	i.SetMoved([]string{"moved"})
	for _, test := range []struct {
		id, name string
		want     bool
	}{
		{"own", prefix + "session1-1", true}, {"moved", "cso-another0-session1-1", true},
		{"other", "cso-another0-session1-1", false}, {"moved", "mine", false},
	} {
		if got := asked(test.id, test.name); got != test.want {
			t.Errorf("token %s, %s: kept %t", test.id, test.name, got)
		}
	}
	i.SetMoved(nil)
	if asked("moved", "cso-another0-session1-1") {
		t.Error("a token is kept that is not taken over any more")
	}
}

// B130: the absence of a token means nothing for users whose tokens a listing has left out, until the next one.
func TestUsersThatAListingLeavesOut(t *testing.T) {
	t.Parallel()
	i := newInventory()
	i.SetServed(map[string]bool{"u1": true})
	leftOut := []coder.UserLeftOut{{UserID: "u2", Count: 5}}
	refresh := func(list coder.TokenList) {
		_, users := listReturning(nil)
		_, err := i.Refresh(t.Context(), func(_ context.Context, filter coder.TokenFilter) (coder.TokenList, error) {
			if !filter.IsServed("u1") || filter.IsServed("u2") {
				t.Error("the filter does not know the users that are served")
			}
			return list, nil
		}, users)
		if err != nil {
			t.Fatal(err)
		}
	}
	if i.LoadedFor("u1") {
		t.Error("before any listing")
	}
	refresh(coder.TokenList{LeftOut: leftOut})
	if !i.LoadedFor("u1") || i.LoadedFor("u2") || !cmp.Equal(i.LeftOut(), leftOut) {
		t.Errorf("u1: %t, u2: %t, %+v", i.LoadedFor("u1"), i.LoadedFor("u2"), i.LeftOut())
	}
	if refresh(coder.TokenList{}); !i.LoadedFor("u2") || i.LeftOut() != nil {
		t.Error("they are left out after the next listing")
	}
	refresh(coder.TokenList{LeftOut: leftOut})
	if i.Clear(); i.LeftOut() != nil {
		t.Error("those of the former server are left out")
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
