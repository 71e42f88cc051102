// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const verifyHelp = `Ask the operator to verify a deployment now: to read all that its spec names, and to ask the server who it is there. Wait for
the outcome.

Each change of a condition is told on standard error, the outcome on standard output. You need the right to patch the
deployment. When the command ends, the request stands.

Exit codes:
  0    the server accepts the settings
  1    the command line is wrong, or something unexpected happened
  2    it does not, or could not be asked: what to do about it is said
  3    there was no outcome within --timeout
  4    the deployment was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const verifyExamples = `  # The server is up again: do not wait for the next try
  kubectl coder verify prod -n coder`

// newVerify makes the command verify.
func newVerify(c *connector) *cobra.Command {
	command := &cobra.Command{
		Use:               "verify DEPLOYMENT",
		Short:             "Verify a deployment's settings now",
		Long:              verifyHelp,
		Example:           verifyExamples,
		ValidArgsFunction: completeOne(c, deploymentKind, describeDeployment),
	}
	return asking(command, "the outcome", request[*v1alpha1.CoderDeployment]{
		connector: c, kind: deploymentKind,
		annotation: v1alpha1.AnnotationVerifyRequestedAt,
		progress: func(d *v1alpha1.CoderDeployment) ([]metav1.Condition, string) {
			return d.Status.Conditions, d.Status.LastHandledVerifyAt
		},
		useless:  func(*v1alpha1.CoderDeployment) string { return "" },
		standing: deploymentStanding,
	}, c.verified)
}

// verified says what came of it.
func (c *connector) verified(d *v1alpha1.CoderDeployment) error {
	found := judgeDeployment(d, c.env.Clock.Now())
	if found.health >= wrong {
		hint := ""
		if found.remedy != "" {
			hint = "; " + found.remedy
		}
		return exit(ExitUnmendable, "deployment %s %s%s", fullName(d), deploymentStanding(d), hint)
	}
	c.out.println(fmt.Sprintf("Deployment %s is verified: the server %s accepts its settings", fullName(d), d.Spec.URL))
	for _, line := range []string{userLine(d), versionLine(d)} {
		if line != "" {
			c.out.println(line)
		}
	}
	return nil
}

func userLine(d *v1alpha1.CoderDeployment) string {
	if d.Status.User == nil {
		return ""
	}
	return "  User:     " + d.Status.User.Username
}

func versionLine(d *v1alpha1.CoderDeployment) string {
	if d.Status.Version == "" {
		return ""
	}
	return "  Version:  " + d.Status.Version
}

// deploymentStanding says in a sentence without its subject how a deployment is.
func deploymentStanding(d *v1alpha1.CoderDeployment) string {
	ready := deploymentReadiness(d)
	if ready == nil {
		return inASentence(nil, "")
	}
	return inASentence(ready, ready.Message)
}
