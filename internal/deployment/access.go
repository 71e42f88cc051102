// SPDX-License-Identifier: Apache-2.0

package deployment

import (
	"fmt"
	"path"
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
	// Labels of it; where LabelsKnown is false only its name is known.
	Labels      map[string]string
	LabelsKnown bool
}

// nameLabel is the label that every namespace has and that needs no reading.
const nameLabel = "kubernetes.io/metadata.name"

// DenialReason says why a session may not use a deployment; it is empty where it may.
// Sessions in the deployment's own namespace always may. Elsewhere one rule must
// allow all that the session asks for (B31).
func DenialReason(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession, ns Namespace) string {
	if s.Namespace == d.Namespace {
		return ""
	}
	nearest := ""
	for i, rule := range d.Spec.Access {
		matches, problem := selects(rule.NamespaceSelector, ns)
		if problem != "" {
			nearest = fmt.Sprintf("access rule %d: %s", i+1, problem)
			continue
		}
		if !matches {
			continue
		}
		refusal := refuses(d, rule, s)
		if refusal == "" {
			return ""
		}
		nearest = fmt.Sprintf("access rule %d: %s", i+1, refusal)
	}
	if nearest == "" {
		nearest = fmt.Sprintf("no access rule selects namespace %q", ns.Name)
	}
	return fmt.Sprintf("CoderDeployment %q in namespace %q does not allow this session: %s", d.Name, d.Namespace, nearest)
}

// selects reports whether a selector matches a namespace, or why nobody can
// tell.
func selects(selector metav1.LabelSelector, ns Namespace) (bool, string) {
	compiled, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return false, "its namespaceSelector is not valid: " + err.Error()
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
			return false, fmt.Sprintf("its namespaceSelector needs the label %q, and an operator that runs with --watch-namespaces can only match %s", r.Key(), nameLabel)
		}
	}
	return compiled.Matches(known), ""
}

// refuses says what of a session's wishes a rule does not allow; empty: nothing.
func refuses(d *v1alpha1.CoderDeployment, rule v1alpha1.AccessRule, s *v1alpha1.CoderSession) string {
	method := s.Spec.Auth.Method()
	if !slices.Contains(rule.Auth, method) {
		return fmt.Sprintf("auth method %s is not among %s", method, join(rule.Auth))
	}
	if s.Spec.Secret != nil && s.Spec.Secret.IncludeClientCertificate && !rule.ShareClientCertificate {
		return "the client certificate is not shared: remove secret.includeClientCertificate"
	}
	switch method {
	case v1alpha1.AuthMint:
		return refusesMint(rule, s.Spec.Auth.Mint)
	case v1alpha1.AuthOAuth:
		return refusesScopes(rule, OAuthScopes(d, s))
	default:
		return ""
	}
}

// OAuthScopes are those that a session with auth.oauth asks for: its own, else the
// deployment's; none: what the server gives to who asks for nothing.
func OAuthScopes(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession) []v1alpha1.Scope {
	switch {
	case s.Spec.Auth.OAuth != nil && len(s.Spec.Auth.OAuth.Scopes) > 0:
		return s.Spec.Auth.OAuth.Scopes
	case d.Spec.OAuth != nil:
		return d.Spec.OAuth.Scopes
	}
	return nil
}

// GrantDenialReason says why a grant may not be used that was given to a session before: its
// scopes are above the ceiling, whatever the session asks for by now. It is empty where
// it may, and where nobody knows the scopes (nil).
func GrantDenialReason(d *v1alpha1.CoderDeployment, s *v1alpha1.CoderSession, ns Namespace, granted []v1alpha1.Scope) string {
	if s.Spec.Auth.OAuth == nil || granted == nil {
		return ""
	}
	as := s.DeepCopy()
	as.Spec.Auth.OAuth.Scopes = granted
	return DenialReason(d, as, ns)
}

// defaultLifetime of a minted token where the spec names none, as internal/session
// has it.
const defaultLifetime = 24 * time.Hour

func refusesMint(rule v1alpha1.AccessRule, mint *v1alpha1.MintAuth) string {
	allowed := slices.ContainsFunc(rule.Users, func(glob string) bool {
		matched, err := path.Match(glob, mint.User)
		return err == nil && matched
	})
	if !allowed {
		return fmt.Sprintf("user %q matches none of %s", mint.User, strings.Join(rule.Users, ", "))
	}
	if rule.MaxLifetime != nil {
		// One that cannot be read allows nothing.
		lifetime, limit := mint.Lifetime.Or(defaultLifetime), rule.MaxLifetime.Or(0)
		if lifetime > limit {
			return fmt.Sprintf("lifetime %s is above the longest that is allowed, %s", lifetime, *rule.MaxLifetime)
		}
	}
	return refusesScopes(rule, mint.Scopes)
}

// refusesScopes holds wishes against a ceiling. No wish is a wish for all.
func refusesScopes(rule v1alpha1.AccessRule, wanted []v1alpha1.Scope) string {
	if len(rule.Scopes) == 0 {
		return ""
	}
	if len(wanted) == 0 {
		wanted = []v1alpha1.Scope{scopeAll}
	}
	for _, scope := range wanted {
		if !slices.ContainsFunc(rule.Scopes, func(ceiling v1alpha1.Scope) bool { return ScopeCovers(ceiling, scope) }) {
			return fmt.Sprintf("scope %s is not covered by %s", scope, join(rule.Scopes))
		}
	}
	return ""
}

// scopeAll is every right that the user has (contract B.6).
const scopeAll v1alpha1.Scope = "coder:all"

// ScopeCovers reports whether a scope includes another: itself, everything for
// coder:all, and x:y for x:*. What the server's composites contain is its own
// affair and is not guessed.
func ScopeCovers(ceiling, scope v1alpha1.Scope) bool {
	if ceiling == scope || ceiling == scopeAll {
		return true
	}
	family, wildcard := strings.CutSuffix(string(ceiling), ":*")
	return wildcard && strings.HasPrefix(string(scope), family+":") && family != "coder"
}

func join[T ~string](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = string(item)
	}
	return strings.Join(texts, ", ")
}
