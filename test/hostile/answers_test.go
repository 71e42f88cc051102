// SPDX-License-Identifier: Apache-2.0

package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/coder-session-operator/coder-session-operator/internal/coder"
	"github.com/coder-session-operator/coder-session-operator/test/hostile"
)

// B93, B130, B143: what servers could answer to break a client ends in an error or in clean values: no
// panic, nothing that is not printable, nothing longer than its bound.
func TestNoAnswerBreaksTheClient(t *testing.T) {
	t.Parallel()
	const user = `{"id":"u","username":"%s","status":"active","roles":[{"name":"%s"}]}`
	const token = `{"id":"k","user_id":"u","token_name":"n","expires_at":"%s"}`
	weird := "a\\u202e\\nb\xff" + strings.Repeat("x", 100_000)
	for name, tt := range map[string]struct {
		answer hostile.Behaviour
		// fails: it is no answer about the current user.
		fails bool
	}{
		"no answer":              {hostile.Silence, true},
		"a slow body":            {hostile.Drip(`{"id":"u",`), true},
		"a redirect to itself":   {hostile.Answer(302, "", "Location: /api/v2/users/me"), true},
		"10,000 headers":         {hostile.Headers(10_000), true},
		"more announced":         {hostile.CutOff(fmt.Sprintf(user, "ada", "owner")), true},
		"invalid UTF-8":          {hostile.Answer(200, fmt.Sprintf(user, "\xff\xfe", "\xff")), false},
		"controls and lengths":   {hostile.Answer(200, fmt.Sprintf(user, weird, weird)), false},
		"deep JSON":              {hostile.Answer(200, strings.Repeat("[", 1<<20)), true},
		"deep JSON in a member":  {hostile.Answer(200, `{"x":`+strings.Repeat("[", 9e3)+strings.Repeat("]", 9e3)+`}`), true},
		"a token in 9999":        {hostile.Answer(200, fmt.Sprintf(token, "9999-12-31T23:59:59Z")), true},
		"a token in the year 1":  {hostile.Answer(200, fmt.Sprintf(token, "0001-01-01T00:00:00Z")), true},
		"a token in 10000":       {hostile.Answer(200, fmt.Sprintf(token, "10000-01-01T00:00:00Z")), true},
		"a key of 10 MB":         {hostile.Answer(201, `{"key":"`+strings.Repeat("x", 10<<20)+`"}`), true},
		"a key with line breaks": {hostile.Answer(201, `{"key":"a1B2c3D4e5-0123456789abcdef\nABCDEF"}`), true},
		"an echo":                {hostile.Echo(500), true},
		"an echo that refuses":   {hostile.Echo(403), true},
		"long roles":             {hostile.Answer(200, fmt.Sprintf(user, "ada", strings.Repeat("é", 1000))), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := clientOf(t, hostile.Start(t, tt.answer))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got, err := c.Me(ctx)
			if (err != nil) != tt.fails {
				t.Errorf("got %+v, %v", got, err)
			}
			texts := append([]string{got.ID, got.Username}, got.Roles...)
			minted, mintErr := c.MintToken(ctx, "u", coder.TokenRequest{Name: "n", Lifetime: time.Hour})
			if mintErr == nil {
				t.Errorf("a token was minted: %d bytes", len(minted.Reveal()))
			}
			listed, tokenErr := c.Token(ctx, "u", "k")
			texts = append(texts, listed.ID, listed.Name)
			for _, err := range []error{err, mintErr, tokenErr} {
				var failed *coder.Error
				if errors.As(err, &failed) {
					texts = append(texts, failed.Field, failed.Location, failed.Message)
				}
			}
			for _, text := range texts {
				if utf8.RuneCountInString(text) > 256 || strings.Contains(text, "a1B2c3D4e5-") ||
					strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%.300q", text)
				}
			}
		})
	}
}
