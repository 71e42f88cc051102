// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
)

// UnknownSession says what happens to a pod that asks for a session that does not exist or is being
// deleted.
type UnknownSession string

const (
	// RefuseUnknown refuses the pod, so that its creator learns of a misspelled name immediately.
	// Controllers, such as that of a ReplicaSet, retry.
	RefuseUnknown UnknownSession = "Refuse"
	// AdmitUnknown admits the pod with a warning: it waits for a Secret with the session's name.
	AdmitUnknown UnknownSession = "Admit"
)

// checkSession returns warnings for the creator of the pod, or a *[RefusalError].
func checkSession(r *Request, k Resolved, namespace string, unknown UnknownSession) ([]string, error) {
	var trouble, consequence, remedy string
	switch {
	case k.Session != nil && podsession.IsOfPod(k.Session):
		return nil, newRefusal("CoderSession %q is that of another pod: write the name of %q into the annotation %s, "+
			"and the pod gets a token of its own", r.Session, k.Session.Labels[v1alpha1.LabelParent], v1alpha1.AnnotationSession)
	case k.Session == nil:
		trouble = fmt.Sprintf("there is no CoderSession %q in namespace %q", r.Session, namespace)
		consequence, remedy = fmt.Sprintf("the pod waits for a Secret %q", r.Session), "create it"
	case !k.Session.DeletionTimestamp.IsZero():
		trouble = fmt.Sprintf("CoderSession %q in namespace %q is being deleted, and its token revoked", r.Session,
			namespace)
		consequence, remedy = fmt.Sprintf("the pod is given the Secret %q as it is", k.Session.SecretName()),
			"create it again"
	case k.Foreign:
		return nil, newRefusal("Secret %q in namespace %q does not belong to CoderSession %q: delete it, or recreate the "+
			"session with another secret.name", k.Session.SecretName(), namespace, r.Session)
	default:
		return sessionWarnings(k), nil
	}
	if unknown == AdmitUnknown {
		return []string{trouble + ": " + consequence}, nil
	}
	return nil, newRefusal("%s: %s, or write the name of another one into the annotation %s", trouble, remedy,
		v1alpha1.AnnotationSession)
}

// sessionWarnings warns if the Secret of an existing session may be missing or incomplete.
func sessionWarnings(k Resolved) []string {
	var out []string
	if k.Deployment == nil {
		key := k.Session.DeploymentKey()
		out = append(out, fmt.Sprintf("there is no CoderDeployment %q in namespace %q that the operator may read: "+
			"variables for its headers and CA bundle are not set; "+
			"recreate the pod once it exists", key.Name, key.Namespace))
	}
	ready := meta.FindStatusCondition(k.Session.Status.Conditions, v1alpha1.ConditionReady)
	// A session that is being verified gets no warning: the pod only waits a moment for its Secret.
	if ready != nil && ready.Status == metav1.ConditionFalse && ready.Reason != v1alpha1.ReasonVerifying {
		out = append(out, fmt.Sprintf(
			"CoderSession %q is not Ready (%s): the pod may wait for its Secret, or get a credential "+
				"that the server does not accept", k.Session.Name, ready.Reason))
	}
	return out
}
