// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/controllers/lookup"
	"github.com/coder-session-operator/coder-session-operator/internal/authconfig"
	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/internal/deployment"
	"github.com/coder-session-operator/coder-session-operator/internal/grant"
	"github.com/coder-session-operator/coder-session-operator/internal/podsession"
	"github.com/coder-session-operator/coder-session-operator/internal/session"
)

// observe collects the state of the deployment. Settings are not read during their quiet
// period.
func (r *Reconciler) observe(ctx context.Context, s *scope) (deployment.Observation, error) {
	o := deployment.Observation{
		Now:                     r.o.Clock.Now(),
		Deployment:              s.object,
		Settling:                s.conn.Settling(),
		ReverificationRequested: s.conn.ReverificationRequested(),
		Verification:            s.memory.verified,
		TokenListing:            s.memory.listed,
		Skew:                    s.conn.Skew(),
		RevocationTimeout:       r.o.RevocationTimeout,
		ForeignTokens:           s.memory.foreignTokens,
		CountsTime:              s.memory.countsTime,
	}
	if o.TokenListing.Dropped = s.conn.Inventory.Dropped(); o.TokenListing.Dropped {
		o.TokenListing.LastSuccessTime = time.Time{} // of what it has shown, nothing is there
	}
	for _, user := range s.conn.Inventory.LeftOut() {
		o.TokenListing.LeftOut = append(o.TokenListing.LeftOut,
			deployment.LeftOut{User: cmp.Or(user.Username, user.UserID), Count: user.Count})
	}
	var err error
	if o.Sessions, err = r.observeSessions(ctx, s); err != nil {
		return o, err
	}
	if o.Settling {
		return o, nil
	}
	if o.Renewal, err = r.observeRenewal(ctx, s); err != nil {
		return o, err
	}
	o.OwnTokens = r.observeOwnTokens(s)
	o.Config, err = r.observeConfig(ctx, s)
	return o, err
}

// observeConfig reads the settings if they have changed since they were last read.
func (r *Reconciler) observeConfig(ctx context.Context, s *scope) (deployment.Config, error) {
	resolved, err := s.conn.Resolve(ctx, s.object)
	if err != nil {
		problems := problemsOf(err)
		if len(problems) == 0 {
			return deployment.Config{}, fmt.Errorf("read the settings: %w", err)
		}
		return deployment.Config{Problems: problems}, nil
	}
	if s.isBeforeRenewal(resolved.Snapshot) {
		return deployment.Config{}, errSettingsChanging
	}
	config := deployment.Config{
		Fingerprint: resolved.Snapshot.Fingerprint, SendsToken: resolved.Snapshot.Token.Reveal() != "",
	}
	config.CABundleWarning = resolved.Snapshot.CABundleWarning
	if id, err := coder.TokenID(resolved.Snapshot.Token); err == nil {
		config.TokenID = id
	}
	if certificate := resolved.Snapshot.Certificate; certificate != nil {
		config.CertificateNotBefore, config.CertificateNotAfter = certificate.NotBefore, certificate.NotAfter
	}
	return config, nil
}

// problemsOf returns the configuration problems in an error. It returns nil if any part of
// the error is of another kind.
func problemsOf(err error) []deployment.Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []deployment.Problem
		for _, part := range joined.Unwrap() {
			problems := problemsOf(part)
			if len(problems) == 0 {
				return nil
			}
			all = append(all, problems...)
		}
		return all
	}
	var reference *authconfig.ReferenceError
	if !errors.As(err, &reference) {
		return nil
	}
	return []deployment.Problem{{Missing: reference.Missing, Message: reference.Error()}}
}

