// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// Namespace is the namespace of a session.
type Namespace struct {
	Name string
	// Labels of the namespace, if LabelsKnown is true. Otherwise only its name is known.
	Labels      map[string]string
	LabelsKnown bool
}

// Server is what access rules depend on besides the session: what the server is known not to do.
type Server struct {
	// IgnoresOAuthScopes is true if tokens of OAuth are not limited to scopes (before 2.38).
	IgnoresOAuthScopes bool
	// IgnoresTokenScopes is true if minted tokens are not limited to scopes (2.24 and older).
	IgnoresTokenScopes bool
}

// Granted is what the server has granted to a session.
type Granted struct {
	// Scopes of the token. Nil: not known.
	Scopes []v1alpha1.Scope
	// Lifetime that the token was made with; zero: not known.
	Lifetime time.Duration
}

// ask is what a session asks for, or has been granted.
type ask struct {
	deployment *v1alpha1.CoderDeployment
	session    *v1alpha1.CoderSession
	server     Server
	// granted counts instead of what the session asks for; nil: nothing has been granted.
	granted *Granted
	// namedOwners is true if the owner of the workspace counts as the user of the session only if the
	// spec says so.
	namedOwners bool
}

// nameLabel is the label that every namespace has, so that it is known without reading the
// namespace.
const nameLabel = "kubernetes.io/metadata.name"

// DenialReason is why a session may not use a deployment; empty: it may. Sessions in the
// deployment's own namespace always may. Elsewhere one rule must allow all that the session asks
// for (B31), and the server must be able to keep that.
func DenialReason(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession, ns Namespace, server Server) string {
	return ask{deployment: d, session: s, server: server}.denialReason(ns)
}

// OwnWorkspaceOnly reports whether a session may be bound to its workspace only if the user of its
// credential, whom the server names, is the owner (B139). The user of a minted token is in the spec, so
// that [DenialReason] says whether it is.
func OwnWorkspaceOnly(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession, ns Namespace, server Server) bool {
	return s.Spec.Workspace != nil && DenialReason(d, s, ns, server) == "" &&
		ask{deployment: d, session: s, server: server, namedOwners: true}.denialReason(ns) != ""
}

// AllowingRule is the name of the access rule that lets a session in, the first one that does; empty: it is
// in the deployment's own namespace. False: it is not let in.
func AllowingRule(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession, ns Namespace) (string, bool) {
	rule, why := ask{deployment: d, session: s}.allowingRule(ns)
	if rule == nil {
		return "", why == ""
	}
	return rule.Name, true
}

// HoldsCredential reports whether a session still has a token or a grant, or tokens to be revoked, as far
// as its status says.
func HoldsCredential(s *v1alpha1.CoderSession) bool {
	return s.Status.Token != nil || len(s.Status.PendingRevocations) > 0
}

// denialReason tells the session's author about what they ask for, and nothing about rules that do not
// select their namespace or about the users that a rule names.
func (a ask) denialReason(ns Namespace) string {
	_, why := a.allowingRule(ns)
	if why == "" {
		return ""
	}
	remedy := "ask for less, or have its spec.access changed"
	if why == notSelected(ns) {
		remedy = "have a rule for the namespace added to its spec.access"
	}
	return fmt.Sprintf("CoderDeployment %q in namespace %q does not allow this session: %s; %s",
		a.deployment.Name, a.deployment.Namespace, why, remedy)
}

// allowingRule is the first rule that allows the session, or why none does. It is nil without a reason
// in the deployment's own namespace.
func (a ask) allowingRule(ns Namespace) (*v1alpha1.AccessRule, string) {
	d := a.deployment
	if a.session.Namespace == d.Namespace {
		return nil, ""
	}
	refused, unknown := "", ""
	for i := range d.Spec.Access {
		rule := &d.Spec.Access[i]
		matches, problem := matchNamespace(rule.NamespaceSelector, ns)
		unknown = cmp.Or(problem, unknown)
		if !matches {
			continue
		}
		if refused = a.checkRule(*rule); refused == "" {
			return rule, ""
		}
	}
	return nil, cmp.Or(refused, unknown, notSelected(ns))
}

