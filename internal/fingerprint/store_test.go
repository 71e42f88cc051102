// SPDX-License-Identifier: Apache-2.0

package fingerprint_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coder-session-operator/coder-session-operator/internal/fingerprint"
	"github.com/coder-session-operator/coder-session-operator/test/fakeapi"
)

const namespace = "coder-system"

var keySecret = types.NamespacedName{Namespace: namespace, Name: fingerprint.SecretName}

// store holds the Secret with the key.
type store struct{ *fakeapi.Server }

func newStore() *store { return &store{fakeapi.New()} }

// beforeVerb calls a function before each request with its verb. Its error is returned.
func (s *store) beforeVerb(before func(verb string) error) {
	s.Before(func(r fakeapi.Request) error { return before(r.Verb) })
}

func (s *store) putData(data map[string][]byte) {
	s.Put(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: keySecret.Namespace, Name: keySecret.Name}, Data: data,
	})
}

func loadKey(t *testing.T, s *store, random io.Reader) (fingerprint.Key, error) {
	t.Helper()
	return fingerprint.LoadOrCreate(t.Context(), s, namespace, fingerprint.SecretName, random)
}

func sumOf(k fingerprint.Key) string { return k.Digest("test").Field("a", "b").Sum() }

func TestTheKeyIsCreatedOnceAndFoundAgain(t *testing.T) {
	t.Parallel()
	s := newStore()
	first, err := loadKey(t, s, strings.NewReader(sentinel))
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadKey(t, s, strings.NewReader("must not be read"))
	if err != nil {
		t.Fatal(err)
	}
	if sumOf(first) != sumOf(second) {
		t.Error("the key that was created is not the one that was found")
	}
	if len(s.Writes()) != 1 {
		t.Errorf("%d Secrets were created, want 1", len(s.Writes()))
	}
	secret := fakeapi.Stored[corev1.Secret](s.Server, keySecret)
	if got := string(secret.Data[fingerprint.SecretKey]); got != sentinel[:fingerprint.KeySize] {
		t.Errorf("the Secret holds %d bytes that are not those of the source of randomness", len(got))
	}
}

// Two replicas start at the same time: the slower one takes the key of the faster.
func TestASlowerReplicaTakesTheFastersKey(t *testing.T) {
	t.Parallel()
	s := newStore()
	s.beforeVerb(func(verb string) error {
		if verb == "create" {
			s.putData(map[string][]byte{fingerprint.SecretKey: []byte(sentinel)})
		}
		return nil
	})
	key, err := loadKey(t, s, strings.NewReader(strings.Repeat("x", fingerprint.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	if sumOf(key) != sumOf(newKey(t, sentinel)) {
		t.Error("the key is not the one that is stored")
	}
}

func TestAllReplicasUseOneKey(t *testing.T) {
	t.Parallel()
	s := newStore()
	sums := make([]string, 16)
	var replicas sync.WaitGroup
	for i := range sums {
		replicas.Go(func() {
			key, err := loadKey(t, s, strings.NewReader(strings.Repeat(string(rune('a'+i)), fingerprint.KeySize)))
			if err != nil {
				t.Error(err)
				return
			}
			sums[i] = sumOf(key)
		})
	}
	replicas.Wait()
	for i, sum := range sums {
		if sum != sums[0] {
			t.Errorf("replica %d makes %q, replica 0 makes %q", i, sum, sums[0])
		}
	}
}

func TestAnUnusableSecretIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]map[string][]byte{
		"no data":     nil,
		"another key": {"other": []byte(sentinel)},
		"too short":   {fingerprint.SecretKey: []byte(sentinel[:31])},
		"empty":       {fingerprint.SecretKey: {}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStore()
			s.putData(data)
			_, err := loadKey(t, s, strings.NewReader(sentinel))
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range []string{"Secret " + namespace + "/" + fingerprint.SecretName, `"fingerprint-key"`} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not name %s", err, part)
				}
			}
			if strings.Contains(err.Error(), sentinel[:16]) {
				t.Errorf("%q shows the key", err)
			}
			if len(s.Writes()) != 0 {
				t.Error("the Secret was overwritten")
			}
		})
	}
}

func TestOtherErrorsArePassedOn(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for _, failing := range []string{"get", "create"} {
		t.Run(failing, func(t *testing.T) {
			t.Parallel()
			s := newStore()
			s.beforeVerb(func(verb string) error {
				if verb == failing {
					return refused
				}
				return nil
			})
			if _, err := loadKey(t, s, strings.NewReader(sentinel)); !errors.Is(err, refused) {
				t.Errorf("got %v, want %v", err, refused)
			}
		})
	}
	t.Run("random", func(t *testing.T) {
		t.Parallel()
		s := newStore()
		if _, err := loadKey(t, s, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want %v", err, io.ErrUnexpectedEOF)
		}
		if len(s.Writes()) != 0 {
			t.Error("a Secret was created from too little randomness")
		}
	})
}
