// SPDX-License-Identifier: Apache-2.0

package metricsauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const (
	// userTTL is how long it is remembered whose a token is.
	userTTL = time.Minute
	// allowedTTL and deniedTTL are how long it is remembered what a user may do.
	allowedTTL = 5 * time.Minute
	deniedTTL  = 30 * time.Second
	// maxAnswers is the number of answers that are remembered of each kind. The least recently used ones make room.
	maxAnswers = 128
	// reviewTimeout limits one question.
	reviewTimeout = 10 * time.Second
)

// reviewer asks the API server whose a token is and what a user may do. It is safe for concurrent use: two requests at
// the same time may ask the same question twice.
type reviewer struct {
	api client.Client
	// users have an authenticationv1.UserInfo for each hash of a token.
	users *cache.LRUExpireCache
	// decisions have a bool for each hash of what is asked.
	decisions *cache.LRUExpireCache
}

// hash is the key of an answer.
type hash [sha256.Size]byte

// newReviewer returns a reviewer that sends no request to find out where the API server serves reviews.
func newReviewer(config *rest.Config, httpClient *http.Client, c clock.PassiveClock) (*reviewer, error) {
	scheme, mapper := runtime.NewScheme(), meta.NewDefaultRESTMapper(nil)
	err := errors.Join(authenticationv1.AddToScheme(scheme), authorizationv1.AddToScheme(scheme))
	if err != nil {
		return nil, fmt.Errorf("register the kinds of reviews: %w", err)
	}
	mapper.Add(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), meta.RESTScopeRoot)
	mapper.Add(authorizationv1.SchemeGroupVersion.WithKind("SubjectAccessReview"), meta.RESTScopeRoot)
	api, err := client.New(config, client.Options{HTTPClient: httpClient, Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("make a client for reviews: %w", err)
	}
	return &reviewer{
		api:       api,
		users:     cache.NewLRUExpireCacheWithClock(maxAnswers, c),
		decisions: cache.NewLRUExpireCacheWithClock(maxAnswers, c),
	}, nil
}

// caller is what the API server says about a token.
type caller struct {
	// known is false for a token that it refuses.
	known bool
	info  authenticationv1.UserInfo
	// problem is why the token is refused, if the API server says so. It may repeat the token.
	problem string
}

// authenticate returns whose a token is. A refusal is not remembered, so that tokens that are made up do not displace
// the others. An error, which may repeat the token, means that the API server has not answered.
func (r *reviewer) authenticate(ctx context.Context, token redact.Secret) (caller, error) {
	key := hash(sha256.Sum256([]byte(token.Reveal())))
	if found, ok := r.users.Get(key); ok {
		if info, ok := found.(authenticationv1.UserInfo); ok {
			return caller{known: true, info: info}, nil
		}
	}
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token.Reveal()}}
	if err := r.create(ctx, review); err != nil {
		return caller{}, fmt.Errorf("create a TokenReview: %w", err)
	}
	if !review.Status.Authenticated {
		return caller{problem: review.Status.Error}, nil
	}
	r.users.Add(key, review.Status.User, userTTL)
	return caller{known: true, info: review.Status.User}, nil
}

// authorize reports whether a user may use a verb on a path that is no resource. An error means that the API server
// has not answered.
func (r *reviewer) authorize(
	ctx context.Context, user authenticationv1.UserInfo, path, verb string,
) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extraOf(user),
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: verb},
	}}
	question, err := json.Marshal(review.Spec)
	if err != nil {
		return false, fmt.Errorf("encode a SubjectAccessReview: %w", err)
	}
	key := hash(sha256.Sum256(question))
	if found, ok := r.decisions.Get(key); ok {
		return found == true, nil
	}
	if err := r.create(ctx, review); err != nil {
		return false, fmt.Errorf("create a SubjectAccessReview: %w", err)
	}
	allowed, ttl := review.Status.Allowed && !review.Status.Denied, deniedTTL
	if allowed {
		ttl = allowedTTL
	}
	r.decisions.Add(key, allowed, ttl)
	return allowed, nil
}

// create sends a review, which then has the answer.
func (r *reviewer) create(ctx context.Context, review client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	return r.api.Create(ctx, review)
}

// extraOf returns what else is known of a user.
func extraOf(user authenticationv1.UserInfo) map[string]authorizationv1.ExtraValue {
	if len(user.Extra) == 0 {
		return nil
	}
	extra := make(map[string]authorizationv1.ExtraValue, len(user.Extra))
	for key, values := range user.Extra {
		extra[key] = authorizationv1.ExtraValue(values)
	}
	return extra
}
