// SPDX-License-Identifier: Apache-2.0

package inventory

import (
	"strings"
	"testing"
)

const uid = "0a1b2c3d-0000-4000-8000-000000000001"

func TestNames(t *testing.T) { // B40, B45
	t.Parallel()
	names := Names{Cluster: "k8sabcde"}
	for got, want := range map[string]string{
		names.Prefix():                        "cso-k8sabcde-",
		names.SessionPrefix(uid):              "cso-k8sabcde-0a1b2c3d-",
		names.SessionPrefix("short"):          "cso-k8sabcde-short-",
		names.Token(uid, 1):                   "cso-k8sabcde-0a1b2c3d-1",
		names.Token(uid, 9223372036854775807): "cso-k8sabcde-0a1b2c3d-9223372036854775807",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestSerial(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		name string
		want int64
	}{
		"first":           {"cso-k8sabcde-0a1b2c3d-1", 1},
		"last":            {"cso-k8sabcde-0a1b2c3d-9223372036854775807", 9223372036854775807},
		"too large":       {"cso-k8sabcde-0a1b2c3d-9223372036854775808", 0},
		"zero":            {"cso-k8sabcde-0a1b2c3d-0", 0},
		"negative":        {"cso-k8sabcde-0a1b2c3d--1", 0},
		"signed":          {"cso-k8sabcde-0a1b2c3d-+1", 0},
		"leading zero":    {"cso-k8sabcde-0a1b2c3d-01", 0},
		"none":            {"cso-k8sabcde-0a1b2c3d-", 0},
		"words":           {"cso-k8sabcde-0a1b2c3d-one", 0},
		"more":            {"cso-k8sabcde-0a1b2c3d-1-2", 0},
		"another session": {"cso-k8sabcde-ffffffff-1", 0},
		"another cluster": {"cso-another1-0a1b2c3d-1", 0},
		"not ours":        {"my-token", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := Names{Cluster: "k8sabcde"}.Serial(test.name, uid)
			if got != test.want || ok != (test.want > 0) {
				t.Errorf("%d, %v", got, ok)
			}
		})
	}
}

func FuzzSerial(f *testing.F) {
	f.Add("cso-k8sabcde-0a1b2c3d-1", uid, "k8sabcde")
	f.Add("cso---01", "", "")
	f.Fuzz(func(t *testing.T, name, uid, cluster string) {
		names := Names{Cluster: cluster}
		serial, ok := names.Serial(name, uid)
		if ok && names.Token(uid, serial) != name {
			t.Errorf("%q is read as %d", name, serial)
		}
		if ok && !strings.HasPrefix(name, names.SessionPrefix(uid)) {
			t.Errorf("%q is not the session's", name)
		}
	})
}

func TestOfSession(t *testing.T) { // B45
	t.Parallel()
	for name, want := range map[string]bool{
		"cso-k8sabcde-0a1b2c3d-1":   true,
		"cso-another1-0a1b2c3d-7":   true,
		"cso-another1-ffffffff-1":   false,
		"cso-another1-0a1b2c3d-":    false,
		"cso-another1-0a1b2c3d-1-2": false,
		"cso-0a1b2c3d-1":            false,
		"cso-":                      false,
		"my-token":                  false,
	} {
		if got := (Names{Cluster: "k8sabcde"}).OfSession(name, uid); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
