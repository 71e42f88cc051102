// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// fieldOwner is the field manager of the plugin's writes.
const fieldOwner = client.FieldOwner("kubectl-coder")

// request is one run of renew or verify: it requests an action of the operator with an annotation,
// and waits until the status says that the request was handled.
//
//	follow ──► ours handled? ─────────────────────────► the outcome
//	   ▲          │ no
//	   │          ▼
//	   │       gone, or asking is of no use? ──────────► 4, 2
//	   │          │ no
//	   │          ▼
//	   └────── the first time: annotate. Changed conditions are printed.
//
// It is not safe for concurrent use.
type request[T client.Object] struct {
	*connector
	cluster *cluster
	kind    objectKind[T]
	name    string
	timeout time.Duration
	// annotation is the one that makes the request. Its value is the time of the request.
	annotation string
	// progress returns the conditions, and the value of the last request that was handled.
	progress func(T) (conditions []metav1.Condition, handled string)
	// blocker says why a request is useless in the object's current state. Empty: it is not.
	blocker func(T) string
	// refusal says why the object's status is the answer to the request that was made at that time, and
	// refuses it. Empty: it is none; nil: there is no such answer.
	refusal func(object T, isAnswer func(observed string) bool) string
	// describeStatus describes the object's status as the rest of a sentence after its name.
	describeStatus func(T) string

	requestTime string // the annotation's value; empty: not written yet
	// last is the object as it was last read; valid if seen.
	last           T
	seen           bool
	lastConditions map[string]metav1.Condition
}

// addRequest completes a command: it makes the request for the object that is named, waits for its
// result, and calls report with the object. Awaited names the result in the help of --timeout. The
// fields cluster, name and timeout of the request come from the command line.
func addRequest[T client.Object](
	command *cobra.Command, awaited string, r request[T], report func(T) error,
) *cobra.Command {
	command.GroupID = groupSessions
	command.Args = requireOneName(r.kind.noun)
	addTimeout(command.Flags(), &r.timeout, time.Minute, awaited)
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := checkTimeout(r.timeout); err != nil {
			return err
		}
		var err error
		if r.cluster, err = r.connect(); err != nil {
			return err
		}
		r.name = args[0]
		object, err := r.run(command.Context())
		if err != nil {
			return err
		}
		return report(object)
	}
	return command
}

// run returns the object after the request was handled.
func (r *request[T]) run(ctx context.Context) (T, error) {
	ctx, cancel := r.withTimeout(ctx, r.timeout)
	defer cancel()
	f := newFollower(r.connector, r.cluster, r.kind, r.name, r.handleObject)
	err := f.run(ctx)
	if errors.Is(err, errTimedOut) {
		err = r.timeoutError(f.unreachable)
	}
	return r.last, err
}

// handleObject is called with each version of the object.
func (r *request[T]) handleObject(ctx context.Context, object T) (bool, error) {
	var none T
	switch {
	case client.Object(object) == client.Object(none) && !r.seen:
		return false, notFoundError(r.kind.noun, r.cluster.namespace, r.name)
	case client.Object(object) == client.Object(none) || !object.GetDeletionTimestamp().IsZero():
		return false, newExitError(ExitUnreachable, "%s %s/%s is being deleted, or is gone", r.kind.noun,
			r.cluster.namespace, r.name)
	}
	conditions, handled := r.progress(object)
	r.reportConditions(conditions)
	r.last, r.seen = object, true
	if r.requestTime != "" && r.isAnsweredBy(handled) {
		return true, nil
	}
	if r.requestTime != "" && r.refusal != nil {
		if why := r.refusal(object, r.isAnsweredBy); why != "" {
			return false, newExitError(ExitBlocked, "%s %s %s. The request stands: the operator acts on it when it can",
				r.kind.noun, fullName(object), why)
		}
	}
	if why := r.blocker(object); why != "" {
		return false, newExitError(ExitBlocked, "%s %s %s", r.kind.noun, fullName(object), why)
	}
	if r.requestTime == "" {
		return false, r.annotate(ctx, object)
	}
	return false, nil
}

// annotate writes the annotation. The UID is a precondition, so that an object that was recreated
// with the same name is not changed.
func (r *request[T]) annotate(ctx context.Context, object T) error {
	asked := r.env.Clock.Now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": object.GetUID(), "annotations": map[string]string{r.annotation: asked},
	}})
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	target := object.DeepCopyObject().(T)
	if err := r.cluster.client.Patch(
		ctx, target, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return writeError(r.kind.noun, err)
	}
	r.requestTime = asked
	return nil
}

// isAnsweredBy reports whether the handled request is this one or a later one, which replaced it.
func (r *request[T]) isAnsweredBy(handled string) bool {
	if handled == "" || handled == r.requestTime {
		return handled != ""
	}
	at, err := time.Parse(time.RFC3339Nano, handled)
	ours, _ := time.Parse(time.RFC3339Nano, r.requestTime)
	return err == nil && at.After(ours)
}

// reportConditions prints the conditions that changed since the last call. The first call prints
// only Ready.
func (r *request[T]) reportConditions(conditions []metav1.Condition) {
	first := r.lastConditions == nil
	conditionsByType := make(map[string]metav1.Condition, len(conditions))
	for _, condition := range conditions {
		was, known := r.lastConditions[condition.Type]
		conditionsByType[condition.Type] = condition
		same := known && was.Status == condition.Status && was.Reason == condition.Reason &&
			was.Message == condition.Message
		if same || first && condition.Type != "Ready" {
			continue
		}
		r.out.printErrf("%s=%s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	r.lastConditions = conditionsByType
}

// timeoutError says what the object's status is after the timeout.
func (r *request[T]) timeoutError(away bool) error {
	if !r.seen || away {
		return newExitError(ExitUnreachable, "the API server could not be reached within %s", r.timeout)
	}
	return newExitError(ExitTimedOut,
		"no outcome within %s: %s %s %s. The request stands: the operator acts on it when it can",
		r.timeout, r.kind.noun, fullName(r.last), r.describeStatus(r.last))
}

// notFoundError says that an object does not exist.
func notFoundError(noun, namespace, name string) error {
	return newExitError(ExitUnreachable,
		"%s %q does not exist in namespace %q: name its namespace with -n; kubectl get coder%ss -A shows all", noun,
		name, namespace, noun)
}

// writeError wraps an error of writing an object.
func writeError(noun string, err error) error {
	if isUIDConflict(err) {
		return newExitError(ExitUnreachable, "the %s was deleted and recreated meanwhile: try again", noun)
	}
	return newExitError(ExitUnreachable, "cannot write the %s: %w", noun, err)
}

// isUIDConflict reports whether a write failed because the object has another UID. For custom
// resources that is an invalid change of an immutable field instead of a conflict.
func isUIDConflict(err error) bool {
	var status apierrors.APIStatus
	if apierrors.IsConflict(err) || !errors.As(err, &status) {
		return apierrors.IsConflict(err)
	}
	details := status.Status().Details
	return details != nil && slices.ContainsFunc(
		details.Causes, func(c metav1.StatusCause) bool { return c.Field == "metadata.uid" })
}
