// SPDX-License-Identifier: Apache-2.0

package redact_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/coder-session-operator/coder-session-operator/internal/redact"
)

const sentinel = "S3NT1NEL"

// holder has a secret in every place that a printer treats differently.
type holder struct {
	Exported   redact.Secret
	unexported redact.Secret
	pointer    *redact.Secret
	List       []redact.Secret
	Map        map[string]redact.Secret
	Any        any
}

func newHolder() holder {
	s := redact.New(sentinel)
	return holder{s, s, &s, []redact.Secret{s}, map[string]redact.Secret{"k": s}, s}
}

// B90
func TestSecretNeverShowsItsValueWhateverPrintsIt(t *testing.T) {
	t.Parallel()
	s := redact.New(sentinel)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%w", "%10.3s", "%t"} {
		for name, v := range map[string]any{"itself": s, "pointer": &s, "holder": newHolder(),
			"pointer to holder": new(holder)} {
			out := fmt.Errorf(verb, v).Error()
			if strings.Contains(strings.ToLower(out), strings.ToLower(sentinel)) ||
				strings.Contains(out, fmt.Sprintf("%x", sentinel)) {
				t.Errorf("%s of %s shows the value: %s", verb, name, out)
			}
		}
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if out := fmt.Sprintf(verb, s); out != redact.Mark {
			t.Errorf("%s = %q, want the mark", verb, out)
		}
		if out := fmt.Sprintf(verb, newHolder()); !strings.Contains(out, redact.Mark) {
			t.Errorf("%s of a holder = %q, want the mark in it", verb, out)
		}
	}
	if s.String() != redact.Mark || s.GoString() != redact.Mark {
		t.Error("String or GoString show more than the mark")
	}
}

// B90
func TestSecretNeverShowsItsValueWhateverEncodesIt(t *testing.T) {
	t.Parallel()
	encoders := map[string]func(any) (string, error){
		"json":        func(v any) (string, error) { b, err := json.Marshal(v); return string(b), err },
		"json object": func(v any) (string, error) { b, err := json.Marshal(map[string]any{"v": v}); return string(b), err },
		"yaml":        func(v any) (string, error) { b, err := yaml.Marshal(v); return string(b), err },
		"slog text": func(v any) (string, error) {
			var b strings.Builder
			slog.New(slog.NewTextHandler(&b, nil)).Info("m", "v", v)
			return b.String(), nil
		},
		"slog json": func(v any) (string, error) {
			var b strings.Builder
			slog.New(slog.NewJSONHandler(&b, nil)).Info("m", "v", v)
			return b.String(), nil
		},
		"yaml method": func(v any) (string, error) {
			out, err := v.(interface{ MarshalYAML() (any, error) }).MarshalYAML()
			return fmt.Sprint(out), err
		},
		"logr method": func(v any) (string, error) { return fmt.Sprint(v.(logr.Marshaler).MarshalLog()), nil },
	}
	for name, encode := range encoders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := encode(redact.New(sentinel))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out, sentinel) || !strings.Contains(out, redact.Mark) {
				t.Errorf("got %q, want the mark and no value", out)
			}
			if strings.Contains(name, "method") {
				return
			}
			if out, _ = encode(newHolder()); strings.Contains(out, sentinel) {
				t.Errorf("a holder shows the value: %q", out)
			}
		})
	}
}

func TestSecretTellsAbsentFromEmpty(t *testing.T) { // B26
	t.Parallel()
	tests := map[string]struct {
		secret      redact.Secret
		zero, empty bool
		reveals     string
	}{
		"absent": {redact.Secret{}, true, false, ""},
		"empty":  {redact.New(""), false, true, ""},
		"set":    {redact.New("x"), false, false, "x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.secret.IsZero(); got != tt.zero {
				t.Errorf("IsZero = %v", got)
			}
			if got := tt.secret.Empty(); got != tt.empty {
				t.Errorf("Empty = %v", got)
			}
			if got := tt.secret.Reveal(); got != tt.reveals {
				t.Errorf("Reveal = %q", got)
			}
			for other, o := range tests {
				if got := tt.secret.Equal(o.secret); got != (name == other) {
					t.Errorf("equal to %s: %v", other, got)
				}
			}
		})
	}
}

func TestSecretsAreComparedByValueInTests(t *testing.T) {
	t.Parallel()
	type settings struct{ Token redact.Secret }
	if diff := cmp.Diff(settings{redact.New("a")}, settings{redact.New("a")}); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(settings{redact.New(sentinel)}, settings{redact.New("b")}); diff == "" ||
		strings.Contains(diff, sentinel) {
		t.Errorf("diff %q, want one without the value", diff)
	}
}

func TestSecretInAPanicOrAJoinedErrorStaysHidden(t *testing.T) { // B90
	t.Parallel()
	defer func() {
		if out := fmt.Sprintf("%v %+v %#v", recover(), newHolder(),
			errors.Join(fmt.Errorf("token %v", newHolder()))); strings.Contains(out, sentinel) {
			t.Errorf("shows the value: %s", out)
		}
	}()
	panic(newHolder())
}
