// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"time"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
)

// pool keeps each token once, however many inventories list it: CoderDeployments of many namespaces may have
// the same server. It is guarded by the budget's lock.
//
// The cost of a token is divided among its holders, in equal parts whenever one comes or goes. So the charges
// of all accounts are together what is in memory, in whatever order that happens, and an inventory which lists
// what many others have pays little for it. A change takes time in proportion to the number of holders: one of
// 40 about 0.1 microseconds, and decoding the token several.
type pool struct {
	// seed makes hashes that a server cannot foresee.
	seed maphash.Seed
	// tokens are the held ones, by their hash. Of two with the same hash only the first is shared.
	tokens map[uint64]*sharedToken
	// used is what the tokens take, in bytes.
	used int
}

// sharedToken is a token that one or more accounts hold. token, hash and cost are not modified.
type sharedToken struct {
	token coder.Token
	hash  uint64
	cost  int // what it takes without its holders, in bytes
	// holders has an account as often as it holds the token: at most twice, if it keeps the token of its last listing
	// and reads it again.
	holders []*account
}

func newPool() pool { return pool{seed: maphash.MakeSeed(), tokens: map[uint64]*sharedToken{}} }

// find returns the held token that is the same in everything, or nil, and the hash of both. A token that differs
// in anything, such as one of another server with the same ID, is another one.
func (p *pool) find(token *coder.Token) (held *sharedToken, hash uint64) {
	hash = hashToken(p.seed, token)
	if held = p.tokens[hash]; held != nil && isSame(&held.token, token) {
		return held, hash
	}
	return nil, hash
}

// join makes an account one more holder of a token.
func (p *pool) join(t *sharedToken, a *account) {
	t.charge(-1)
	if len(t.holders) == 0 {
		p.used += t.cost
		if p.tokens[t.hash] == nil {
			p.tokens[t.hash] = t
		}
	}
	t.holders = append(t.holders, a)
	t.charge(1)
}

// leave is the opposite of join. A token without holders is gone.
func (p *pool) leave(t *sharedToken, a *account) {
	t.charge(-1)
	last := len(t.holders) - 1
	t.holders[slices.Index(t.holders, a)] = t.holders[last]
	t.holders[last] = nil
	t.holders = shrink(t.holders[:last])
	t.charge(1)
	if len(t.holders) > 0 {
		return
	}
	p.used -= t.cost
	if p.tokens[t.hash] == t {
		delete(p.tokens, t.hash)
	}
}

// charge adds to what each holder is charged its part of the cost, with the sign. Bytes that are left over are
// paid by the first holders, one each.
func (t *sharedToken) charge(sign int) {
	count := len(t.holders)
	if count == 0 {
		return
	}
	part, rest := t.cost/count, t.cost%count
	for at, holder := range t.holders {
		if at < rest {
			holder.shared += sign
		}
		holder.shared += sign * part
	}
}

// shrink returns a slice with the same elements and a capacity of at most twice their number.
func shrink[T any](list []T) []T {
	if 2*len(list) >= cap(list) {
		return list
	}
	return append(make([]T, 0, len(list)), list...)
}

// isSame reports whether two tokens are the same in everything.
func isSame(a, b *coder.Token) bool {
	return a.ID == b.ID && a.UserID == b.UserID && a.Username == b.Username && a.Name == b.Name &&
		a.LoginType == b.LoginType && a.LimitsLeftOut == b.LimitsLeftOut &&
		slices.Equal(a.Scopes, b.Scopes) && slices.Equal(a.AllowList, b.AllowList) &&
		a.CreatedAt.Equal(b.CreatedAt) && a.ExpiresAt.Equal(b.ExpiresAt) && a.LastUsed.Equal(b.LastUsed) &&
		a.Lifetime == b.Lifetime
}

// hashToken returns a hash of all that isSame compares.
func hashToken(seed maphash.Seed, t *coder.Token) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	writeNumber := func(n int64) {
		var bytes [8]byte
		binary.LittleEndian.PutUint64(bytes[:], uint64(n))
		_, _ = h.Write(bytes[:])
	}
	writeString := func(s string) {
		writeNumber(int64(len(s)))
		_, _ = h.WriteString(s)
	}
	for _, s := range [...]string{t.ID, t.UserID, t.Username, t.Name, t.LoginType} {
		writeString(s)
	}
	for _, list := range [...][]string{t.Scopes, t.AllowList} {
		writeNumber(int64(len(list)))
		for _, s := range list {
			writeString(s)
		}
	}
	for _, at := range [...]time.Time{t.CreatedAt, t.ExpiresAt, t.LastUsed} {
		writeNumber(at.Unix())
		writeNumber(int64(at.Nanosecond()))
	}
	writeNumber(int64(t.Lifetime))
	if t.LimitsLeftOut {
		writeNumber(1)
	}
	return h.Sum64()
}