func (r *Reconciler) observeSessions(ctx context.Context, s *scope) (deployment.Sessions, error) {
	list, err := lookup.SessionsOf(ctx, r.o.Client, s.key)
	if err != nil {
		return deployment.Sessions{}, err
	}
	var seen deployment.Sessions
	reasons := map[string]int{}
	s.livePods, s.refusedPods, s.mintedUsers = 0, 0, map[string]bool{}
	for i := range list {
		each := &list[i]
		s.countPods(each)
		seen.Counts.Total++
		if err := r.addNeed(ctx, s.object, each, &seen); err != nil {
			return seen, err
		}
		if meta.IsStatusConditionFalse(each.Status.Conditions, v1alpha1.ConditionIdentityUnique) {
			seen.Duplicated = append(seen.Duplicated, each.Namespace+"/"+each.Name)
		}
		s.addMinting(each, &seen)
		candidate, ok, err := r.retentionCandidate(ctx, s, each)
		if err != nil {
			return seen, err
		}
		if ok {
			seen.Candidates = append(seen.Candidates, candidate)
		}
		if ready := meta.FindStatusCondition(each.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			reasons[ready.Reason]++
			countReason(&seen.Counts, ready.Reason)
		}
	}
	slices.Sort(seen.Duplicated)
	s.reasons = reasons
	err = r.addNeedsOfOthers(ctx, s, &seen)
	return seen, err
}

// addNeedsOfOthers adds the sessions that another manager watches to those that a deleted deployment waits for, if
// there are no other ones that may use it.
func (r *Reconciler) addNeedsOfOthers(ctx context.Context, s *scope, seen *deployment.Sessions) error {
	if s.object.DeletionTimestamp.IsZero() {
		return nil
	}
	var err error
	if len(seen.Allowed) == 0 {
		err = r.shards.addNeeds(ctx, s.object, seen)
	}
	slices.Sort(seen.Allowed)
	slices.Sort(seen.Holding)
	return err
}

// addMinting adds what a session mints, if it does.
func (s *scope) addMinting(each *v1alpha1.CoderSession, seen *deployment.Sessions) {
	if !session.Mints(each) {
		return
	}
	seen.Minting = seen.Minting || !each.Spec.Paused
	if user := each.Status.User; user != nil {
		s.mintedUsers[user.ID] = true
	}
}

// countPods counts the pods that have a session of their own, and those that a session with perPod says
// it refuses.
func (s *scope) countPods(each *v1alpha1.CoderSession) {
	if podsession.IsOfPod(each) && each.DeletionTimestamp == nil {
		s.livePods++
	}
	if pods := each.Status.Pods; pods != nil {
		s.refusedPods += int(pods.Refused)
	}
}

// addNeed adds a session that a deleted deployment may have to wait for.
func (r *Reconciler) addNeed(
	ctx context.Context, object *v1alpha1.CoderDeployment, each *v1alpha1.CoderSession, seen *deployment.Sessions,
) error {
	if object.DeletionTimestamp.IsZero() {
		return nil
	}
	name := each.Namespace + "/" + each.Name
	namespace, err := lookup.Namespace(ctx, r.o.Client, each.Namespace, object.Namespace, r.o.NamespaceLabels)
	if err != nil {
		return err
	}
	// What the server ignores is not known here: a session that it keeps from being let in has no
	// credential, and is as good as denied.
	if deployment.DenialReason(object, each, namespace, deployment.Server{}) == "" {
		seen.Allowed = append(seen.Allowed, name)
		return nil
	}
	holds := deployment.HoldsCredential(each)
	if !holds {
		if holds, err = r.hasGrantDocument(ctx, each); err != nil {
			return err
		}
	}
	if holds {
		seen.Holding = append(seen.Holding, name)
	}
	return nil
}

// hasGrantDocument reports whether a session has a document of an OAuth grant.
func (r *Reconciler) hasGrantDocument(ctx context.Context, s *v1alpha1.CoderSession) (bool, error) {
	document := lookup.Metadata("Secret")
	key := types.NamespacedName{Namespace: s.Namespace, Name: grant.SecretName(s)}
	if err := r.o.Client.Get(ctx, key, document); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return metav1.IsControlledBy(document, s), nil
}

// countReason counts a session by the reason of its Ready condition.
func countReason(counts *v1alpha1.SessionCounts, reason string) {
	switch reason {
	case v1alpha1.ReasonActive, v1alpha1.ReasonServingPods:
		counts.Ready++
	case v1alpha1.ReasonSuspended:
		counts.Suspended++
	case v1alpha1.ReasonAwaitingAuthorization, v1alpha1.ReasonReauthenticationRequired:
		counts.AwaitingAuthorization++
	case v1alpha1.ReasonRetired:
		counts.Retired++
	}
}
