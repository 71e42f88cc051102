// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// loginPort is what one login says to the operator by the annotation of the session: the forwarded
// port that the consent is to return to. Servers before 2.38 accept only the redirect URI that the
// session is registered with, so the operator has to make the URL (B124).
type loginPort struct {
	// asked is set once the annotation was written, refused if that is not allowed, cleared if the one
	// of another login was removed.
	asked, refused, cleared bool
	// formerURL is the URL of that other login, which is not shown. Empty: there is none.
	formerURL string
}

// forwardedURL returns the authorization URL for the forwarded port; nil: the operator has yet to make
// it.
func (l *consent) forwardedURL(ctx context.Context, s *v1alpha1.CoderSession, u *url.URL) (*url.URL, error) {
	redirect := loopbackURI(l.port)
	switch {
	case u.Query().Get(redirectURI) == redirect:
		return u, nil
	case l.loginPort.refused:
		return withRedirectURI(u, redirect), nil
	case l.loginPort.asked:
		return nil, nil
	}
	l.loginPort.asked = true
	err := l.setLoginPort(ctx, s, l.port)
	if apierrors.IsForbidden(err) {
		l.loginPort.asked, l.loginPort.refused = false, true
		l.out.printErrf("You may not patch the session, so the operator cannot prepare the login: Coder servers before " +
			"2.38 will refuse the URL.")
		return withRedirectURI(u, redirect), nil
	}
	if err != nil {
		return nil, writeError(sessionKind.noun, err)
	}
	l.out.printErrf("Waiting for a URL that returns to port %d of this machine.", l.port)
	return nil, nil
}

// clearFormerLogin removes what a login by port-forward that was cut off has left, and reports whether
// the operator has yet to make another URL for that. Without a public URL the operator itself uses the
// usual port, so that the URL may stay as it is.
func (l *consent) clearFormerLogin(ctx context.Context, s *v1alpha1.CoderSession) bool {
	if s.LoginPort() == 0 || l.loginPort.cleared {
		return l.loginPort.formerURL == s.Status.Authorization.URL
	}
	l.loginPort.cleared = true
	if err := l.setLoginPort(ctx, s, 0); err != nil {
		l.out.printErrf("The URL is for a login with --port-forward, which may have ended: %v", err)
		return false
	}
	if usual, err := loopbackPort(); err != nil || s.LoginPort() == usual {
		return false
	}
	l.loginPort.formerURL = s.Status.Authorization.URL
	l.out.printErrf("Waiting for a new URL: the last one was for a login with --port-forward.")
	return true
}

// endLoginTimeout limits the removal of the annotation at the end of a login.
const endLoginTimeout = 5 * time.Second

// endLogin removes the annotation, also if the login was interrupted.
func (l *consent) endLogin(ctx context.Context) {
	if !l.loginPort.asked || l.last == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endLoginTimeout)
	defer cancel()
	if err := l.setLoginPort(ctx, l.last, 0); client.IgnoreNotFound(err) != nil && !isUIDConflict(err) {
		l.out.printErrf("The annotation %s of session %s could not be removed: %v", v1alpha1.AnnotationLoginPort,
			fullName(l.last), err)
	}
}

// setLoginPort writes the annotation; zero removes it. The UID is a precondition, so that a session
// that was recreated with the same name is not changed.
func (l *consent) setLoginPort(ctx context.Context, s *v1alpha1.CoderSession, port int) error {
	var value any
	if port > 0 {
		value = strconv.Itoa(port)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": s.UID, "annotations": map[string]any{v1alpha1.AnnotationLoginPort: value},
	}})
	if err != nil {
		return err
	}
	object := &v1alpha1.CoderSession{}
	object.Namespace, object.Name = s.Namespace, s.Name
	return l.cluster.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), fieldOwner)
}