// notSelected is why a namespace that no rule selects is not let in.
func notSelected(ns Namespace) string {
	return fmt.Sprintf("no access rule selects namespace %q", ns.Name)
}

// matchNamespace reports whether a selector matches a namespace, or why that is not known, without
// telling what the selector is.
func matchNamespace(selector metav1.LabelSelector, ns Namespace) (bool, string) {
	compiled, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return false, "an access rule has a namespaceSelector that is not valid"
	}
	known := labels.Set{nameLabel: ns.Name}
	if ns.LabelsKnown {
		for key, value := range ns.Labels {
			known[key] = value
		}
		return compiled.Matches(known), ""
	}
	requirements, _ := compiled.Requirements()
	for _, r := range requirements {
		if r.Key() != nameLabel {
			return false, fmt.Sprintf("an access rule selects by labels, "+
				"and an operator that runs with --watch-namespaces can only match %s", nameLabel)
		}
	}
	return compiled.Matches(known), ""
}

// checkRule returns what a rule does not allow the session; empty: it allows the session.
func (a ask) checkRule(rule v1alpha1.AccessRule) string {
	s := a.session
	method := s.Spec.Auth.Method()
	if !slices.Contains(rule.Auth, method) {
		return fmt.Sprintf("auth method %s is not allowed", method)
	}
	if s.Spec.Secret != nil && s.Spec.Secret.IncludeClientCertificate && !rule.ShareClientCertificate {
		return "the client certificate is not shared (secret.includeClientCertificate)"
	}
	return cmp.Or(a.checkMethod(method, rule), a.checkWorkspace(rule))
}

// checkWorkspace returns why the session may not be bound to its workspace, whose state it tells: the
// owner is neither the session's user nor named by the rule (B139).
func (a ask) checkWorkspace(rule v1alpha1.AccessRule) string {
	workspace, mint := a.session.Spec.Workspace, a.session.Spec.Auth.Mint
	if workspace == nil || matchesUser(rule.WorkspaceOwners, workspace.Owner) ||
		mint != nil && strings.EqualFold(mint.User, workspace.Owner) || mint == nil && !a.namedOwners {
		return ""
	}
	return fmt.Sprintf("workspace owner %q is not the user of the session", workspace.Owner)
}

// matchesUser reports whether one of the globs matches a username.
func matchesUser(globs []string, user string) bool {
	return slices.ContainsFunc(globs, func(glob string) bool {
		return matchesGlob(strings.ToLower(glob), strings.ToLower(user))
	})
}

// matchesGlob reports whether a glob, in which * is any text and ? is any character, matches a name of
// ASCII characters. Nothing else in it is special. The time is bounded by the product of the lengths.
func matchesGlob(glob, name string) bool {
	g, n, star, tried := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, tried = g, n
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == name[n]):
			g, n = g+1, n+1
		case star >= 0: // the last * takes one more character
			tried++
			g, n = star+1, tried
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}

// checkMethod returns what a rule that names an auth method does not allow of it; empty: it allows
// what the session asks for.
func (a ask) checkMethod(method v1alpha1.AuthMethod, rule v1alpha1.AccessRule) string {
	switch method {
	case v1alpha1.AuthMint:
		mint := a.session.Spec.Auth.Mint
		return cmp.Or(a.checkMint(rule, mint), a.checkScopes(rule, mint.Scopes, a.server.IgnoresTokenScopes,
			"of minted tokens, as Coder up to 2.24"))
	case v1alpha1.AuthOAuth:
		return a.checkScopes(rule, OAuthScopes(a.deployment, a.session), a.server.IgnoresOAuthScopes,
			"of OAuth, as Coder before 2.38")
	case v1alpha1.AuthToken, v1alpha1.AuthCertificate:
		return ""
	default:
		return fmt.Sprintf("this version of the operator does not know what auth method %s may do", method)
	}
}

