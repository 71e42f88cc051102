// SPDX-License-Identifier: Apache-2.0

package coder

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unsafe"

	"github.com/coder-session-operator/coder-session-operator/internal/boundedjson"
)

// Limits of a list of tokens (B130).
const (
	maxTokens = 100_000
	// maxKeptTokens is how much memory the tokens that are kept may take, in bytes.
	maxKeptTokens = 16 << 20
	// maxLimits is how much memory Scopes and AllowList of a listed token may take, in bytes: as much as those
	// of a CoderSession may have, 64 scopes of 64 bytes and 64 entries of 128.
	maxLimits = 64*(stringSize+64) + 64*(stringSize+128)
	// stringSize is what a string takes besides its text, in bytes.
	stringSize = int(unsafe.Sizeof(""))
	// leastFreed is which part of what is kept is left out at least, if something has to be. It bounds how
	// often a list is searched for the users with the most tokens.
	leastFreed = 8
	// maxLeftOut is of how many users tokens are left out. Of more, the list is too large as a whole.
	maxLeftOut = 1000
)

// Reserve is asked for memory, in bytes, before more users of a list are kept. It returns false if there is
// none (B130). Nil means unlimited.
type Reserve func(bytes int) bool

// errNoRoom is what a list ends with that does not fit.
var errNoRoom = &boundedjson.LimitError{Message: "the list does not fit into the memory that is left for the " +
	"lists of all CoderDeployments"}

// take reserves memory.
func (r Reserve) take(bytes int) error {
	if r != nil && !r(bytes) {
		return errNoRoom
	}
	return nil
}

// TokenFilter says what is kept of a list of tokens. The zero value keeps all.
type TokenFilter struct {
	// Keep reports whether a token with this ID and name is kept. Nil: all are.
	Keep func(id, name string) bool
	// IsServed reports whether tokens of the user with this ID are left out only after those of all other users.
	// Nil: there is no such user.
	IsServed func(userID string) bool
	// Hold keeps a token and returns its copy, which others may have, too, or false if there is no memory for it
	// (B130). It is called for each token as it comes, and must not keep the argument. Nil: all are copied.
	Hold func(token *Token) (*Token, bool)
	// Release gives back the copies for which isLeftOut returns true: they are left out of the list. It is
	// required with Hold. An error of the list gives nothing back.
	Release func(isLeftOut func(*Token) bool)
	// Reserve is asked for memory for the users whose tokens are left out.
	Reserve Reserve
}

// hold keeps a token.
func (f *TokenFilter) hold(token *Token) (*Token, error) {
	if f.Hold == nil {
		kept := *token
		return &kept, nil
	}
	if kept, fits := f.Hold(token); fits {
		return kept, nil
	}
	return nil, errNoRoom
}

// TokenList is what was kept of a list of tokens.
type TokenList struct {
	// Tokens may be shared with others and must not be modified.
	Tokens []*Token
	// LeftOut are the users whose tokens are not in Tokens, because they took too much memory. Those with the
	// most tokens come first.
	LeftOut []UserLeftOut
}

// UserLeftOut is a user whose tokens a list has left out, all of them.
type UserLeftOut struct {
	UserID, Username string
	// Count is how many tokens they are.
	Count int
}

// Tokens returns the tokens of all users that the caller may see that the filter keeps, including expired
// ones. All others are read and dropped. An empty list is not an error. If the result would take more than 16 MiB,
// or more memory than there is, the tokens of the users with the largest ones are left out. A list of more than
// 100,000 tokens, or for which that is not enough, is Malformed, with TooLarge.
func (c *Client) Tokens(ctx context.Context, filter TokenFilter) (TokenList, error) {
	reader := newTokenReader(filter)
	err := c.doRequest(ctx, request{
		op: OpTokens, method: http.MethodGet, path: []string{"users", me, "keys", "tokens"},
		query: url.Values{"include_all": {"true"}, "include_expired": {"true"}},
		list:  reader.decode,
	})
	if err != nil {
		return TokenList{}, err
	}
	return reader.list(), nil
}

// tokenReader reads a list of tokens.
type tokenReader struct {
	filter  TokenFilter
	tokens  []*Token
	leftOut map[string]*UserLeftOut // by ID
	// size is how much memory the tokens take, also those that others have, in bytes.
	size int
	// body and token are what is being read.
	body  tokenBody
	token Token
}

func newTokenReader(filter TokenFilter) *tokenReader {
	return &tokenReader{filter: filter, tokens: []*Token{}, leftOut: map[string]*UserLeftOut{}}
}

