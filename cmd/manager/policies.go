// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
)

// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=coder-session-operator-deployment-rights;coder-session-operator-own-account;coder-session-operator-session-rights,verbs=get

// policySuffixes are what the names of the admission policies, and of their bindings, end in.
var policySuffixes = []string{"-deployment-rights", "-own-account", "-session-rights"}

// policyInterval is how often the policies are looked at.
const policyInterval = 5 * time.Minute

// policyCheck reports whether the admission policies are in force, without which the right to create
// sessions or deployments includes that to read the Secrets of their namespace. Every replica runs
// it, because each has metrics of its own.
type policyCheck struct {
	// prefix of the names of policies and bindings. Empty: they are not installed.
	prefix  string
	reader  client.Reader
	clock   clock.WithTicker
	metrics *metrics.Metrics
}

func registerPolicyFlag(set *flag.FlagSet, prefix *string) {
	set.StringVar(prefix, "admission-policies", "", "what the names of the installed admission policies begin with, "+
		"such as coder-session-operator; default: none are installed, which log and metrics say")
}

// NeedLeaderElection returns false.
func (*policyCheck) NeedLeaderElection() bool { return false }

// Start reports at once and after each interval until ctx ends. A change is logged once.
func (c *policyCheck) Start(ctx context.Context) error {
	ticker := c.clock.NewTicker(policyInterval)
	defer ticker.Stop()
	var logged []string
	for first := true; ; first = false {
		problems := c.findProblems(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.metrics.AdmissionPoliciesInstalled(len(problems) == 0)
		if (first && len(problems) > 0) || (!first && !slices.Equal(problems, logged)) {
			ctrl.Log.WithName("admission-policies").Info("admission policies", "inForce", len(problems) == 0, "problems",
				problems)
		}
		logged = problems
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// findProblems returns why policies are not in force; nil: all of them are.
func (c *policyCheck) findProblems(ctx context.Context) []string {
	if c.prefix == "" {
		return []string{"no policies are installed: all who may create CoderSessions or CoderDeployments in a namespace " +
			"can use its Secrets; install the policies (admissionPolicies.enabled in the chart, config/policies) and set " +
			"--admission-policies"}
	}
	var problems []string
	for _, suffix := range policySuffixes {
		if problem := c.findProblem(ctx, c.prefix+suffix); problem != "" {
			problems = append(problems, problem)
		}
	}
	return problems
}

// findProblem returns why a policy is not in force; empty: it is.
func (c *policyCheck) findProblem(ctx context.Context, name string) string {
	key := client.ObjectKey{Name: name}
	if err := c.reader.Get(ctx, key, &admissionregistrationv1.ValidatingAdmissionPolicy{}); err != nil {
		return describeMissing("ValidatingAdmissionPolicy", name, err)
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	if err := c.reader.Get(ctx, key, binding); err != nil {
		return describeMissing("ValidatingAdmissionPolicyBinding", name, err)
	}
	if binding.Spec.PolicyName != name || !slices.Contains(binding.Spec.ValidationActions, admissionregistrationv1.Deny) {
		return fmt.Sprintf("ValidatingAdmissionPolicyBinding %s does not deny by its policy: install it again", name)
	}
	return ""
}

func describeMissing(kind, name string, err error) string {
	if apierrors.IsNotFound(err) {
		return fmt.Sprintf("%s %s does not exist: install it again", kind, name)
	}
	return fmt.Sprintf("%s %s cannot be read: %v", kind, name, err)
}
