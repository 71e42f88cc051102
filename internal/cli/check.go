// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const checkHelp = `Look for what is wrong with the installation, and say what to do about it: whether the CRDs are those
of this version, what you and the operator may do, whether the API server reaches the webhook and
browsers the OAuth callback, whether admission policies are in force, whether clocks agree, whether
two operators work on the same objects, what follows from the version of each Coder server, and what
needs attention in deployments and sessions.

Nothing is changed: the webhook is tried with the dry run of a pod. The only request that does not go
to the API server is one to the URL of the OAuth callback, as a browser would send it. What you may
not read is named as not checked; a cluster's administrator may read all of it.

Exit codes:
  0    nothing needs attention
  1    there is a problem or a warning
  2    none was found, but a part could not be checked, or the command line is wrong
  130  interrupted with Ctrl-C`

const checkExamples = `  # After an installation or an upgrade
  kubectl coder check -A

  # For the sessions of one namespace, with the operator in another than usual
  kubectl coder check -n builds --operator-namespace platform`

// checkOptions are the flags of check.
type checkOptions struct {
	all               bool
	operatorNamespace string
}

// newCheck returns the check command.
func newCheck(c *connector) *cobra.Command {
	var o checkOptions
	command := &cobra.Command{
		Use:               "check",
		Short:             "Find what is wrong with the installation",
		Long:              checkHelp,
		Example:           checkExamples,
		GroupID:           groupSetUp,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return newExitError(ExitIncomplete, "check takes no arguments: name a namespace with -n")
			}
			return nil
		},
		RunE: func(command *cobra.Command, _ []string) error { return c.check(command.Context(), o) },
	}
	command.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return newExitError(ExitIncomplete, "%w", err) })
	addAllNamespaces(command.Flags(), &o.all)
	addOperatorNamespace(command.Flags(), &o.operatorNamespace, "namespace of the operator")
	return command
}

// finding is what one check has found out.
type finding struct {
	level healthLevel // inactive: it could not be checked
	topic string
	// message says what was found, remedy what to do about it. The remedy may be empty.
	message, remedy string
}

// checkup is one run of check. It is not safe for concurrent use.
type checkup struct {
	*connector
	cluster *cluster
	options checkOptions
	// operator is the installation that is checked; nil: none was found.
	operator *installation
	// snapshot has the deployments and sessions.
	snapshot *clusterSnapshot
	// apiServerTime is what time the API server said it is. Zero: it did not say.
	apiServerTime time.Time
	findings      []finding
}

// check runs all checks, prints what they found, and returns the exit code as an error.
func (c *connector) check(ctx context.Context, o checkOptions) error {
	cluster, err := c.connect()
	if err != nil {
		return newExitError(ExitIncomplete, "%w", err)
	}
	run := &checkup{connector: c, cluster: cluster, options: o, snapshot: &clusterSnapshot{}}
	for _, step := range []func(context.Context){
		run.checkAPI, run.checkOperators, run.checkRights, run.checkOperatorRights, run.checkWebhook, run.checkPolicies,
		run.listObjects, run.checkCallback, run.checkDeployments, run.checkSessions,
	} {
		step(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if err := c.out.writeOut(renderFindings(run.findings, painter{c.env.Colours})); err != nil {
		return newExitError(ExitIncomplete, "%w", err)
	}
	worst, incomplete := healthy, false
	for _, f := range run.findings {
		worst, incomplete = max(worst, f.level), incomplete || f.level == inactive
	}
	switch {
	case worst > inactive:
		return silentExit(ExitAttention)
	case incomplete:
		return silentExit(ExitIncomplete)
	}
	return nil
}

// The four kinds of findings.
func (r *checkup) ok(topic, format string, args ...any) {
	r.findings = append(r.findings, finding{healthy, topic, fmt.Sprintf(format, args...), ""})
}

func (r *checkup) notChecked(topic, format string, args ...any) {
	r.findings = append(r.findings, finding{inactive, topic, fmt.Sprintf(format, args...), ""})
}

func (r *checkup) warn(topic, message, remedy string) {
	r.findings = append(r.findings, finding{degraded, topic, message, remedy})
}

func (r *checkup) problem(topic, message, remedy string) {
	r.findings = append(r.findings, finding{unhealthy, topic, message, remedy})
}

// levelWords are what a finding begins with.
var levelWords = map[healthLevel]string{
	healthy: "ok", inactive: "not checked", degraded: "warning", unhealthy: "problem",
}

// renderFindings returns the findings as text.
func renderFindings(findings []finding, paint painter) string {
	width := len(levelWords[inactive]) + 2
	var text strings.Builder
	total := map[healthLevel]int{}
	for _, f := range findings {
		total[f.level]++
		word := levelWords[f.level]
		fmt.Fprintf(&text, "%s%s%s: %s\n", paint.colourFor(f.level, word), strings.Repeat(" ", width-len(word)), f.topic,
			sanitize(oneLine(f.message)))
		if f.remedy != "" {
			fmt.Fprintf(&text, "%s→ %s\n", strings.Repeat(" ", width), sanitize(oneLine(f.remedy)))
		}
	}
	var parts []string
	for _, level := range []healthLevel{unhealthy, degraded} {
		if total[level] > 0 {
			parts = append(parts, formatCount(total[level], levelWords[level]))
		}
	}
	if total[inactive] > 0 {
		parts = append(parts, fmt.Sprintf("%d not checked", total[inactive]))
	}
	parts = append(parts, fmt.Sprintf("%d ok", total[healthy]))
	return text.String() + "\n" + strings.Join(parts, ", ") + ".\n"
}

// namespace is the one whose objects are checked; empty: all.
func (r *checkup) namespace() string {
	if r.options.all {
		return ""
	}
	return r.cluster.namespace
}

// sessionsWithOAuth counts the sessions that are checked and need a person's consent.
func (r *checkup) sessionsWithOAuth() (n int) {
	for _, session := range r.snapshot.sessions {
		checked := r.namespace() == "" || session.Namespace == r.namespace()
		if checked && session.Spec.Auth.Method() == v1alpha1.AuthOAuth {
			n++
		}
	}
	return n
}
