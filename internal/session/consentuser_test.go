// SPDX-License-Identifier: Apache-2.0

package session

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// B134: a grant is of the user in the spec, or of the first one who consented; that of another one is ended.
func TestWhoseConsentItIs(t *testing.T) {
	t.Parallel()
	wants := func(user string) option {
		return withSpec(func(spec *v1alpha1.CoderSessionSpec) { spec.Auth.OAuth.User = user })
	}
	pinnedTo := func(id, username string) option {
		return func(o *Observation) {
			o.Session.Status.User = &v1alpha1.SessionUser{ID: id, Username: username, Consented: true}
		}
	}
	unnamed := func(o *Observation) { o.CredentialCheck.User = nil }
	// ada has consented, whose id is id-ada.
	for name, tc := range map[string]struct {
		options []option
		refused string // part of why; empty: the grant is published
	}{
		"any user, at first":                   {nil, ""},
		"the user in the spec":                 {[]option{wants("Ada")}, ""},
		"another user than in the spec":        {[]option{wants("bob")}, `auth.oauth.user is "bob"`},
		"the first user again":                 {[]option{pinnedTo("id-ada", "ada")}, ""},
		"the first user, who has a new name":   {[]option{pinnedTo("id-ada", "ada-old")}, ""},
		"another user than the first":          {[]option{pinnedTo("id-bob", "bob")}, `for user "bob", who was the first`},
		"another account of the first's name":  {[]option{pinnedTo("id-other", "ada")}, "is now another account"},
		"in the spec, another account":         {[]option{wants("ada"), pinnedTo("id-other", "ada")}, "another account"},
		"the spec names another than before":   {[]option{wants("ada"), pinnedTo("id-bob", "bob")}, ""},
		"a user who did not consent":           {[]option{withRecordedUser("id-bob", "bob")}, ""},
		"the first user of another server":     {[]option{pinnedTo("id-bob", "bob"), withServer("id-2")}, ""},
		"an unknown user, at first":            {[]option{unnamed}, ""},
		"an unknown user, one is in the spec":  {[]option{unnamed, wants("ada")}, "add user:read to the scopes"},
		"an unknown user, after the first one": {[]option{unnamed, pinnedTo("id-ada", "ada")}, "add user:read to the scopes"},
	} {
		for state, grant := range map[string]option{
			"new": func(o *Observation) { withHeldGrant(0)(o); checkedAs(value, 0, accepted)(o) },
			// Published, and the spec or what is known of the user has changed since.
			"published": publishedGrant(time.Hour),
		} {
			t.Run(name+"/"+state, func(t *testing.T) {
				t.Parallel()
				o := newSession("ci", append([]option{withOAuth(), grant}, tc.options...)...)
				p := Decide(o)
				want := Publish
				switch {
				case tc.refused != "":
					want = EndGrant
				case state == "published":
					want = Nothing
				}
				if p.Action != want || !strings.Contains(p.GrantEndReason.Message, tc.refused) {
					t.Fatalf("the plan is %q, %+v, want %q", p.Action, p.GrantEndReason, want)
				}
				if want != Nothing {
					return
				}
				status := o.Session.Status
				p.Apply(&status, 1, noon)
				if o.CredentialCheck.User != nil && (!status.User.Consented || status.User.ID != "id-ada" ||
					status.User.DeploymentID != o.Deployment.ID) {
					t.Errorf("status keeps %+v", status.User)
				}
			})
		}
	}
}

// withServer sets the id of the deployment's server.
func withServer(id string) option { return withDeployment(func(d *Deployment) { d.ID = id }) }

// B134: what was said of another user's consent is in the conditions until the right one comes.
func TestAnotherUsersConsentIsSaid(t *testing.T) {
	t.Parallel()
	o := newSession("ci", withOAuth(), withConsentRequest(0), withEndedGrant(endedOtherUser, 0, true))
	p := Decide(o)
	ready := p.findCondition(v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || !strings.Contains(ready.Message, "it has ended") {
		t.Errorf("Ready is %+v", ready)
	}
}
