// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
	"github.com/coder-session-operator/coder-session-operator/internal/secret"
)

const templateHelp = `Render secret.template of a session with made-up values, as the operator does before it uses the
real ones: what is refused here is refused there, with the same words. With -f nothing is asked of a
cluster; otherwise the session is read from it. No Secret is read.

Exit codes:
  0    all templates could be rendered
  1    the command line or the file is wrong
  2    a template cannot be rendered
  4    the session was not found, or the API server cannot be reached or does not allow it
  130  interrupted with Ctrl-C`

const templateExamples = `  # Before it is applied
  kubectl coder template -f session.yaml

  # With a header that the CoderDeployment sends
  kubectl coder template -f session.yaml --header X-Gateway-Key

  # Of a session in the cluster
  kubectl coder template ci -n builds`

// templateOptions are the flags of template.
type templateOptions struct {
	file, user string
	headers    []string
}

// newTemplate returns the template command.
func newTemplate(c *connector) *cobra.Command {
	var o templateOptions
	command := &cobra.Command{
		Use:               "template [SESSION]",
		Short:             "Try the templates of a session with made-up values",
		Long:              templateHelp,
		Example:           templateExamples,
		GroupID:           groupSetUp,
		ValidArgsFunction: completeOne(c, sessionKind, completionOfSession),
		Args: func(command *cobra.Command, args []string) error {
			if (o.file == "") != (len(args) == 1) {
				return errors.New("name one session, or a file with -f: " + command.CommandPath() + " SESSION")
			}
			return nil
		},
		RunE: func(command *cobra.Command, args []string) error {
			sessions, err := c.templateSessions(command.Context(), o.file, args)
			if err != nil {
				return err
			}
			return c.renderTemplates(sessions, o)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&o.file, "filename", "f", "", "file with CoderSessions, in YAML or JSON")
	flags.StringVar(&o.user, "user", "ada", "name of the user, for .User")
	flags.StringArrayVar(&o.headers, "header", nil, "name of a header that the CoderDeployment sends, for .Headers; "+
		"may be repeated")
	return command
}

// templateSessions returns the sessions of a file, or the one that is named.
func (c *connector) templateSessions(
	ctx context.Context, file string, args []string,
) ([]*v1alpha1.CoderSession, error) {
	if file != "" {
		text, err := os.ReadFile(file) //nolint:gosec // the person names the file
		if err != nil {
			return nil, err
		}
		return parseSessions(text)
	}
	cluster, err := c.connect()
	if err != nil {
		return nil, err
	}
	finishVersionCheck := c.startVersionCheck(ctx, cluster)
	defer finishVersionCheck()
	session := &v1alpha1.CoderSession{}
	err = cluster.client.Get(ctx, types.NamespacedName{Namespace: cluster.namespace, Name: args[0]}, session)
	switch {
	case apierrors.IsNotFound(err):
		return nil, notFoundError(sessionKind.noun, cluster.namespace, args[0])
	case err != nil:
		return nil, readError(sessionKind.noun, err)
	}
	return []*v1alpha1.CoderSession{session}, nil
}

// parseSessions returns the CoderSessions among the documents of a file. Unknown fields are errors.
func parseSessions(text []byte) ([]*v1alpha1.CoderSession, error) {
	var sessions []*v1alpha1.CoderSession
	err := eachDocument(text, func(document []byte) error {
		session := &v1alpha1.CoderSession{}
		if err := yaml.Unmarshal(document, &session.TypeMeta); err != nil || session.Kind != v1alpha1.KindCoderSession {
			return err
		}
		sessions = append(sessions, session)
		return yaml.UnmarshalStrict(document, session)
	})
	if err != nil {
		return nil, err
	}
	if len(sessions) == 0 {
		return nil, errors.New("the file has no CoderSession")
	}
	return sessions, nil
}

// renderTemplates prints what the templates of the sessions make of made-up values.
func (c *connector) renderTemplates(sessions []*v1alpha1.CoderSession, o templateOptions) error {
	var text strings.Builder
	for _, session := range sessions {
		if session.Spec.Secret == nil || len(session.Spec.Secret.Template) == 0 {
			c.out.printErrf("Session %s has no secret.template", session.Name)
			continue
		}
		hasToken := session.Spec.Auth.Method() != v1alpha1.AuthCertificate
		rendered, err := secret.PreviewTemplates(session.Spec.Secret.Template, o.user, o.headers, hasToken)
		if err != nil {
			return newExitError(ExitBlocked, "session %s: %w", session.Name, err)
		}
		for _, key := range slices.Sorted(maps.Keys(rendered)) {
			fmt.Fprintf(&text, "# key %s of Secret %s\n%s\n", sanitize(key), sanitize(session.SecretName()),
				sanitizeLines(string(rendered[key])))
		}
	}
	return c.out.writeOut(text.String())
}

// sanitizeLines sanitizes text of several lines, and ends it with a line break.
func sanitizeLines(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range lines {
		lines[i] = sanitize(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}
