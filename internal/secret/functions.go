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

// templateFuncs are what templates may call, besides [builtins]. All are pure: none reaches
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
func templateFuncs(spent *costBudget) template.FuncMap {
	paid := func(f func(string) string) func(string) (string, error) {
		return func(text string) (string, error) {
			if err := spent.chargeText(len(text)); err != nil {
				return "", err
			}
			return f(text), nil
		}
	}
	return template.FuncMap{
		chargeIteration: func(cost int) (string, error) { return "", spent.charge(cost) },
		"b64enc":        paid(func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }),
		"trim":          paid(strings.TrimSpace),
		"urlquery":      paid(url.QueryEscape),
		"quote":         func(text string) (string, error) { return encodeJSON(spent, text) },
		"json":          func(value any) (string, error) { return encodeJSON(spent, value) },
		"indent":        func(n int, text string) (string, error) { return indentText(spent, n, text) },
		"index":         findHeader,
		"print": func(args ...any) (string, error) {
			return formatValues(spent, strings.Repeat("%v", len(args)), args)
		},
		"printf": func(f string, args ...any) (string, error) { return formatValues(spent, f, args) },
	}
}

// findHeader finds a header by its name. The builtin index would return an empty text for a missing
// header, and an incomplete Secret would be published.
func findHeader(headers map[string]string, name string) (string, error) {
	if value, found := headers[name]; found {
		return value, nil
	}
	for other, value := range headers {
		if http.CanonicalHeaderKey(other) == http.CanonicalHeaderKey(name) {
			return value, nil
		}
	}
	return "", fault("the CoderDeployment has no header of that name")
}

func encodeJSON(spent *costBudget, value any) (string, error) {
	if err := spent.chargeText(estimateSize(value)); err != nil {
		return "", err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false) // the output is for files, not for HTML pages
	if err := encoder.Encode(value); err != nil {
		return "", fault("json: the value cannot be encoded")
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

const maxIndent = 64

func indentText(spent *costBudget, n int, text string) (string, error) {
	if n < 0 || n > maxIndent {
		return "", fault(fmt.Sprintf("indent: write a number of spaces from 0 to %d", maxIndent))
	}
	if err := spent.chargeText(len(text) + n*(1+strings.Count(text, "\n"))); err != nil {
		return "", err
	}
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad), nil
}

// verb matches one directive of printf. Explicit argument indexes and widths from arguments are not
// allowed, because they would let a short format create a text of any length.
var verb = regexp.MustCompile(`%[-+# 0]*[0-9]{0,2}(?:\.[0-9]{0,2})?[a-zA-Z%]`)

func formatValues(spent *costBudget, layout string, args []any) (string, error) {
	if strings.Contains(verb.ReplaceAllString(layout, ""), "%") {
		return "", fault("printf: write directives such as %s, %q or %08d, with widths of up to two digits")
	}
	const widest = 100 // maximum output of a directive besides the text of its argument
	cost := len(layout) + widest*strings.Count(layout, "%")
	for _, arg := range args {
		cost += estimateSize(arg)
	}
	if err := spent.chargeText(cost); err != nil {
		return "", err
	}
	return fmt.Sprintf(layout, args...), nil
}

// estimateSize estimates the length of a value's text, in bytes. Templates have texts, numbers,
// booleans and the headers.
func estimateSize(value any) int {
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
		return len(value.URL) + len(value.Host) + len(value.Token) + len(value.User) + estimateSize(value.Headers)
	}
	return number
}
