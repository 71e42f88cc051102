// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

var (
	invalid = apierrors.NewInvalid(schema.GroupKind{Kind: "CoderSession"}, "ci", nil)
	tooBig  = apierrors.NewRequestEntityTooLargeError("limit is 3145728")
)

// apiServer returns a client of an API server that has the objects, and answers the first patches
// of a status with the refusals. patches counts the patches.
func apiServer(t *testing.T, refusals []error, objects ...client.Object) (c client.Client, patches *int) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	patches = new(int)
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(objects...).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(
			ctx context.Context, c client.Client, subresource string, obj client.Object,
			patch client.Patch, opts ...client.SubResourcePatchOption,
		) error {
			*patches++
			if *patches <= len(refusals) && refusals[*patches-1] != nil {
				return refusals[*patches-1]
			}
			return c.SubResource(subresource).Patch(ctx, obj, patch, opts...)
		}}).Build(), patches
}

// stored returns an object as the API server has it.
func stored[T client.Object](t *testing.T, c client.Client, object T) T {
	t.Helper()
	found := object.DeepCopyObject().(T)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(object), found); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStatusIsWrittenWhateverTheUsersNameIs(t *testing.T) {
	t.Parallel()
	c, patches := apiServer(t, nil, fullSession(), fullDeployment())
	writer := NewWriter(c, nil, testclock.NewFakePassiveClock(later))

	beforeSession := stored(t, c, fullSession())
	session := beforeSession.DeepCopy()
	session.Status.User.Username = huge
	session.Status.NextRefreshTime = nil
	if changed, err := writer.Patch(t.Context(), beforeSession, session); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	got := stored(t, c, session)
	message := got.Status.Conditions[0].Message
	if got.Status.User != nil || got.Status.NextRefreshTime != nil || got.Status.Token == nil ||
		message != "old (status leaves out user: too long)" {
		t.Errorf("%+v", got.Status)
	}

	beforeDeployment := stored(t, c, fullDeployment())
	deployment := beforeDeployment.DeepCopy()
	deployment.Status.User.Username = huge
	if changed, err := writer.Patch(t.Context(), beforeDeployment, deployment); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	if got := stored(t, c, deployment); got.Status.User != nil || got.Status.Version != "v2" {
		t.Errorf("%+v", got.Status)
	}

	// The next pass has the same user, and nothing to write.
	next := got.DeepCopy()
	next.Status.User = session.Status.User
	next.Status.Conditions[0].Message = "old"
	if changed, err := writer.Patch(t.Context(), got, next); err != nil || changed || *patches != 2 {
		t.Errorf("%v, %v, %d patches", changed, err, *patches)
	}
}

func TestForeignConditionsAreRemoved(t *testing.T) {
	t.Parallel()
	before := newSession()
	before.Status.Conditions = append(before.Status.Conditions, metav1.Condition{
		Type: "example.com/Audited", Status: "True", Reason: "Yes", LastTransitionTime: metav1.NewTime(noon)})
	c, _ := apiServer(t, nil, before)
	before = stored(t, c, before)
	writer := NewWriter(c, nil, testclock.NewFakePassiveClock(later))
	if changed, err := writer.Patch(t.Context(), before, before.DeepCopy()); err != nil || !changed {
		t.Errorf("%v, %v", changed, err)
	}
	if got := stored(t, c, before).Status.Conditions; len(got) != 1 || got[0].Type != "Ready" {
		t.Errorf("%+v", got)
	}
}

func TestRefusedStatusIsWrittenWithoutTheRest(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "codersessions"}, "ci", nil)
	gone := apierrors.NewNotFound(schema.GroupResource{Resource: "codersessions"}, "ci")
	tests := map[string]struct {
		refusals []error
		patches  int
		changed  bool
		is       func(error) bool // nil: no error
	}{
		"accepted":             {nil, 1, true, nil},
		"invalid":              {[]error{invalid}, 2, true, nil},
		"too large":            {[]error{tooBig}, 2, true, nil},
		"invalid twice":        {[]error{invalid, invalid}, 2, false, apierrors.IsInvalid},
		"too large, then gone": {[]error{tooBig, gone}, 2, false, apierrors.IsNotFound},
		"invalid, then late":   {[]error{invalid, conflict}, 2, false, apierrors.IsConflict},
		"conflict":             {[]error{conflict}, 1, false, apierrors.IsConflict},
		"gone":                 {[]error{gone}, 1, false, apierrors.IsNotFound},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, patches := apiServer(t, test.refusals, fullSession())
			before := stored(t, c, fullSession())
			after := before.DeepCopy()
			after.Status.ObservedGeneration = 3
			after.Status.User.Username = "eve"
			long := strings.Repeat("m", 2000)
			Set(&after.Status.Conditions, 3, later, newReady("True", "Active", long))
			Set(&after.Status.Conditions, 3, later, Condition{
				Type: "SecretSynced", Status: "False", Reason: "SecretConflict", Message: long})
			var logged []string
			ctx := log.IntoContext(t.Context(), funcr.New(
				func(_, line string) { logged = append(logged, line) }, funcr.Options{}))

			writer := NewWriter(c, nil, testclock.NewFakePassiveClock(later))
			changed, err := writer.Patch(ctx, before, after)
			if changed != test.changed || *patches != test.patches || test.is == nil && err != nil ||
				test.is != nil && !test.is(err) {
				t.Fatalf("%v, %v, %d patches", changed, err, *patches)
			}
			if len(logged) != test.patches-1 {
				t.Errorf("logged %q", logged)
			}
			got := stored(t, c, before)
			want := before.DeepCopy()
			switch {
			case !test.changed:
			case test.patches == 1:
				want.Status = after.Status
			default:
				want.Status.ObservedGeneration = 3
				want.Status.Conditions = after.DeepCopy().Status.Conditions
				want.Status.Conditions[0].Message = long[:maxShortMessage-len("… "+refusedNote)] + "… " + refusedNote
				want.Status.Conditions[1].Message = long[:maxShortMessage-len("…")] + "…"
			}
			if diff := cmp.Diff(want.Status, got.Status); diff != "" {
				t.Error(diff)
			}
			if after.ResourceVersion != got.ResourceVersion {
				t.Errorf("version %s, stored is %s", after.ResourceVersion, got.ResourceVersion)
			}
		})
	}
}

// A status that stays invalid is refused on each pass, and not written on each of them: a write
// would be the cause of the next pass.
func TestRefusedStatusIsWrittenOnce(t *testing.T) {
	t.Parallel()
	c, patches := apiServer(t, []error{invalid, nil, invalid, invalid}, fullDeployment())
	writer := NewWriter(c, nil, testclock.NewFakePassiveClock(later))
	var conditions [][]metav1.Condition
	for pass := range 3 {
		before := stored(t, c, fullDeployment())
		after := before.DeepCopy()
		after.Status.Version = "v3"
		// Ready keeps its message, as when a deployment cannot be asked.
		if pass == 0 {
			after.Status.Conditions = nil
			Set(&after.Status.Conditions, 2, noon, newReady("False", "Unreachable", strings.Repeat("m", 2000)))
		}
		changed, err := writer.Patch(t.Context(), before, after)
		if err != nil || changed != (pass == 0) {
			t.Fatalf("pass %d: %v, %v", pass, changed, err)
		}
		conditions = append(conditions, stored(t, c, after).Status.Conditions)
	}
	if *patches != 4 || !reflect.DeepEqual(conditions[0], conditions[2]) {
		t.Errorf("%d patches, conditions %+v", *patches, conditions)
	}
}