// OAuthScopes are the scopes that a session with auth.oauth asks for: its own, or the deployment's.
// Empty: the server's default.
func OAuthScopes(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession) []v1alpha1.Scope {
	switch {
	case s.Spec.Auth.OAuth != nil && len(s.Spec.Auth.OAuth.Scopes) > 0:
		return s.Spec.Auth.OAuth.Scopes
	case d.Spec.OAuth != nil:
		return d.Spec.OAuth.Scopes
	}
	return nil
}

// GrantDenialReason is why a session may not use what the server has granted to it: that is above
// the ceiling, whatever the session asks for now (B137). It is empty if the session may use it, and
// as far as it is not known.
func GrantDenialReason(
	d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession, ns Namespace, granted Granted,
) string {
	return ask{deployment: d, session: s, granted: &granted}.denialReason(ns)
}

// defaultLifetime of a minted token if the spec sets none, as in internal/session.
const defaultLifetime = 24 * time.Hour

func (a ask) checkMint(rule v1alpha1.AccessRule, mint *v1alpha1.MintAuth) string {
	if !matchesUser(rule.Users, mint.User) {
		return fmt.Sprintf("tokens for user %q are not allowed", mint.User)
	}
	if rule.MaxLifetime == nil {
		return ""
	}
	// A maximum that cannot be parsed allows nothing.
	lifetime, limit, what := mint.Lifetime.Or(defaultLifetime), rule.MaxLifetime.Or(0), "lifetime"
	if a.granted != nil {
		// The times of an answer are rounded.
		lifetime, what = a.granted.Lifetime.Truncate(time.Minute), "the server granted more than was asked for: lifetime"
	}
	if lifetime > limit {
		return fmt.Sprintf("%s %s exceeds the allowed %s", what, lifetime, *rule.MaxLifetime)
	}
	return ""
}

// checkScopes compares scopes with a rule's ceiling: those that the session asks for, or those that
// it was granted unless the rule leaves it to the session to ask for no more. No scopes are all
// scopes. A server that ignores scopes cannot keep a ceiling.
func (a ask) checkScopes(rule v1alpha1.AccessRule, wanted []v1alpha1.Scope, ignored bool, which string) string {
	if len(rule.Scopes) == 0 {
		return ""
	}
	what := "scope"
	if a.granted != nil && !rule.AllowUnenforcedScopes {
		if a.granted.Scopes == nil {
			return ""
		}
		wanted, what = a.granted.Scopes, "the server granted more than the rule allows: scope"
	}
	if len(wanted) == 0 {
		wanted = []v1alpha1.Scope{scopeAll}
	}
	for _, scope := range wanted {
		covers := func(ceiling v1alpha1.Scope) bool { return ScopeCovers(ceiling, scope) }
		if !slices.ContainsFunc(rule.Scopes, covers) {
			return fmt.Sprintf("%s %s is not covered by %s", what, scope, joinStrings(rule.Scopes))
		}
	}
	if ignored && !rule.AllowUnenforcedScopes && !slices.Contains(rule.Scopes, scopeAll) {
		return fmt.Sprintf("the server ignores scopes %s does, so it cannot limit the token to %s "+
			"(a rule with allowUnenforcedScopes accepts that)", which, joinStrings(rule.Scopes))
	}
	return ""
}

// scopeAll is every right that the user has (contract B.6).
const scopeAll v1alpha1.Scope = "coder:all"

// ScopeCovers reports whether a scope includes another one: coder:all includes every scope, x:*
// includes x:y, and every scope includes itself. What the server's composite scopes contain is not
// guessed.
func ScopeCovers(ceiling, scope v1alpha1.Scope) bool {
	if ceiling == scope || ceiling == scopeAll {
		return true
	}
	family, wildcard := strings.CutSuffix(string(ceiling), ":*")
	return wildcard && strings.HasPrefix(string(scope), family+":") && family != "coder"
}

func joinStrings[T ~string](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = string(item)
	}
	return strings.Join(texts, ", ")
}
