// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const verifyHelp = `Ask the operator to verify a deployment now: to read all that its spec names, and to ask the server
who it is there. Wait for the outcome.

Changes of conditions are printed to standard error, the outcome to standard output. You need the
right to patch the deployment. When the command ends, the request stands.

Exit codes:
  0    the server accepts the settings
  1    the command line is wrong, or something unexpected happened
  2    it does not accept them, or could not be reached: the message says what to do about it
  3    there was no outcome within --timeout
  4    the deployment was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const verifyExamples = `  # The server is up again: do not wait for the next try
  kubectl coder verify prod -n coder`

// newVerify returns the verify command.
func newVerify(c *connector) *cobra.Command {
	command := &cobra.Command{
		Use:               "verify DEPLOYMENT",
		Short:             "Verify a deployment's settings now",
		Long:              verifyHelp,
		Example:           verifyExamples,
		ValidArgsFunction: completeOne(c, deploymentKind, completionOfDeployment),
	}
	return addRequest(command, "the outcome", request[*v1alpha1.CoderDeployment]{
		connector: c, kind: deploymentKind,
		annotation: v1alpha1.AnnotationVerifyRequestedAt,
		progress: func(d *v1alpha1.CoderDeployment) ([]metav1.Condition, string) {
			return d.Status.Conditions, d.Status.LastHandledVerifyAt
		},
		blocker:        func(*v1alpha1.CoderDeployment) string { return "" },
		describeStatus: describeDeploymentStatus,
	}, c.reportVerified)
}

// reportVerified prints the result.
func (c *connector) reportVerified(d *v1alpha1.CoderDeployment) error {
	found := assessDeployment(d)
	if found.level >= unhealthy {
		hint := ""
		if found.remedy != "" {
			hint = "; " + found.remedy
		}
		return newExitError(ExitBlocked, "deployment %s %s%s", fullName(d), describeDeploymentStatus(d), hint)
	}
	c.out.printOut(fmt.Sprintf("Deployment %s is verified: the server %s accepts its settings", fullName(d),
		d.Spec.URL))
	for _, line := range []string{userLine(d), versionLine(d)} {
		if line != "" {
			c.out.printOut(line)
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

// describeDeploymentStatus describes a deployment's status as the rest of a sentence after its
// name.
func describeDeploymentStatus(d *v1alpha1.CoderDeployment) string {
	return describeCondition(deploymentReadyCondition(d))
}
