// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// subresource accepts patches of the status, or rejects them.
type subresource struct {
	client.SubResourceWriter // Create and Update are not used
	patches                  []map[string]any
	refusal                  error
}

func (s *subresource) Status() client.SubResourceWriter { return s }

func (s *subresource) Patch(
	_ context.Context, obj client.Object, patch client.Patch, _ ...client.SubResourcePatchOption,
) error {
	data, err := patch.Data(obj)
	if err != nil {
		return err
	}
	sent := map[string]any{"type": string(patch.Type())}
	if err := json.Unmarshal(data, &sent); err != nil {
		return err
	}
	s.patches = append(s.patches, sent)
	if s.refusal == nil {
		obj.SetResourceVersion("8")
	}
	return s.refusal
}

func newWriter(refusal error) (*Writer, *subresource) {
	server := &subresource{refusal: refusal}
	return NewWriter(server, nil, testclock.NewFakePassiveClock(later)), server
}

func newSession() *v1alpha1.CoderSession {
	s := &v1alpha1.CoderSession{ObjectMeta: metav1.ObjectMeta{
		Namespace: "builds", Name: "ci", ResourceVersion: "7", Generation: 2}}
	Set(&s.Status.Conditions, 2, noon, newReady("False", "Paused", "old"))
	return s
}

func TestPatchSendsTheStatusOnce(t *testing.T) { // B30
	t.Parallel()
	writer, server := newWriter(nil)
	before, after := newSession(), newSession()
	after.Finalizers = []string{"not/sent"}
	after.Spec.Paused = true
	writer.Set(&after.Status.Conditions, 2, newReady("True", "Active", "new"))
	changed, err := writer.Patch(t.Context(), before, after)
	if err != nil || !changed || after.ResourceVersion != "8" || before.ResourceVersion != "7" {
		t.Errorf("%v, %v, versions %s and %s", changed, err, before.ResourceVersion, after.ResourceVersion)
	}
	want := []map[string]any{{
		"type":     string(types.MergePatchType),
		"metadata": map[string]any{"resourceVersion": "7"},
		"status": map[string]any{"conditions": []any{map[string]any{
			"type": "Ready", "status": "True", "reason": "Active", "message": "new",
			"lastTransitionTime": "2030-01-01T12:01:00Z", "observedGeneration": 2.0,
		}}},
	}}
	if diff := cmp.Diff(want, server.patches); diff != "" {
		t.Error(diff)
	}
}

func TestPatchOfADeployment(t *testing.T) {
	t.Parallel()
	writer, server := newWriter(nil)
	before := &v1alpha1.CoderDeployment{ObjectMeta: metav1.ObjectMeta{Name: "prod", ResourceVersion: "7"}}
	after := before.DeepCopy()
	after.Status.Version = "v2"
	if changed, err := writer.Patch(t.Context(), before, after); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	want := []map[string]any{{
		"type":     string(types.MergePatchType),
		"metadata": map[string]any{"resourceVersion": "7"}, "status": map[string]any{"version": "v2"},
	}}
	if diff := cmp.Diff(want, server.patches); diff != "" {
		t.Error(diff)
	}
}

func TestPatchSendsNothingWhenNothingChanged(t *testing.T) { // B07
	t.Parallel()
	tests := map[string]func(*v1alpha1.CoderSession){
		"nothing":           func(*v1alpha1.CoderSession) {},
		"spec and metadata": func(s *v1alpha1.CoderSession) { s.Spec.Paused, s.Labels = true, map[string]string{"a": "b"} },
		"empty, not absent": func(s *v1alpha1.CoderSession) { s.Status.PendingRevocations = []v1alpha1.PendingRevocation{} },
		"the same in its zone": func(s *v1alpha1.CoderSession) {
			s.Status.Conditions[0].LastTransitionTime = metav1.NewTime(noon.Local())
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writer, server := newWriter(nil)
			after := newSession()
			change(after)
			if changed, err := writer.Patch(t.Context(), newSession(), after); err != nil || changed || server.patches != nil {
				t.Errorf("%v, %v, %v", changed, err, server.patches)
			}
		})
	}
}

func TestPatchRedacts(t *testing.T) { // B90
	t.Parallel()
	writer, server := newWriter(nil)
	after := newSession()
	after.Status.Conditions[0].Message = "refused " + credential
	after.Status.Suspension = &v1alpha1.Suspension{Reason: "Unauthorized", Message: "refused " + credential}
	after.Status.Retirement = &v1alpha1.Retirement{Reason: "Idle", Message: "refused " + credential}
	if _, err := writer.Patch(t.Context(), newSession(), after); err != nil {
		t.Fatal(err)
	}
	status := server.patches[0]["status"].(map[string]any)
	for _, part := range []any{status["conditions"].([]any)[0], status["suspension"], status["retirement"]} {
		if got := part.(map[string]any)["message"]; got != "refused [redacted]" {
			t.Error(got)
		}
	}
}

func TestPatchThatIsRefused(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Resource: "codersessions"}
	tests := map[string]struct {
		refusal error
		is      func(error) bool
	}{
		"gone":     {apierrors.NewNotFound(resource, "ci"), apierrors.IsNotFound},
		"conflict": {apierrors.NewConflict(resource, "ci", nil), apierrors.IsConflict}, // B30
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writer, _ := newWriter(test.refusal)
			after := newSession()
			after.Status.User = &v1alpha1.SessionUser{ID: "u"}
			changed, err := writer.Patch(t.Context(), newSession(), after)
			if changed || !test.is(err) || after.ResourceVersion != "7" {
				t.Errorf("%v, %v, version %s", changed, err, after.ResourceVersion)
			}
			if !strings.HasPrefix(fmt.Sprint(err), "patch the status of builds/ci: ") {
				t.Error(err)
			}
		})
	}
}

func TestPatchOfUnlikeObjects(t *testing.T) {
	t.Parallel()
	writer, server := newWriter(nil)
	for _, pair := range [][2]client.Object{
		{newSession(), &v1alpha1.CoderDeployment{}}, {&v1alpha1.CoderDeployment{}, newSession()},
		{&metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadata{}},
	} {
		if changed, err := writer.Patch(t.Context(), pair[0], pair[1]); changed || err == nil || server.patches != nil {
			t.Errorf("%T, %T: %v, %v", pair[0], pair[1], changed, err)
		}
	}
}
