// SPDX-License-Identifier: Apache-2.0

package grant

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// B73: the same CoderDeployment, or the same server in the same way. The id of the server is not enough.
func TestWhereARegistrationMayBeSent(t *testing.T) {
	t.Parallel()
	change := func(edit func(*Destination)) Destination {
		d := prod
		edit(&d)
		return d
	}
	moved, proxied := change(func(d *Destination) { d.Origin = "b" }), change(func(d *Destination) { d.Route = "b" })
	restored := change(func(d *Destination) { d.UID = "b" })
	noUID := Destination{Deployment: prod.Deployment}
	noneOfOther := Destination{Deployment: types.NamespacedName{Name: "b"}}
	other := types.NamespacedName{Namespace: "team", Name: "evil"}
	tests := map[string]struct {
		recorded, used Destination
		permitted      bool
		next           Destination // what is recorded after it
	}{
		"the same":               {prod, prod, true, prod},
		"not recorded":           {Destination{}, prod, true, prod},
		"its URL has changed":    {prod, moved, true, moved},
		"its proxy has changed":  {prod, proxied, true, proxied},
		"restored":               {prod, restored, true, restored},
		"restored elsewhere":     {prod, change(func(d *Destination) { d.UID, d.Deployment = "b", other }), true, prod},
		"created again, its URL": {prod, change(func(d *Destination) { d.UID, d.Origin = "b", "b" }), false, prod},
		"created again, a proxy": {prod, change(func(d *Destination) { d.UID, d.Route = "b", "b" }), false, prod},
		"another one":            {prod, Destination{Deployment: other, UID: "b", Origin: "b", Route: "direct"}, false, prod},
		"an empty one":           {prod, Destination{}, false, prod},
		"nothing in common":      {noneOfOther, noUID, false, noneOfOther},
	}
	for name, tt := range tests {
		c := &Client{Server: "one", Destination: tt.recorded}
		if got := c.IsOf("one", tt.used); got != tt.permitted {
			t.Errorf("%s: permitted is %t", name, got)
		}
		if c.IsOf("two", tt.used) {
			t.Errorf("%s: a server with another id", name)
		}
		if c.UsedAt(tt.used); c.Destination != tt.next {
			t.Errorf("%s: recorded is %+v", name, c.Destination)
		}
	}
	if (*Client)(nil).IsOf("", Destination{}) {
		t.Error("there is no registration")
	}
}

// B73, B112: a document of an older operator has no destination. It counts for the session that owns it,
// and not for one that finds it without an owner: it may be that of a former session of the same name.
func TestADocumentWithoutDestination(t *testing.T) {
	t.Parallel()
	before := completeState()
	before.Client.Destination = Destination{}
	ended := State{Replaced: before.Replaced, Ended: &Ended{
		Reason: "Restored", At: before.Grant.IssuedAt, Consented: true,
		Message: "its Secret was restored without its owner, and does not say which CoderDeployment it is for",
	}}
	withoutGrant := completeState()
	withoutGrant.Client.Destination, withoutGrant.Grant = Destination{}, nil
	tests := map[string]struct {
		stored State
		owned  bool
		want   State
	}{
		"owned":                  {before, true, before},
		"restored":               {before, false, ended},
		"restored, no grant":     {withoutGrant, false, State{Replaced: before.Replaced, Ended: withoutGrant.Ended}},
		"restored, with its own": {completeState(), false, completeState()},
		"restored, nothing":      {State{}, false, State{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store, server := newStore()
			writeNew(t, store, tt.stored)
			if !tt.owned {
				secret := server.storedSecret()
				secret.OwnerReferences = nil
				server.putSecret(secret)
			}
			wantState(t, store, tt.want)
			// Another write makes the session the owner. What was left out does not come back with it.
			if _, err := store.Change(t.Context(), newSession(), func(*State) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if !newSession().Controls(server.storedSecret()) {
				t.Error("the session does not own it")
			}
			wantState(t, store, tt.want)
		})
	}
}
