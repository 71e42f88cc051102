// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// A placeholder is ${name argument ...}; arguments may hold placeholders. Users are admin (an
// owner), ada and bob (members), bot (cannot log in), manager (a user-admin), suspended, deleted,
// promoted (an owner since a moment ago), dormant, and fresh, which is another user in each question.
//
//	${name U} ${id U} ${email U}     of a user; ${NAME U} ${ID U} in upper case
//	${token U}                       the user's standing token
//	${new U [option=value ...]}      the value of a new token (token.go); ${newid ...} its id
//	${last} ${last.id}               the key that the question before returned, and its id
//	${session U}                     the value of a new session key; ${sessionid U} its id
//	${prefix} ${n} ${repeat N text}  the run's prefix, a number of its own, a long text
//	${organization} ${password}      of the users
//	${url}                           the server's URL
//	${idof T} ${wronghalf T}         the id of a token; a token or secret with another secret half
//	${max U [n]}                     the longest life of U's tokens, n ns more, in ns
//	${workspace} ${workspace.name} ${workspace.deleted}   of ada's (workspace.go)
//	${template}                      the id of the template that --template names
//
// oauth.go has those of the OAuth2 provider.

// errUnavailable is why a question cannot be asked of this server, or by this caller.
type errUnavailable string

// Error says why.
func (e errUnavailable) Error() string { return string(e) }

const errNotOwner = errUnavailable("needs the right of an owner")

var errPlaceholder = errors.New("no such placeholder")

// expand replaces all placeholders of a text, from left to right.
func (a *asking) expand(ctx context.Context, text string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		end := closingBrace(rest)
		if end < 0 {
			return "", fmt.Errorf("%q is not closed: %w", rest, errPlaceholder)
		}
		inner, err := a.expand(ctx, rest[:end])
		if err != nil {
			return "", err
		}
		value, err := a.evaluate(ctx, strings.Split(inner, " "))
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = rest[end+1:]
	}
}

// closingBrace finds the end of a placeholder whose beginning was cut off.
func closingBrace(text string) int {
	depth := 1
	for i := range len(text) {
		switch text[i] {
		case '{':
			depth++
		case '}':
			depth--
		}
		if depth == 0 {
			return i
		}
	}
	return -1
}

func (a *asking) evaluate(ctx context.Context, words []string) (string, error) {
	name, args := words[0], words[1:]
	if value, known := a.memo[strings.Join(words, " ")]; known {
		return value, nil
	}
	if plain := plainPlaceholders[name]; plain != nil {
		return plain(a, args)
	}
	switch name {
	case "name", "NAME", "id", "ID", "email", "token":
		return a.evaluateUser(ctx, name, args)
	case "max":
		return a.longestLife(ctx, args)
	case "new", "newid", "session", "sessionid":
		return a.evaluateKey(ctx, name, args)
	case "workspace", "workspace.name", "workspace.deleted", "workspace.deleted.name":
		return a.evaluateWorkspace(ctx, name)
	default:
		return a.evaluateOAuth(ctx, name, args)
	}
}

// plainPlaceholders are those that need no request.
var plainPlaceholders = map[string]func(*asking, []string) (string, error){
	"prefix":       func(a *asking, _ []string) (string, error) { return a.prefix, nil },
	"n":            func(a *asking, _ []string) (string, error) { return strconv.Itoa(a.number), nil },
	"organization": func(a *asking, _ []string) (string, error) { return a.organization, nil },
	"url":          func(a *asking, _ []string) (string, error) { return a.base.String(), nil },
	"template":     func(a *asking, _ []string) (string, error) { return a.templateID, nil },
	"last":         func(a *asking, _ []string) (string, error) { return a.lastKey, nil },
	"last.id":      func(a *asking, _ []string) (string, error) { return keyID(a.lastKey), nil },
	"idof":         func(_ *asking, args []string) (string, error) { return keyID(strings.Join(args, "")), nil },
	"wronghalf":    func(_ *asking, args []string) (string, error) { return wrongHalf(strings.Join(args, "")), nil },
	"repeat":       func(_ *asking, args []string) (string, error) { return repeatText(args) },
	"password": func(a *asking, _ []string) (string, error) {
		if a.limited() {
			return "", errNotOwner
		}
		return a.password, nil
	},
}

// wrongHalf replaces the secret half of a token, or of a secret of the OAuth2 provider.
func wrongHalf(token string) string {
	if i := max(strings.LastIndex(token, "_"), strings.Index(token, "-")); i >= 0 {
		return token[:i+1] + strings.Repeat("x", len(token)-i-1)
	}
	return token
}

func repeatText(args []string) (string, error) {
	if len(args) < 2 {
		return "", errPlaceholder
	}
	count, err := strconv.Atoi(args[0])
	return strings.Repeat(strings.Join(args[1:], " "), count), err
}

// keyID is the part of a token that is no secret (contract A.4).
func keyID(token string) string {
	id, _, _ := strings.Cut(token, "-")
	return id
}

func (a *asking) evaluateUser(ctx context.Context, field string, args []string) (string, error) {
	if len(args) != 1 {
		return "", fmt.Errorf("%q without a user: %w", field, errPlaceholder)
	}
	u, err := a.user(ctx, args[0])
	if err != nil {
		return "", err
	}
	switch field {
	case "name":
		return u.username, nil
	case "NAME":
		return strings.ToUpper(u.username), nil
	case "id":
		return u.id, nil
	case "ID":
		return strings.ToUpper(u.id), nil
	case "email":
		return u.email, nil
	}
	return a.standingToken(ctx, u)
}
