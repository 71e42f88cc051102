// SPDX-License-Identifier: Apache-2.0

package status

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	testclock "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// newRecordingWriter returns a Writer that cannot patch, and the events that it has recorded so far.
func newRecordingWriter() (*Writer, func() []string) {
	recorder := events.NewFakeRecorder(16)
	return NewWriter(nil, recorder, testclock.NewFakePassiveClock(noon)), func() []string {
		var all []string
		for {
			select {
			case event := <-recorder.Events:
				all = append(all, event)
			default:
				return all
			}
		}
	}
}

func TestEvents(t *testing.T) { // B94
	t.Parallel()
	conditions := func(list ...Condition) []metav1.Condition {
		var set []metav1.Condition
		for _, c := range list {
			Set(&set, 1, noon, c)
		}
		return set
	}
	active := newReady("True", "Active", "all is well")
	suspended := newReady("False", "Suspended", "the server refused it")
	tests := map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"nothing":   {conditions(active), conditions(active), nil},
		"a message": {conditions(suspended), conditions(newReady("False", "Suspended", "still")), nil},
		"bad news":  {conditions(active), conditions(suspended), []string{"Warning Suspended the server refused it"}},
		"good news": {conditions(suspended), conditions(active), []string{"Normal Active all is well"}},
		"other bad news": {conditions(suspended), conditions(newReady("False", "AccessDenied", "no")),
			[]string{"Warning AccessDenied no"}},
		"first bad news": {nil, conditions(newReady("False", "SecretConflict", "no")),
			[]string{"Warning SecretConflict no"}},
		"nothing to say but that": {conditions(suspended), conditions(newReady("True", "Active", "")),
			[]string{"Normal Active the Secret holds a credential that the server accepts"}},
		"first good news": {nil, conditions(active), []string{"Normal Active all is well"}},
		"the first look":  {nil, conditions(newReady("False", "Verifying", "wait")), nil},
		"the first wait":  {nil, conditions(newReady("Unknown", "AwaitingDeployment", "wait")), nil},
		"a later wait": {conditions(active), conditions(newReady("False", "AwaitingDeployment", "wait")),
			[]string{"Normal AwaitingDeployment wait"}},
		"a person's pause": {conditions(active), conditions(newReady("False", "Paused", "zzz")),
			[]string{"Normal Paused zzz"}},
		"consent": {nil, conditions(newReady("False", "AwaitingAuthorization", "open it")),
			[]string{"Normal AwaitingAuthorization open it"}},
		"a workspace": {conditions(active), conditions(newReady("False", "WorkspaceStopped", "off")),
			[]string{"Normal WorkspaceStopped off"}},
		"an unknown workspace": {conditions(active), conditions(newReady("False", "WorkspaceUnknown", "no such")),
			[]string{"Warning WorkspaceUnknown no such"}},
		"retention": {conditions(active), conditions(newReady("False", "Retired", "idle")),
			[]string{"Normal Retired idle"}},
		"not known": {conditions(active), conditions(newReady("Unknown", "Unreachable", "?")),
			[]string{"Normal Unreachable ?"}},
		"per cent signs": {conditions(active), conditions(newReady("False", "Suspended", "100 %s %d")),
			[]string{"Warning Suspended 100 %s %d"}},
		"Ready disappears": {conditions(active), nil, nil},
		"another condition": {conditions(active), conditions(active,
			Condition{Type: "SecretSynced", Status: "False", Reason: "TemplateInvalid"}), nil},
		"a credential": { // B90
			conditions(active), []metav1.Condition{{Type: "Ready", Status: "False", Reason: "Suspended", Message: credential}},
			[]string{"Warning Suspended [redacted]"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writer, all := newRecordingWriter()
			writer.Events(&v1alpha1.CoderSession{}, test.before, test.after)
			if diff := cmp.Diff(test.want, all()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNotesFitIntoAnEvent(t *testing.T) {
	t.Parallel()
	writer, all := newRecordingWriter()
	writer.Event(&v1alpha1.CoderSession{}, "Normal", "Rotated", "Mint", strings.Repeat("€", 1000))
	note := strings.TrimPrefix(all()[0], "Normal Rotated ")
	if len(note) != 1023 || !utf8.ValidString(note) { // 341 of 3 bytes
		t.Errorf("%d bytes", len(note))
	}
}

// What a person has to know of although Ready is not affected is one Warning each time that it begins.
func TestWarnings(t *testing.T) {
	t.Parallel()
	of := func(kind string, status metav1.ConditionStatus, reason string) []metav1.Condition {
		return []metav1.Condition{{Type: kind, Status: status, Reason: reason, Message: "more than asked"}}
	}
	granted := of(v1alpha1.ConditionScopesGranted, "True", "Granted")
	ignored := of(v1alpha1.ConditionScopesGranted, "False", "ServerIgnoresScopes")
	expiring := of(v1alpha1.ConditionTokenCurrent, "False", "TokenExpiring")
	expired := of(v1alpha1.ConditionTokenCurrent, "False", "TokenExpired")
	for name, test := range map[string]struct {
		before, after []metav1.Condition
		want          []string
	}{
		"it begins":       {granted, ignored, []string{"Warning ServerIgnoresScopes more than asked"}},
		"at first":        {nil, ignored, []string{"Warning ServerIgnoresScopes more than asked"}},
		"it goes on":      {ignored, ignored, nil},
		"it ends":         {ignored, granted, nil},
		"it goes away":    {ignored, nil, nil},
		"another reason":  {expiring, expired, []string{"Warning TokenExpired more than asked"}},
		"Ready":           {nil, of(v1alpha1.ConditionReady, "False", "Suspended"), nil},
		"other condition": {nil, of(v1alpha1.ConditionSecretSynced, "False", "TemplateInvalid"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writer, all := newRecordingWriter()
			writer.Warnings(&v1alpha1.CoderSession{}, test.before, test.after)
			if diff := cmp.Diff(test.want, all()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
