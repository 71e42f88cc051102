// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/coder-session-operator/coder-session-operator/internal/metrics"
	"github.com/coder-session-operator/coder-session-operator/test/kube"
	"github.com/coder-session-operator/coder-session-operator/test/wait"
)

// policyTest is a running check with a clock of its own.
type policyTest struct {
	t        *testing.T
	clock    *clocktesting.FakeClock
	registry *prometheus.Registry
	check    *policyCheck
}

func newPolicyTest(t *testing.T, prefix string) *policyTest {
	t.Helper()
	p := &policyTest{t: t, clock: clocktesting.NewFakeClock(time.Now()), registry: prometheus.NewRegistry()}
	p.check = &policyCheck{
		prefix: prefix, reader: kube.ForTest(t).Client, clock: p.clock, metrics: metrics.New(p.registry),
	}
	return p
}

// start runs the check until the test ends.
func (p *policyTest) start() {
	p.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.check.Start(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	})
}

// gauge is the value of the metric.
func (p *policyTest) gauge() (float64, error) {
	families, err := p.registry.Gather()
	if err != nil {
		return 0, err
	}
	for _, family := range families {
		if family.GetName() == "coder_session_operator_admission_policies_installed" {
			return family.GetMetric()[0].GetGauge().GetValue(), nil
		}
	}
	return 0, fmt.Errorf("no such metric among %d", len(families))
}

func (p *policyTest) shows(want float64) wait.Check {
	return func(context.Context) error {
		if got, err := p.gauge(); err != nil || got != want {
			return fmt.Errorf("the metric is %v, want %v: %w", got, want, err)
		}
		return nil
	}
}

// B132: without the policies the operator says so; it notices within an interval that they are
// installed, deleted, or do not deny any more.
func TestThePoliciesAreLookedFor(t *testing.T) {
	t.Parallel()
	cluster := kube.ForTest(t)
	prefix := cluster.Namespace(t, nil)
	p := newPolicyTest(t, prefix)
	expect := func(fragments ...string) {
		t.Helper()
		problems := p.check.findProblems(t.Context())
		if len(problems) != len(fragments) {
			t.Fatalf("problems %q, want %d", problems, len(fragments))
		}
		for i, fragment := range fragments {
			if !strings.Contains(problems[i], fragment) {
				t.Errorf("%q does not say %q", problems[i], fragment)
			}
		}
	}
	expect("Policy "+prefix+"-deployment-rights does not exist", "-own-account does not exist", "-session-rights does")
	var bindings []*admissionregistrationv1.ValidatingAdmissionPolicyBinding
	for _, suffix := range policySuffixes {
		policy, binding := newPolicy(prefix + suffix)
		wait.ForTest(t, patience, func(ctx context.Context) error { return cluster.Client.Create(ctx, policy) })
		wait.ForTest(t, patience, func(ctx context.Context) error { return cluster.Client.Create(ctx, binding) })
		bindings = append(bindings, binding)
	}
	expect()
	p.start()
	wait.ForTest(t, patience, p.shows(1))

	bindings[2].Spec.ValidationActions = []admissionregistrationv1.ValidationAction{admissionregistrationv1.Audit}
	if err := cluster.Client.Update(t.Context(), bindings[2]); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Client.Delete(t.Context(), bindings[0]); err != nil {
		t.Fatal(err)
	}
	expect("PolicyBinding "+prefix+"-deployment-rights does not exist", prefix+"-session-rights does not deny")
	p.clock.Step(policyInterval)
	wait.ForTest(t, patience, p.shows(0))
}

func TestNoPoliciesAreInstalled(t *testing.T) {
	in := newInstallation(t)
	p := newPolicyTest(t, "")
	if problems := p.check.findProblems(t.Context()); len(problems) != 1 ||
		!strings.Contains(problems[0], "no policies are installed") {
		t.Errorf("problems %q", problems)
	}
	replica := in.startReplica()
	in.eventually(func(context.Context) error {
		if out := replica.Output(); !strings.Contains(out, "no policies are installed") {
			return fmt.Errorf("the log does not say it:\n%s", out)
		}
		return nil
	})
}

// newPolicy is a policy about nothing, with its binding.
func newPolicy(name string) (
	*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding,
) {
	meta := metav1.ObjectMeta{Name: name}
	rule := admissionregistrationv1.RuleWithOperations{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{"none.example.com"}, APIVersions: []string{"v1"}, Resources: []string{"nothing"},
		},
	}
	return &admissionregistrationv1.ValidatingAdmissionPolicy{
			ObjectMeta: meta,
			Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
				MatchConstraints: &admissionregistrationv1.MatchResources{
					ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: rule}},
				},
				Validations: []admissionregistrationv1.Validation{{Expression: "true"}},
			},
		}, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
			ObjectMeta: meta,
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
				PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
			},
		}
}
