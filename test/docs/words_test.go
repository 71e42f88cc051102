// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// refusedWords must not be in Go files and pages, see docs/contributing/style.md. They are put
// together here, so that this file has none of them.
var refusedWords = []string{
	"no" + "body", "some" + "body", "a" + "new", "who" + "ever",
	"m" + "end", "m" + "ended", "m" + "ending", "m" + "ends",
}

// wordExceptions are the pages that may have these words: one lists them, one quotes old texts.
var wordExceptions = []string{"docs/contributing/style.md", "CHANGELOG.md"}

// refused matches a refused word in lower case or with a capital letter, but no identifier such as
// NoBody of net/http.
var refused = func() *regexp.Regexp {
	var forms []string
	for _, word := range refusedWords {
		forms = append(forms, word, strings.ToUpper(word[:1])+word[1:])
	}
	return regexp.MustCompile(`\b(` + strings.Join(forms, "|") + `)\b`)
}()

func TestPlainWords(t *testing.T) {
	t.Parallel()
	for _, file := range slices.Concat(readFiles(t, ".go"), readFiles(t, ".md")) {
		if slices.Contains(wordExceptions, file.path) {
			continue
		}
		file.eachLine(func(number int, line string) {
			for _, word := range refused.FindAllString(line, -1) {
				t.Errorf("%s:%d: %q: say who or what it is, in plain words", file.path, number, word)
			}
		})
	}
}

func TestRefusedWordsAreFound(t *testing.T) {
	t.Parallel()
	for _, word := range refusedWords {
		capital := strings.ToUpper(word[:1]) + word[1:]
		for text, want := range map[string]string{
			"The page is for " + word + ".":          word,
			capital + " reads it":                    capital,
			"// a comment with `" + word + "` in it": word,
		} {
			if got := refused.FindAllString(text, -1); !slices.Equal(got, []string{want}) {
				t.Errorf("%q: found %q, want %q", text, got, want)
			}
		}
	}
	const plain = "We recommend an amendment: http.NoBody, a new body, some bodies, whoeverElse, renew and commends."
	if found := refused.FindAllString(plain, -1); found != nil {
		t.Errorf("%q: found %q, want nothing", plain, found)
	}
}

// A page that is excepted has to exist, so that a renamed one is not forgotten.
func TestExceptionsOfWordsExist(t *testing.T) {
	t.Parallel()
	for _, page := range wordExceptions {
		readPage(t, page)
	}
}
