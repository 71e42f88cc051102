// SPDX-License-Identifier: Apache-2.0

package status

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// maxStatus is what the limits promise of a status, in bytes of JSON.
const maxStatus = 160 << 10

var (
	huge = strings.Repeat("x", 100_000)
	most = strings.Repeat("x", maxIdentity)
)

// sessionEdits returns an edit for each string and each list of a session's status.
func sessionEdits(text string, entries int) []edit {
	return edits(reflect.ValueOf(&fullSession().Status).Elem(), text, entries)
}

// deploymentEdits returns an edit for each string and each list of a deployment's status.
func deploymentEdits(text string, entries int) []edit {
	return edits(reflect.ValueOf(&fullDeployment().Status).Elem(), text, entries)
}

// encodedStatus returns a status in JSON, and decoded again.
func encodedStatus(t testing.TB, status any) (encoded []byte, decoded map[string]any) {
	t.Helper()
	encoded, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(encoded, &decoded); err != nil {
		t.Fatal(err)
	}
	return encoded, decoded
}

// checkStatus reports a status that is too large or that the API server would not accept.
func checkStatus(t *testing.T, schema statusSchema, status any) {
	t.Helper()
	encoded, decoded := encodedStatus(t, status)
	if len(encoded) >= maxStatus {
		t.Errorf("%d bytes", len(encoded))
	}
	if wrong := schema.validate(t, decoded); len(wrong) > 0 {
		t.Errorf("%.2000s", wrong.ToAggregate())
	}
}

func TestSessionStatusIsLimited(t *testing.T) {
	t.Parallel()
	schema := readSchema(t, "codersessions")
	single := sessionEdits(huge, 1000)
	together := edit{"all", func(status reflect.Value) { fillAll(status, huge, 1000) }}
	lists := edit{"all lists", func(status reflect.Value) {
		for _, one := range single {
			if strings.HasSuffix(one.field, "[]") {
				one.apply(status)
			}
		}
	}}
	for _, one := range append(single, together, lists) {
		t.Run(one.field, func(t *testing.T) {
			t.Parallel()
			s := fullSession()
			one.apply(reflect.ValueOf(&s.Status).Elem())
			limitSession(&s.Status)
			checkStatus(t, schema, s.Status)
		})
	}
}

func TestDeploymentStatusIsLimited(t *testing.T) {
	t.Parallel()
	schema := readSchema(t, "coderdeployments")
	single := deploymentEdits(huge, 1000)
	together := edit{"all", func(status reflect.Value) { fillAll(status, huge, 1000) }}
	for _, one := range append(single, together) {
		t.Run(one.field, func(t *testing.T) {
			t.Parallel()
			d := fullDeployment()
			one.apply(reflect.ValueOf(&d.Status).Elem())
			limitDeployment(&d.Status)
			checkStatus(t, schema, d.Status)
		})
	}
}

// The validator of the other tests would find a status that was not limited.
func TestSchemaRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	schema := readSchema(t, "codersessions")
	refused := map[string]string{
		".LastHandledRenewAt": "Too long", ".ObservedRenewAt": "Too long",
		".PendingRevocations[]": "Too many", ".Restarts[]": "Too many",
		".Conditions[0].Reason": "Too long", ".Restarts[0].Name": "Too long",
	}
	for _, one := range sessionEdits(huge, 1000) {
		want, found := refused[one.field]
		if !found {
			continue
		}
		s := fullSession()
		one.apply(reflect.ValueOf(&s.Status).Elem())
		_, decoded := encodedStatus(t, s.Status)
		if got := schema.validate(t, decoded).ToAggregate(); got == nil || !strings.Contains(got.Error(), want) {
			t.Errorf("%s: %.500v, want %q", one.field, got, want)
		}
		delete(refused, one.field)
	}
	if len(refused) > 0 {
		t.Errorf("no such fields: %v", refused)
	}
}

