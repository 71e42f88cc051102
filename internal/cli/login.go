// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// loginOptions are the flags of login.
type loginOptions struct {
	noBrowser         bool
	timeout           time.Duration // zero: none
	portForward       bool
	operatorNamespace string
	callbackPort      int // zero: the container port named callback
}

const loginHelp = `Log in to Coder for a session with auth.oauth: wait until the operator has a URL for a person to
consent at, open it in the browser, and wait until the session is ready.

The URL is printed in a line of its own on standard output, everything else on standard error. It is
good for ten minutes, and for one attempt. When it has expired a new one is printed; when the
consent was declined or failed, the new one is opened as well. The session works as the Coder user
who consents.

After the consent Coder sends the browser to the operator. Where the operator has no address that
browsers reach, use --port-forward: it forwards a port of this machine to the operator's pod for as
long as the command runs, and has the operator make a URL that returns there (annotation
credentials.coder.com/login-port of the session). You need the rights to list pods and to create
pods/portforward in the operator's namespace for that, and to patch the session. If the deployment
has an OAuth client of its own (oauth.clientSecretName), that client must have
http://localhost:17965/oauth/callback among its redirect URIs, before Coder 2.38 as the first.

Exit codes:
  0    the session is ready
  1    the command line is wrong, or something unexpected happened
  2    no consent can make the session ready: it has no auth.oauth, or is ConfigInvalid,
       AccessDenied, SecretConflict or Paused
  3    it was not ready within --timeout
  4    the session or the operator's pod was not found, or the API server cannot be reached or does
       not allow it
  130  interrupted with Ctrl-C`

const loginExamples = `  # Consent in the browser
  kubectl coder login ci -n builds

  # The operator has no address that browsers reach
  kubectl coder login ci -n builds --port-forward

  # On a machine without a browser: open the URL elsewhere
  kubectl coder login ci -n builds --no-browser

  # Hand the URL to another program
  kubectl coder login ci --no-browser 2>/dev/null | while read -r url; do notify "$url"; done`

// newLogin returns the login command.
func newLogin(c *connector) *cobra.Command {
	var o loginOptions
	command := &cobra.Command{
		Use:               "login SESSION",
		Short:             "Consent to a session with auth.oauth in the browser",
		Long:              loginHelp,
		Example:           loginExamples,
		GroupID:           groupSessions,
		ValidArgsFunction: completeOne(c, sessionKind, completionOfOAuthSession),
		Args:              requireOneName("session"),
		RunE: func(command *cobra.Command, args []string) error {
			if err := o.validate(command.Flags().Changed); err != nil {
				return err
			}
			cluster, err := c.connect()
			if err != nil {
				return err
			}
			return newConsent(c, cluster, args[0], o).run(command.Context())
		},
	}
	flags := command.Flags()
	flags.BoolVar(&o.noBrowser, "no-browser", false, "print the URL and open no browser")
	addTimeout(flags, &o.timeout, 10*time.Minute, "the session to be ready")
	flags.BoolVar(&o.portForward, "port-forward", false,
		"forward a port of this machine to the operator's pod, and have Coder send the browser there")
	addOperatorNamespace(flags, &o.operatorNamespace, "namespace of the operator's pod, for --port-forward")
	flags.IntVar(&o.callbackPort, "callback-port", 0,
		`port of the operator's pod, for --port-forward; 0: its container port with the name "callback"`)
	return command
}

// validate checks the values of the flags and their combinations.
func (o *loginOptions) validate(changed func(flag string) bool) error {
	if err := checkTimeout(o.timeout); err != nil {
		return err
	}
	if o.callbackPort < 0 || o.callbackPort > 65535 {
		return errors.New("--callback-port: write a port from 1 to 65535, or leave it out")
	}
	for _, name := range []string{"operator-namespace", "callback-port"} {
		if changed(name) && !o.portForward {
			return errors.New("--" + name + " is for --port-forward: write that, too")
		}
	}
	return nil
}
