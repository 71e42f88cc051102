// SPDX-License-Identifier: Apache-2.0

package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// limits are what a token was asked to be limited to, and what the server has granted.
type limits struct {
	// askedScopes and askedAllowList are what was asked for. Empty: everything.
	askedScopes, askedAllowList []string
	// scopes and allowList are what the published token has. Nil: not known.
	scopes, allowList []string
	// ignored is true if the server is known to ignore scopes, so that scopes that are not known are
	// all scopes.
	ignored bool
	// askedLifetime and lifetime are of a minted token. Zero: not known.
	askedLifetime, lifetime time.Duration
	// why says of which servers that is known.
	why string
}

// Scopes and allow-list entries that include everything (contract B.6).
const (
	ScopeEverything     = "coder:all"
	AllowListEverything = "*:*"
)

// limits of a minted token are those in the server's token list.
func (mintMethod) limits(o Observation) limits {
	mint := o.Session.Spec.Auth.Mint
	l := limits{
		askedScopes: toStrings(mint.Scopes), askedAllowList: toStrings(mint.AllowList),
		why: "Coder up to 2.24 ignores scopes of minted tokens",
	}
	// A token that was minted for another spec is about to be replaced.
	if listed := o.ServerTokens.Token; listed != nil && o.Secret.Token.IsMintedFor(o.SpecDigest) {
		l.scopes, l.allowList = listed.Scopes, listed.AllowList
		l.askedLifetime, l.lifetime = mint.Lifetime.Or(DefaultLifetime), o.grantedLifetime()
	}
	return l
}

// limits of a grant are those of its access token, as far as the server shows them.
func (oauthMethod) limits(o Observation) limits {
	l := limits{
		askedScopes: o.Grant.WantedScopes, ignored: o.Deployment.IgnoresOAuthScopes,
		why: "Coder before 2.38 ignores scopes of OAuth",
	}
	if !o.Grant.Held || !o.isPublished(o.Grant.ID) {
		l.ignored = false // there is no token yet
		return l
	}
	if l.scopes = o.grantedScopes(); l.scopes == nil && !l.ignored {
		l.scopes = o.Grant.WantedScopes // a server that says nothing has granted them (RFC 6749, section 5.1)
	}
	return l
}

func (checkedCredential) limits(Observation) limits { return limits{} }

// grantedScopes are the scopes of the grant's access token: those of the key itself where the server
// shows it, otherwise those that the server named when it issued the token. Nil: not known.
func (o Observation) grantedScopes() []string {
	check := o.CredentialCheck
	if len(check.Scopes) > 0 && check.Credential == o.Grant.Fingerprint && check.Result.OK() {
		return check.Scopes
	}
	return o.Grant.Scopes
}

// setScopesGrantedCondition says whether the published token is limited to what was asked for
// (B137). As long as that is not known, the condition stays as it is.
func setScopesGrantedCondition(o Observation, p *Plan) {
	l := o.method().limits(o)
	excess := l.excess()
	asked := len(l.askedScopes) > 0 || len(l.askedAllowList) > 0 || excess != ""
	switch {
	case !asked || !o.hasLiveCredential():
		p.ConditionsToRemove = append(p.ConditionsToRemove, v1alpha1.ConditionScopesGranted)
	case excess != "":
		p.setCondition(v1alpha1.ConditionScopesGranted, metav1.ConditionFalse, v1alpha1.ReasonServerIgnoresScopes, excess)
	case l.scopes != nil || l.allowList != nil:
		p.setCondition(v1alpha1.ConditionScopesGranted, metav1.ConditionTrue, v1alpha1.ReasonScopesGranted,
			"the token is limited to what was asked for")
	}
}

// excess says what the token may do beyond what was asked for. Empty: nothing, as far as is known.
func (l limits) excess() string {
	const remedy = "upgrade the server, or use a user that may do no more than this session needs"
	switch {
	case len(l.askedScopes) > 0 && l.scopes == nil && l.ignored:
		return fmt.Sprintf("%s: the token may do all that its user may; %s", l.why, remedy)
	case len(l.askedScopes) > 0 && scopesExceed(l.askedScopes, l.scopes):
		return fmt.Sprintf("the token has the scopes %s, more than %s, which was asked for (%s): %s",
			strings.Join(l.scopes, ", "), strings.Join(l.askedScopes, ", "), l.why, remedy)
	case len(l.askedAllowList) > 0 && allowListExceeds(l.askedAllowList, l.allowList):
		return fmt.Sprintf("the token has the allow-list %s, more than %s, which was asked for: %s",
			strings.Join(l.allowList, ", "), strings.Join(l.askedAllowList, ", "), remedy)
	case l.askedLifetime > 0 && l.lifetime.Truncate(time.Minute) > l.askedLifetime: // times are rounded
		return fmt.Sprintf("the token lives for %s, longer than auth.mint.lifetime (%s): %s",
			l.lifetime.Round(time.Second), l.askedLifetime, remedy)
	}
	return ""
}

// scopesExceed reports whether the granted scopes have one that was not asked for. If a composite
// scope was asked for, whose parts depend on the server, only the scope of everything exceeds it.
func scopesExceed(asked, granted []string) bool {
	composite := slices.ContainsFunc(asked, func(name string) bool { return strings.HasPrefix(name, "coder:") })
	return slices.ContainsFunc(granted, func(name string) bool {
		switch {
		case slices.Contains(asked, name), slices.Contains(asked, ScopeEverything):
			return false
		case name == ScopeEverything:
			return true
		}
		family, _, _ := strings.Cut(name, ":")
		return !composite && !slices.Contains(asked, family+":*")
	})
}

// allowListExceeds reports whether the granted allow-list has a resource that was not asked for.
func allowListExceeds(asked, granted []string) bool {
	return slices.ContainsFunc(granted, func(entry string) bool {
		kind, _, _ := strings.Cut(entry, ":")
		return !slices.Contains(asked, entry) && !slices.Contains(asked, AllowListEverything) &&
			!slices.Contains(asked, kind+":*")
	})
}

func toStrings[T ~string](items []T) []string {
	list := make([]string, len(items))
	for i, item := range items {
		list[i] = string(item)
	}
	return list
}