// The largest status has as much as is allowed everywhere, in characters that take six bytes each.
func TestLargestStatusFits(t *testing.T) {
	t.Parallel()
	s := fullSession()
	messages := edits(reflect.ValueOf(&s.Status).Elem(), strings.Repeat("\x01", maxMessage), 0)
	addresses := edits(reflect.ValueOf(&s.Status).Elem(), strings.Repeat("\x01", maxURL/6), 0)
	// A list gets as many entries as the longest may have, and the keys get a number for that.
	names := edits(reflect.ValueOf(&s.Status).Elem(), strings.Repeat("\x01", 41)+"x", maxRevoking)
	for i, one := range names {
		switch {
		case strings.HasSuffix(one.field, ".Message"):
			one = messages[i]
		case strings.HasSuffix(one.field, ".URL"):
			one = addresses[i]
		}
		one.apply(reflect.ValueOf(&s.Status).Elem())
	}
	s.Status.Conditions = nil
	for _, known := range v1alpha1.SessionConditionTypes() {
		Set(&s.Status.Conditions, 2, noon, Condition{known, "Unknown", most, strings.Repeat("\x01", maxMessage)})
	}
	limitSession(&s.Status)
	encoded, _ := encodedStatus(t, s.Status)
	if len(encoded) >= maxStatus || len(encoded) < maxStatus/2 {
		t.Errorf("%d bytes", len(encoded))
	}
	if len(s.Status.PendingRevocations) != maxRevoking || len(s.Status.Restarts) != maxRestarts ||
		s.Status.Authorization == nil || len(s.Status.Token.Scopes) != maxScopes {
		t.Errorf("%d revocations, %d restarts: the status is not the largest",
			len(s.Status.PendingRevocations), len(s.Status.Restarts))
	}
}

func TestWhatFitsIsKept(t *testing.T) {
	t.Parallel()
	s := fullSession()
	s.Status.User.Username, s.Status.Token.ID = most, most
	s.Status.Authorization.URL = strings.Repeat("x", maxURL)
	s.Status.LastHandledRenewAt = strings.Repeat("ä", maxRequest)
	s.Status.Token.Scopes = slices.Repeat([]string{most}, maxScopes)
	want := s.Status.DeepCopy()
	limitSession(&s.Status)
	if diff := cmp.Diff(*want, s.Status); diff != "" {
		t.Error(diff)
	}
	d := fullDeployment()
	d.Status.User.Roles = slices.Repeat([]string{most}, maxRoles)
	d.Status.Version, d.Status.DeploymentID = most, most
	wanted := d.Status.DeepCopy()
	limitDeployment(&d.Status)
	if diff := cmp.Diff(*wanted, d.Status); diff != "" {
		t.Error(diff)
	}
}

// FuzzLimits fills each string with a repeated text and each list with entries, keeps the types of
// conditions, and looks at the size only: a reason, for example, can have any characters then.
func FuzzLimits(f *testing.F) {
	for _, text := range []string{"x", "\x01", "ä", "\xff", "<", "\u2028", "\"", "Authorization: "} {
		for _, length := range []uint16{0, 42, 64, 128, maxIdentity, maxIdentity + 1, maxMessage, maxURL, 20000} {
			f.Add(text, length, uint16(64))
		}
		f.Add(text, uint16(42), uint16(1000))
	}
	f.Fuzz(func(t *testing.T, text string, length, entries uint16) {
		text = strings.Repeat(text, 1+int(length)/max(len(text), 1))[:min(int(length), len(text)*int(length))]
		count := 1 + int(entries)%1000
		s, d := fullSession(), fullDeployment()
		fillAll(reflect.ValueOf(&s.Status).Elem(), text, count)
		s.Status.Conditions = everyCondition(v1alpha1.SessionConditionTypes(), text)
		fillAll(reflect.ValueOf(&d.Status).Elem(), text, count)
		d.Status.Conditions = everyCondition(v1alpha1.DeploymentConditionTypes(), text)
		limitSession(&s.Status)
		limitDeployment(&d.Status)
		for _, status := range []any{s.Status, d.Status} {
			if encoded, _ := encodedStatus(t, status); len(encoded) >= maxStatus {
				t.Errorf("%T: %d bytes", status, len(encoded))
			}
		}
		again := s.Status.DeepCopy()
		limitSession(again)
		ready := meta.FindStatusCondition(again.Conditions, v1alpha1.ConditionReady)
		if was := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionReady); was != nil {
			ready.Message = was.Message // redaction can take a note for part of a header
		}
		if diff := cmp.Diff(&s.Status, again, equateEmpty); diff != "" {
			t.Errorf("a second time:\n%s", diff)
		}
	})
}

// fillAll fills each string below a status with text, and each list with entries that have it.
func fillAll(status reflect.Value, text string, entries int) {
	for _, one := range edits(status, text, entries) {
		one.apply(status) // a list is repeated after its first entry is filled
	}
}

// everyCondition returns a condition of each type, with text in all other strings.
func everyCondition(types []string, text string) []metav1.Condition {
	all := make([]metav1.Condition, 0, len(types))
	for i, one := range types {
		all = append(all, metav1.Condition{
			Type: one, Status: metav1.ConditionStatus(text), Reason: text, Message: strconv.Itoa(i) + text})
	}
	return all
}
