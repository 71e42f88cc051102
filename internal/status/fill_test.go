// SPDX-License-Identifier: Apache-2.0

package status

import (
	"reflect"
	"strconv"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// fullSession returns a session whose status has a valid value in each field.
func fullSession() *v1alpha1.CoderSession {
	s, at := newSession(), metav1.NewTime(noon)
	s.Status = v1alpha1.CoderSessionStatus{
		ObservedGeneration: 2,
		Conditions:         s.Status.Conditions,
		User: &v1alpha1.SessionUser{
			ID: "u", Username: "ada", ServiceAccount: true, DeploymentID: "d", Consented: true,
		},
		Token: &v1alpha1.TokenStatus{ID: "t", Name: "n", Serial: 1, IssueTime: &at, ExpirationTime: &at,
			LastUsedTime: &at, Scopes: []string{"coder:all"}},
		PendingRevocations: []v1alpha1.PendingRevocation{{ID: "t", Name: "n", RevokeTime: at}},
		Secret:             &v1alpha1.SecretStatus{Name: "ci", ResourceVersion: "9", Fingerprint: "f"},
		Pods:               &v1alpha1.PodCounts{Live: 2, Ended: 1, Refused: 1},
		Restarts:           []v1alpha1.RestartStatus{{Kind: "Deployment", Name: "app", Credential: "c"}},
		Suspension:         &v1alpha1.Suspension{Reason: "Unauthorized", Message: "m", StartTime: at},
		NextRefreshTime:    &at,
		Authorization:      &v1alpha1.Authorization{URL: "https://coder.example", ExpirationTime: at},
		Retirement: &v1alpha1.Retirement{
			Reason: "Idle", Message: "m", StartTime: at, LastActiveTime: at, Generation: 1},
		LastActivityTime:   &at,
		LastHandledRenewAt: "now",
		ObservedRenewAt:    "now",
	}
	return s
}

// fullDeployment returns a deployment whose status has a valid value in each field.
func fullDeployment() *v1alpha1.CoderDeployment {
	d, at := &v1alpha1.CoderDeployment{}, metav1.NewTime(noon)
	d.Namespace, d.Name, d.ResourceVersion, d.Generation = "builds", "prod", "7", 2
	d.Status = v1alpha1.CoderDeploymentStatus{
		ObservedGeneration: 2,
		DeploymentID:       "d", Version: "v2",
		User:            &v1alpha1.DeploymentUser{ID: "u", Username: "ada", Roles: []string{"owner"}},
		AuthFingerprint: "f", LastVerifiedTime: &at,
		ClientCertificateExpirationTime: &at, TokenExpirationTime: &at,
		Sessions: &v1alpha1.SessionCounts{
			Total: 1, Ready: 1, Suspended: 1, AwaitingAuthorization: 1, Retired: 1},
		LastHandledVerifyAt: "now", ForeignTokens: []string{"cso-other-1-1"},
	}
	Set(&d.Status.Conditions, 2, noon, newReady("True", "Verified", "old"))
	return d
}

// edit changes one field below a status. The status has a value in each field.
type edit struct {
	field string
	apply func(status reflect.Value)
}

// edits returns, for each string below a value, an edit that fills it with text, and for each list
// one that repeats its only entry until there are so many.
func edits(v reflect.Value, text string, entries int) []edit {
	switch v.Kind() {
	case reflect.String:
		return []edit{{"", func(v reflect.Value) { v.SetString(text) }}}
	case reflect.Pointer:
		return below("", edits(v.Elem(), text, entries), reflect.Value.Elem)
	case reflect.Slice:
		first := func(v reflect.Value) reflect.Value { return v.Index(0) }
		all := below("[0]", edits(v.Index(0), text, entries), first)
		return append(all, edit{"[]", func(v reflect.Value) { repeatEntry(v, entries) }})
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[metav1.Time]() {
			return nil
		}
		var all []edit
		for i := range v.NumField() {
			field := func(v reflect.Value) reflect.Value { return v.Field(i) }
			all = append(all, below("."+v.Type().Field(i).Name, edits(v.Field(i), text, entries), field)...)
		}
		return all
	}
	return nil // a number
}

// below returns edits of a value as edits of what it is part of.
func below(name string, parts []edit, part func(reflect.Value) reflect.Value) []edit {
	for i, of := range parts {
		parts[i] = edit{name + of.field, func(v reflect.Value) { of.apply(part(v)) }}
	}
	return parts
}

// repeatEntry repeats the first entry of a list. The keys of entries in lists of type map differ.
func repeatEntry(list reflect.Value, entries int) {
	list.Set(list.Slice3(0, 1, 1))
	for i := 1; i < entries; i++ {
		entry := reflect.New(list.Type().Elem()).Elem()
		entry.Set(list.Index(0))
		if entry.Kind() == reflect.Struct {
			for _, key := range []string{"Type", "ID", "Name"} {
				if field := entry.FieldByName(key); field.IsValid() {
					field.SetString(field.String() + "-" + strconv.Itoa(i))
					break
				}
			}
		}
		list.Set(reflect.Append(list, entry))
	}
}

// The tests of sizes change what fullSession and fullDeployment fill.
func TestFullStatusesAreFull(t *testing.T) {
	t.Parallel()
	var check func(path string, v reflect.Value)
	check = func(path string, v reflect.Value) {
		if v.IsZero() {
			t.Errorf("%s has no value", path)
			return
		}
		switch v.Kind() {
		case reflect.Pointer:
			check(path, v.Elem())
		case reflect.Slice:
			check(path+"[0]", v.Index(0))
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type() != reflect.TypeFor[metav1.Time]() {
					check(path+"."+v.Type().Field(i).Name, v.Field(i))
				}
			}
		}
	}
	check("session", reflect.ValueOf(fullSession().Status))
	check("deployment", reflect.ValueOf(fullDeployment().Status))
}
