// SPDX-License-Identifier: Apache-2.0

package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"text/template"
)

// functions are what templates may call, besides [builtins]. All are pure: none reaches
// a file, the environment, the network or a clock.
//
//	b64enc TEXT       base64, standard alphabet, padded
//	indent N TEXT     TEXT with N spaces (0 to 64) in front of every line
//	index .Headers N  the header N; upper and lower case are the same
//	json VALUE        VALUE as JSON on one line
//	print VALUE ...   the values, one after the other
//	printf FORMAT ... as in Go; widths have up to two digits
//	quote TEXT        TEXT as a string of JSON, which YAML reads too
//	trim TEXT         TEXT without white space at its ends
//	urlquery TEXT     TEXT as part of a URL's query
func functions(spent *costBudget) template.FuncMap {
	paid := func(f func(string) string) func(string) (string, error) {
		return func(text string) (string, error) {
			if err := spent.handle(len(text)); err != nil {
				return "", err
			}
			return f(text), nil
		}
	}
	return template.FuncMap{
		turn:       func(cost int) (string, error) { return "", spent.charge(cost) },
		"b64enc":   paid(func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }),
		"trim":     paid(strings.TrimSpace),
		"urlquery": paid(url.QueryEscape),
		"quote":    func(text string) (string, error) { return encodeJSON(spent, text) },
		"json":     func(value any) (string, error) { return encodeJSON(spent, value) },
		"indent":   func(n int, text string) (string, error) { return indent(spent, n, text) },
		"index":    header,
		"print":    func(args ...any) (string, error) { return format(spent, strings.Repeat("%v", len(args)), args) },
		"printf":   func(f string, args ...any) (string, error) { return format(spent, f, args) },
	}
}

// header finds a header by its name. The builtin would give nothing for one that is
// missing, and a Secret with a hole in it would be published.
func header(headers map[string]string, name string) (string, error) {
	if value, found := headers[name]; found {
		return value, nil
	}
	for other, value := range headers {
		if http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) {
			return value, nil
		}
	}
	return "", fault("the deployment has no header of that name")
}

func encodeJSON(spent *costBudget, value any) (string, error) {
	if err := spent.handle(size(value)); err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // it is for files, not for pages
	if err := encoder.Encode(value); err != nil {
		return "", fault("json: the value cannot be encoded")
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

const maxIndent = 64

func indent(spent *costBudget, n int, text string) (string, error) {
	if n < 0 || n > maxIndent {
		return "", fault(fmt.Sprintf("indent: write a number of spaces from 0 to %d", maxIndent))
	}
	if err := spent.handle(len(text) + n*(1+strings.Count(text, "\n"))); err != nil {
		return "", err
	}
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad), nil
}

// verb is one directive of printf. Explicit argument indexes and widths from arguments
// are not among them: they would let a short format make a text of any length.
var verb = regexp.MustCompile(`%[-+# 0]*[0-9]{0,2}(?:\.[0-9]{0,2})?[a-zA-Z%]`)

func format(spent *costBudget, layout string, args []any) (string, error) {
	if strings.Contains(verb.ReplaceAllString(layout, ""), "%") {
		return "", fault("printf: write directives such as %s, %q or %08d, with widths of up to two digits")
	}
	const widest = 100 // a directive makes less than that besides its argument's text
	cost := len(layout) + widest*strings.Count(layout, "%")
	for _, arg := range args {
		cost += size(arg)
	}
	if err := spent.handle(cost); err != nil {
		return "", err
	}
	return fmt.Sprintf(layout, args...), nil
}

// size estimates the length of a value's text, in bytes. Templates have texts, numbers,
// booleans and the headers.
func size(value any) int {
	const number = 32
	switch value := value.(type) {
	case string:
		return len(value)
	case map[string]string:
		sum := number
		for k, v := range value {
			sum += len(k) + len(v) + number
		}
		return sum
	case values:
		return len(value.URL) + len(value.Host) + len(value.Token) + len(value.User) + size(value.Headers)
	}
	return number
}
