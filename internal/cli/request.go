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

// fieldOwner is who the plugin's writes are of.
const fieldOwner = client.FieldOwner("kubectl-coder")

// request is one run of renew or verify: it asks the operator by an annotation, and waits until the status says that the
// outcome is in it.
//
//	follow ──► ours handled? ─────────────────────────► the outcome
//	   ▲          │ no
//	   │          ▼
//	   │       gone, or asking is of no use? ──────────► 4, 2
//	   │          │ no
//	   │          ▼
//	   └────── the first time: annotate. Conditions that changed are told.
//
// Its methods are for one goroutine.
type request[T client.Object] struct {
	*connector
	cluster *cluster
	kind    kind[T]
	name    string
	timeout time.Duration
	// annotation asks: its value is the time.
	annotation string
	// progress is what the status says of conditions, and of the request that was handled last.
	progress func(T) (conditions []metav1.Condition, handled string)
	// useless says why asking is of no use as the object is now. Empty: it is of use.
	useless func(T) string
	// standing says in a sentence without its subject how the object is.
	standing func(T) string

	asked string // the annotation's value; empty: not yet
	// last is how the object was when it was seen last, once it was seen.
	last T
	seen bool
	told map[string]metav1.Condition
}

// asking completes a command that makes a request about the one object that it is given, waits for what is named, and says
// what came of it. The request lacks cluster, name and timeout, which are the command line's.
func asking[T client.Object](command *cobra.Command, awaited string, r request[T], say func(T) error) *cobra.Command {
	command.GroupID = groupSessions
	command.Args = one(r.kind.noun)
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
		return say(object)
	}
	return command
}

// run returns the object with the outcome.
func (r *request[T]) run(ctx context.Context) (T, error) {
	ctx, cancel := r.limit(ctx, r.timeout)
	defer cancel()
	f := follow(r.connector, r.cluster, r.kind, r.name, r.see)
	err := f.run(ctx)
	if errors.Is(err, errTimedOut) {
		err = r.timedOut(f.away)
	}
	return r.last, err
}

// see is shown every state of the object.
func (r *request[T]) see(ctx context.Context, object T) (bool, error) {
	var none T
	switch {
	case client.Object(object) == client.Object(none) && !r.seen:
		return false, missing(r.kind.noun, r.cluster.namespace, r.name)
	case client.Object(object) == client.Object(none) || !object.GetDeletionTimestamp().IsZero():
		return false, exit(ExitUnreachable, "%s %s/%s is being deleted, or was", r.kind.noun, r.cluster.namespace, r.name)
	}
	conditions, handled := r.progress(object)
	r.tell(conditions)
	r.last, r.seen = object, true
	if r.asked != "" && r.answers(handled) {
		return true, nil
	}
	if why := r.useless(object); why != "" {
		return false, exit(ExitUnmendable, "%s %s %s", r.kind.noun, fullName(object), why)
	}
	if r.asked == "" {
		return false, r.ask(ctx, object)
	}
	return false, nil
}

// ask writes the annotation. The UID is a precondition: another object that has got the name meanwhile is not asked.
func (r *request[T]) ask(ctx context.Context, object T) error {
	asked := r.env.Clock.Now().UTC().Format(time.RFC3339Nano)
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": object.GetUID(), "annotations": map[string]string{r.annotation: asked},
	}})
	if err != nil {
		return fmt.Errorf("make the request: %w", err)
	}
	target := object.DeepCopyObject().(T)
	if err := r.cluster.client.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch), fieldOwner); err != nil {
		return unwritten(r.kind.noun, err)
	}
	r.asked = asked
	return nil
}

// answers reports whether a request that was handled is the one that was made here, or a later one in its place.
func (r *request[T]) answers(handled string) bool {
	if handled == r.asked {
		return true
	}
	at, err := time.Parse(time.RFC3339Nano, handled)
	ours, _ := time.Parse(time.RFC3339Nano, r.asked)
	return err == nil && at.After(ours)
}

// tell says which conditions changed since the object was seen last. How it was at first is told of Ready alone.
func (r *request[T]) tell(conditions []metav1.Condition) {
	first := r.told == nil
	told := make(map[string]metav1.Condition, len(conditions))
	for _, condition := range conditions {
		was, known := r.told[condition.Type]
		told[condition.Type] = condition
		same := known && was.Status == condition.Status && was.Reason == condition.Reason && was.Message == condition.Message
		if same || first && condition.Type != "Ready" {
			continue
		}
		r.out.printf("%s=%s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message)
	}
	r.told = told
}

// timedOut says how the object still is.
func (r *request[T]) timedOut(away bool) error {
	if !r.seen || away {
		return exit(ExitUnreachable, "the API server could not be reached within %s", r.timeout)
	}
	return exit(ExitTimedOut, "no outcome within %s: %s %s %s. The request stands: the operator acts on it when it can",
		r.timeout, r.kind.noun, fullName(r.last), r.standing(r.last))
}

// missing is the error of an object that is not there.
func missing(noun, namespace, name string) error {
	return exit(ExitUnreachable, "%s %q does not exist in namespace %q: name its namespace with -n; kubectl get coder%ss -A shows all", noun, name, namespace, noun)
}

// unwritten is the error of a request that failed to write an object.
func unwritten(noun string, err error) error {
	if replaced(err) {
		return exit(ExitUnreachable, "the %s was deleted and made anew meanwhile: try again", noun)
	}
	return exit(ExitUnreachable, "cannot write the %s: %w", noun, err)
}

// replaced reports whether a write failed because the object has another UID: a conflict, or for kinds of CRDs a field that
// cannot be changed.
func replaced(err error) bool {
	var status apierrors.APIStatus
	if apierrors.IsConflict(err) || !errors.As(err, &status) {
		return apierrors.IsConflict(err)
	}
	details := status.Status().Details
	return details != nil && slices.ContainsFunc(details.Causes, func(c metav1.StatusCause) bool { return c.Field == "metadata.uid" })
}
