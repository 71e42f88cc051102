// SPDX-License-Identifier: Apache-2.0

package gitops_test

import (
	"slices"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// verdict is what the tools make of an object: kstatus, Argo CD with integrations/argocd, and Flux with
// integrations/flux.
type verdict struct {
	kstatus status.Status
	argo    string
	flux    status.Status
}

var (
	isReady = verdict{status.CurrentStatus, "Healthy", status.CurrentStatus}
	// isAway is the verdict for a session that has no credential on purpose.
	isAway = verdict{status.InProgressStatus, "Suspended", status.CurrentStatus}
	// isWaiting is the verdict for what goes on by itself, and is part of every start.
	isWaiting = verdict{status.InProgressStatus, "Progressing", status.InProgressStatus}
	// isTroubled is the verdict for what is wrong and may pass by itself.
	isTroubled = verdict{status.InProgressStatus, "Degraded", status.InProgressStatus}
	// isStalled is the verdict for what a person has to correct.
	isStalled = verdict{status.FailedStatus, "Degraded", status.FailedStatus}
)

const (
	deployment = "CoderDeployment"
	session    = "CoderSession"
)

// readyReasons are the reasons of Ready of each kind, with the verdict for them.
var readyReasons = map[string]map[string]verdict{
	deployment: {
		v1alpha1.ReasonVerified: isReady,

		v1alpha1.ReasonConfigInvalid:               isStalled,
		v1alpha1.ReasonUnauthorized:                isStalled,
		v1alpha1.ReasonForbidden:                   isStalled,
		v1alpha1.ReasonUserSuspended:               isStalled,
		v1alpha1.ReasonCertificateRejected:         isStalled,
		v1alpha1.ReasonCertificateUnsupported:      isStalled,
		v1alpha1.ReasonCertificateAuthorityUnknown: isStalled,
		v1alpha1.ReasonCertificateAccessDenied:     isStalled,
		v1alpha1.ReasonCertificateRequired:         isStalled,
		v1alpha1.ReasonServerUntrusted:             isStalled,
		v1alpha1.ReasonAddressDenied:               isStalled,

		v1alpha1.ReasonUnreachable:      isTroubled,
		v1alpha1.ReasonUnexpectedAnswer: isTroubled,
		v1alpha1.ReasonEdgeRefused:      isTroubled,
		v1alpha1.ReasonRedirected:       isTroubled,

		v1alpha1.ReasonAPIServerRefused:     isTroubled,
		v1alpha1.ReasonAPIServerUnavailable: isWaiting,
		v1alpha1.ReasonRateLimited:          isWaiting,
		v1alpha1.ReasonTerminating:          isWaiting,
	},
	session: {
		v1alpha1.ReasonActive:      isReady,
		v1alpha1.ReasonServingPods: isReady,

		v1alpha1.ReasonPaused:                isAway,
		v1alpha1.ReasonRetired:               isAway,
		v1alpha1.ReasonAwaitingAuthorization: isAway,
		v1alpha1.ReasonWorkspaceStopped:      isAway,

		v1alpha1.ReasonConfigInvalid:            isStalled,
		v1alpha1.ReasonAccessDenied:             isStalled,
		v1alpha1.ReasonSecretConflict:           isStalled,
		v1alpha1.ReasonSecretTooLarge:           isStalled,
		v1alpha1.ReasonWorkspaceUnknown:         isStalled,
		v1alpha1.ReasonReauthenticationRequired: isStalled,
		v1alpha1.ReasonSuspended:                isStalled,

		v1alpha1.ReasonSecretModified:   isTroubled,
		v1alpha1.ReasonAPIServerRefused: isTroubled,

		v1alpha1.ReasonAPIServerUnavailable: isWaiting,
		v1alpha1.ReasonAwaitingDeployment:   isWaiting,
		v1alpha1.ReasonVerifying:            isWaiting,
		v1alpha1.ReasonTerminating:          isWaiting,
	},
}

// otherReasons are those of other conditions, which do not change Ready and therefore no verdict.
var otherReasons = []string{
	v1alpha1.ReasonResolved, v1alpha1.ReasonReferenceMissing, v1alpha1.ReasonReferenceInvalid, v1alpha1.ReasonRenewed,
	v1alpha1.ReasonRenewalScheduled, v1alpha1.ReasonTokenValid, v1alpha1.ReasonTokenExpiring,
	v1alpha1.ReasonTokenExpired, v1alpha1.ReasonTokenReverted, v1alpha1.ReasonSecretManaged,
	v1alpha1.ReasonSecretImmutable, v1alpha1.ReasonCertificateValid, v1alpha1.ReasonCertificateExpiring,
	v1alpha1.ReasonCertificateExpired, v1alpha1.ReasonCertificateNotYetValid, v1alpha1.ReasonProtected,
	v1alpha1.ReasonPlainHTTP, v1alpha1.ReasonCertificateUnchecked, v1alpha1.ReasonAllTrusted,
	v1alpha1.ReasonCertificatesSkipped, v1alpha1.ReasonClientCertificateMissing,
	v1alpha1.ReasonScopesGranted, v1alpha1.ReasonServerIgnoresScopes,
	v1alpha1.ReasonTemplateInvalid, v1alpha1.ReasonRestarted, v1alpha1.ReasonRolling, v1alpha1.ReasonRolloutStuck,
	v1alpha1.ReasonWatched, v1alpha1.ReasonAllPodsServed, v1alpha1.ReasonPodLimitReached,
	v1alpha1.ReasonStreamRefused, v1alpha1.ReasonServerMaximum, v1alpha1.ReasonDuplicateOperator,
	v1alpha1.ReasonTokenListTooLarge,
}

// newObject is an object of a kind that the operator has reported with these conditions, as the API
// server stores it.
func newObject(t *testing.T, kind string, conditions ...metav1.Condition) *unstructured.Unstructured {
	t.Helper()
	now := time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)
	for i := range conditions {
		conditions[i].LastTransitionTime = metav1.NewTime(now)
	}
	v1alpha1.SetStalled(&conditions, now)
	meta := metav1.ObjectMeta{Namespace: "coder", Name: "example", Generation: 2}
	var object any = &v1alpha1.CoderSession{
		ObjectMeta: meta, Status: v1alpha1.CoderSessionStatus{ObservedGeneration: 2, Conditions: conditions},
	}
	if kind == deployment {
		object = &v1alpha1.CoderDeployment{
			ObjectMeta: meta, Status: v1alpha1.CoderDeploymentStatus{ObservedGeneration: 2, Conditions: conditions},
		}
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		t.Fatal(err)
	}
	stored := &unstructured.Unstructured{Object: content}
	stored.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return stored
}