// decode reads the whole list, which is null when empty (contract G.14).
func (l *tokenReader) decode(d *boundedjson.Decoder) error {
	return d.Array(maxTokens, func() error {
		l.body = tokenBody{}
		if err := d.Value(&l.body); err != nil {
			return err
		}
		if problem := l.body.findProblem(); problem != "" {
			return problemError(problem)
		}
		if keep := l.filter.Keep; keep == nil || keep(string(l.body.ID), string(l.body.Name)) {
			l.token = l.body.toToken()
			return l.add(&l.token)
		}
		return nil
	})
}

// add keeps a token. If there is no room for it, the tokens of users are left out until there is.
func (l *tokenReader) add(token *Token) error {
	if token.limitsSize() > maxLimits {
		token.Scopes, token.AllowList, token.LimitsLeftOut = nil, nil, true
	}
	for {
		if user := l.leftOut[token.UserID]; user != nil {
			user.Count++
			return nil
		}
		err := l.keep(token)
		if err == nil || !l.leaveOut() {
			return err
		}
	}
}

// keep keeps a token within the limit of a list.
func (l *tokenReader) keep(token *Token) error {
	size := token.Size()
	if l.size+size > maxKeptTokens {
		return &boundedjson.LimitError{Message: fmt.Sprintf(
			"the tokens with the operator's names are more than the %d MiB that it keeps", maxKeptTokens>>20)}
	}
	kept, err := l.filter.hold(token)
	if err != nil {
		return err
	}
	l.tokens = append(l.tokens, kept)
	l.size += size
	return nil
}

// leaveOut leaves out the tokens of the users that take most, those of served users last. It returns false if
// there are no tokens, or too many users.
func (l *tokenReader) leaveOut() bool {
	sizes := map[string]int{}
	for _, token := range l.tokens {
		sizes[token.UserID] += token.Size()
	}
	served := map[string]int{} // 1 for those that come last
	for id := range sizes {
		if l.filter.IsServed != nil && l.filter.IsServed(id) {
			served[id] = 1
		}
	}
	ids := slices.SortedFunc(maps.Keys(sizes), func(a, b string) int {
		return cmp.Or(cmp.Compare(served[a], served[b]), cmp.Compare(sizes[b], sizes[a]), strings.Compare(a, b))
	})
	freed := 0
	for _, id := range ids {
		if freed >= max(1, l.size/leastFreed) || freed > 0 && served[id] > 0 {
			break
		}
		freed += sizes[id]
		l.leftOut[id] = &UserLeftOut{UserID: id}
	}
	return freed > 0 && len(l.leftOut) <= maxLeftOut && l.drop()
}

// drop gives back the tokens of the users that are left out. It returns false if there is no memory for the users.
func (l *tokenReader) drop() bool {
	bytes := 0
	isLeftOut := func(t *Token) bool { return l.leftOut[t.UserID] != nil }
	l.tokens = slices.DeleteFunc(l.tokens, func(t *Token) bool {
		user := l.leftOut[t.UserID]
		if user == nil {
			return false
		}
		if user.Count == 0 {
			user.Username = t.Username
			bytes += user.Size()
		}
		user.Count++
		l.size -= t.Size()
		return true
	})
	if l.filter.Release != nil {
		l.filter.Release(isLeftOut)
	}
	return l.filter.Reserve.take(bytes) == nil
}

// list returns what was kept.
func (l *tokenReader) list() TokenList {
	list := TokenList{Tokens: l.tokens}
	for _, user := range l.leftOut {
		list.LeftOut = append(list.LeftOut, *user)
	}
	slices.SortFunc(list.LeftOut, func(a, b UserLeftOut) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.UserID, b.UserID))
	})
	return list
}

// Size returns about how much memory the user takes in a list, in bytes.
func (u *UserLeftOut) Size() int { return int(unsafe.Sizeof(*u)) + len(u.UserID) + len(u.Username) }

// Size returns about how much memory the token takes, in bytes.
func (t *Token) Size() int {
	return int(unsafe.Sizeof(*t)) + len(t.ID) + len(t.UserID) + len(t.Username) + len(t.Name) + len(t.LoginType) +
		t.limitsSize()
}

// limitsSize returns how much memory Scopes and AllowList take, in bytes.
func (t *Token) limitsSize() int {
	size := 0
	for _, list := range [][]string{t.Scopes, t.AllowList} {
		for _, s := range list {
			size += stringSize + len(s)
		}
	}
	return size
}
