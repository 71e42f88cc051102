// SPDX-License-Identifier: Apache-2.0

package podsession

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/coder-session-operator/coder-session-operator/api/v1alpha1"
)

// seeded is a source of random bytes that is the same in every run.
func seeded() io.Reader { return rand.NewChaCha8([32]byte{1}) }

// B150: names are valid, are not guessed easily and tell of their parent.
func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for parent, prefix := range map[string]string{
		"ci":                                 "ci-",
		long[:54]:                            long[:54] + "-",
		long:                                 long[:54] + "-",
		strings.Repeat("a", 53) + ".b.c":     strings.Repeat("a", 53) + "-",
		strings.Repeat("a", 52) + "--bcdefg": strings.Repeat("a", 52) + "-",
	} {
		name, err := NewName(seeded(), parent)
		if err != nil {
			t.Fatal(err)
		}
		suffix := strings.TrimPrefix(name, prefix)
		if len(name) > 63 || len(suffix) != 8 || strings.Trim(suffix, nameAlphabet) != "" ||
			len(validation.IsDNS1123Subdomain(name)) > 0 {
			t.Errorf("the name for %s is %s", parent, name)
		}
		if !isName(parent, name) {
			t.Errorf("%s is not taken as a name for %s", name, parent)
		}
	}
	random, seen, used := seeded(), map[string]bool{}, map[rune]int{}
	for range 1000 {
		name, err := NewName(random, "ci")
		if err != nil || seen[name] {
			t.Fatalf("name %s, seen %v: %v", name, seen[name], err)
		}
		seen[name] = true
		for _, r := range strings.TrimPrefix(name, "ci-") {
			used[r]++
		}
	}
	for _, r := range nameAlphabet {
		if used[r] < 200 { // of 8000 / 27 = 296
			t.Errorf("%c is used %d times in 8000", r, used[r])
		}
	}
	// Bytes that would favour some characters are left out.
	uneven := bytes.NewReader([]byte{255, 243, 0, 1, 2, 3, 4, 5, 6, 7})
	if name, err := NewName(uneven, "ci"); name != "ci-bcdfghjk" {
		t.Errorf("name %s, error %v", name, err)
	}
	if _, err := NewName(iotest.ErrReader(errors.New("no entropy")), "ci"); err == nil {
		t.Error("a name without random bytes")
	}
}

// B155: what was written into the annotation past the webhook is no name: neither that of an object of
// others, nor a value of any size.
func TestNamesThatTheWebhookHasNotMade(t *testing.T) {
	t.Parallel()
	const parent = "ci"
	for name, value := range map[string]string{
		"none":                       "",
		"the parent":                 "ci",
		"an object of others":        "database",
		"another parent's":           "web-bcdfghjk",
		"a parent with that prefix":  "ci-web-bcdfghjk",
		"no suffix":                  "ci-",
		"too short":                  "ci-bcdfghj",
		"too long":                   "ci-bcdfghjkl",
		"other letters":              "ci-database",
		"capital letters":            "ci-BCDFGHJK",
		"several bytes per letter":   "ci-öööö",
		"of any size":                "ci-" + strings.Repeat("b", 250<<10),
		"a name with something more": "ci-bcdfghjk.",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := newPod(func(p *corev1.Pod) { p.Annotations[v1alpha1.AnnotationPodSession] = value })
			if got := SessionName(pod); got != "" || pod.Labels[v1alpha1.LabelParent] != parent || Waits(pod) {
				t.Errorf("the pod has the session %.80s", got)
			}
		})
	}
	if name := SessionName(newPod()); name != "ci-bcdfghjk" {
		t.Errorf("the name %q is not taken", name)
	}
	if name := SessionName(newPod(withoutParent)); name != "" {
		t.Errorf("without a parent the name %q is taken", name)
	}
}