// judge asks all tools.
func judge(t *testing.T, object *unstructured.Unstructured) verdict {
	t.Helper()
	computed, err := status.Compute(object)
	if err != nil {
		t.Fatal(err)
	}
	return verdict{kstatus: computed.Status, argo: argoHealth(t, object).Status, flux: fluxStatus(t, object)}
}

// B118: what Flux, Helm and Argo CD make of each reason of Ready.
func TestTheVerdictOnEachReason(t *testing.T) {
	t.Parallel()
	for kind, reasons := range readyReasons {
		for reason, want := range reasons {
			ready := metav1.Condition{
				Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason, Message: "why",
			}
			if want == isReady {
				ready.Status = metav1.ConditionTrue
			}
			object := newObject(t, kind, ready)
			if got := judge(t, object); got != want {
				t.Errorf("%s %s: %+v, want %+v", kind, reason, got, want)
			}
			if message := argoHealth(t, object).Message; message != "why" {
				t.Errorf("%s %s: Argo CD shows %q", kind, reason, message)
			}
		}
	}
}

// The other conditions do not keep a wait from ending.
func TestOtherConditionsDoNotMatter(t *testing.T) {
	t.Parallel()
	for kind, types := range map[string][]string{
		deployment: v1alpha1.DeploymentConditionTypes(), session: v1alpha1.SessionConditionTypes(),
	} {
		for _, reason := range otherReasons {
			for _, other := range types {
				if other == v1alpha1.ConditionReady || other == v1alpha1.ConditionStalled {
					continue
				}
				object := newObject(t, kind,
					metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Any"},
					metav1.Condition{Type: other, Status: metav1.ConditionFalse, Reason: reason})
				if got := judge(t, object); got != isReady {
					t.Errorf("%s with %s=False (%s): %+v", kind, other, reason, got)
				}
			}
		}
	}
}

// A reason that is added to the API gets a verdict here.
func TestEveryReasonHasAVerdict(t *testing.T) {
	t.Parallel()
	for _, reason := range v1alpha1.Reasons() {
		_, ofDeployment := readyReasons[deployment][reason]
		_, ofSession := readyReasons[session][reason]
		if isReadys := ofDeployment || ofSession; isReadys == slices.Contains(otherReasons, reason) {
			t.Errorf("%s has to be one of readyReasons or of otherReasons, and not both", reason)
		}
	}
}

// B118: a Secret that another controller is about to write is waited for.
func TestAMissingReferenceIsWaitedFor(t *testing.T) {
	t.Parallel()
	for kind, other := range map[string]string{
		deployment: v1alpha1.ConditionConfigResolved, session: v1alpha1.ConditionAuthenticated,
	} {
		object := newObject(t, kind,
			metav1.Condition{
				Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonConfigInvalid,
			},
			metav1.Condition{Type: other, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonReferenceMissing})
		if got := judge(t, object); got != isWaiting {
			t.Errorf("%s: %+v, want %+v", kind, got, isWaiting)
		}
	}
}

// B118: no tool takes a status for that of a spec that the operator has not looked at.
func TestAStatusOfAnotherSpecIsNotBelieved(t *testing.T) {
	t.Parallel()
	for kind := range readyReasons {
		for _, observed := range []int64{-1, 1} {
			object := newObject(t, kind,
				metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Any"})
			if err := unstructured.SetNestedField(object.Object, observed, "status", "observedGeneration"); err != nil {
				t.Fatal(err)
			}
			if got := judge(t, object); got != isWaiting {
				t.Errorf("%s of generation %d: %+v, want %+v", kind, observed, got, isWaiting)
			}
		}
	}
}
