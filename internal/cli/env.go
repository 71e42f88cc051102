// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

const envHelp = `Print what a shell needs to try the Coder CLI with a session: CODER_URL and CODER_SESSION_TOKEN, or
a line that unsets the latter where the session has no token.

This shows the credential. It is therefore printed to a terminal only, or to what a person at a
terminal has read it, such as eval "$(kubectl coder env SESSION)". For files, and in jobs, write
--force.
What else the server may want, headers and a client certificate, is not covered: it is named on
standard error.

You need the right to get the session's Secret. The token ends, or is replaced, like any other of
the session: print it again then. Programs mount the Secret instead.

Exit codes:
  0    it is printed
  1    standard output is a file or that of a job and --force is missing, or something unexpected
       happened
  2    the session has no credential
  4    the session or its Secret was not found, or the API server cannot be reached or does not
       allow it`

const envExamples = `  # Use a session in this shell
  eval "$(kubectl coder env ci -n builds)"
  coder list`

// newEnv returns the env command.
func newEnv(c *connector) *cobra.Command {
	var force bool
	command := &cobra.Command{
		Use:               "env SESSION",
		Short:             "Print a session's credential for a shell",
		Long:              envHelp,
		Example:           envExamples,
		GroupID:           groupSessions,
		ValidArgsFunction: completeOne(c, sessionKind, completionOfSession),
		Args:              requireOneName("session"),
		RunE: func(command *cobra.Command, args []string) error {
			if !c.env.Terminal && !c.env.Piped && !force {
				return newExitError(ExitFailed, "standard output is a file or that of a job, and a credential does not "+
					"belong into files or logs: write --force if you mean it")
			}
			cluster, err := c.connect()
			if err != nil {
				return err
			}
			return c.printEnv(command.Context(), cluster, args[0])
		},
	}
	command.Flags().BoolVar(&force, "force", false, "print it even into a file or the log of a job")
	return command
}

// printEnv reads a session and its Secret, and prints the shell commands.
func (c *connector) printEnv(ctx context.Context, cluster *cluster, name string) error {
	session := &v1alpha1.CoderSession{}
	switch err := cluster.client.Get(ctx, types.NamespacedName{Namespace: cluster.namespace, Name: name}, session); {
	case apierrors.IsNotFound(err):
		return notFoundError(sessionKind.noun, cluster.namespace, name)
	case err != nil:
		return readError(sessionKind.noun, err)
	}
	if session.Spec.PerPod != nil {
		return newExitError(ExitBlocked, "session %s gives each pod a token of its own, and has no Secret: name the session "+
			"of a pod, which kubectl get codersessions -n %s -l %s=%s lists", fullName(session), session.Namespace,
			v1alpha1.LabelParent, session.Name)
	}
	secret := &corev1.Secret{}
	switch err := cluster.client.Get(
		ctx, types.NamespacedName{Namespace: session.Namespace, Name: session.SecretName()}, secret); {
	case apierrors.IsNotFound(err):
		return newExitError(ExitBlocked, "session %s has no Secret: it %s", fullName(session),
			describeSessionStatus(session))
	case err != nil:
		return readError(fmt.Sprintf("Secret %s/%s", session.Namespace, session.SecretName()), err)
	case !metav1.IsControlledBy(secret, session):
		return newExitError(ExitBlocked, "Secret %s does not belong to session %s, which %s", fullName(secret),
			fullName(session), describeSessionStatus(session))
	}
	lines, err := exportLines(secret)
	if err != nil {
		return err
	}
	if ready := readyCondition(session); ready == nil || ready.Status != metav1.ConditionTrue {
		c.out.printErrf("The credential may not work: session %s %s", fullName(session),
			describeSessionStatus(session))
	}
	for _, line := range c.uncoveredSettings(ctx, cluster, session, secret) {
		c.out.printErrf("%s", line)
	}
	return c.out.writeOut(strings.Join(lines, "\n") + "\n")
}

// exportLines returns the shell commands that set or unset the variables.
func exportLines(secret *corev1.Secret) ([]string, error) {
	var lines []string
	for _, key := range []string{"CODER_URL", "CODER_SESSION_TOKEN"} {
		value, found := secret.Data[key]
		switch {
		case !found && key == "CODER_URL":
			return nil, newExitError(ExitBlocked, "Secret %s has no key %s: the operator restores it when it runs",
				fullName(secret), key)
		case !found:
			// A token of another server that is still set must not be sent to this one.
			lines = append(lines, "unset "+key)
		case !isPrintable(value):
			return nil, newExitError(ExitBlocked,
				"Secret %s, key %s: the value is no URL or token: the operator restores it when it runs",
				fullName(secret), key)
		default:
			lines = append(lines, "export "+key+"="+quoteForShell(string(value)))
		}
	}
	return lines, nil
}

// isPrintable reports whether a value consists of visible ASCII characters, as every URL and token
// does.
func isPrintable(value []byte) bool {
	for _, b := range value {
		if b <= ' ' || b > '~' {
			return false
		}
	}
	return len(value) > 0
}

// uncoveredSettings returns a line for each setting that the server may require and that the
// variables do not cover, and for what the Coder CLI cannot do with the token, as far as it is known
// (B92).
func (c *connector) uncoveredSettings(
	ctx context.Context, cluster *cluster, session *v1alpha1.CoderSession, secret *corev1.Secret,
) []string {
	var lines []string
	has := func(key string) bool { return len(secret.Data[key]) > 0 }
	if has("headers") {
		lines = append(lines, "Not covered: the headers that the server wants. Write key headers of Secret "+
			fullName(secret)+
			" to a file that only you can read, and set CODER_HEADER_COMMAND='cat FILE'. The CLI runs it once for each "+
			"command.")
	}
	certificate := has(corev1.TLSCertKey)
	if certificate || has("ca.crt") {
		lines = append(lines, "Not covered: the client certificate or CA. Write keys tls.crt, tls.key and ca.crt of "+
			"Secret "+fullName(secret)+
			" to files that only you can read, and set CODER_CLIENT_TLS_CERT_FILE, CODER_CLIENT_TLS_KEY_FILE and "+
			"CODER_CLIENT_TLS_CA_FILE. Coder CLIs before 2.33 ignore these variables without a word.")
	}
	if line := scopedTokenLine(session); line != "" {
		lines = append(lines, line)
	}
	deployment := &v1alpha1.CoderDeployment{}
	key := session.DeploymentKey()
	if err := cluster.client.Get(ctx, client.ObjectKey(key), deployment); err != nil {
		return append(lines, fmt.Sprintf(
			"Not known: whether the server wants a client certificate. Deployment %s cannot be read: %v", key, err))
	}
	if tls := deployment.Spec.TLS; tls != nil && tls.ClientCertificateSecretName != "" && !certificate {
		lines = append(lines, "Not covered: the server may want a client certificate, and the session has none: set "+
			"its secret.includeClientCertificate.")
	}
	return lines
}

// scopedTokenLine says which commands of the Coder CLI fail because the scopes of the token do not let
// it read its own user. Empty: they do, or its scopes are not known.
func scopedTokenLine(session *v1alpha1.CoderSession) string {
	token := session.Status.Token
	reads := func(scope string) bool { return slices.Contains([]string{"coder:all", "user:read", "user:*"}, scope) }
	if token == nil || len(token.Scopes) == 0 || slices.ContainsFunc(token.Scopes, reads) {
		return ""
	}
	return "The token has the scopes " + strings.Join(token.Scopes, ", ") + ": coder whoami and coder login fail, " +
		"because they need user:read (servers from 2.32)."
}
