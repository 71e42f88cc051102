// SPDX-License-Identifier: Apache-2.0

package certs

import "testing"

// ForTest is NewAuthority with the real clock, for a test, which fails where that does.
func ForTest(t testing.TB, commonName string) *Authority {
	t.Helper()
	authority, err := NewAuthority(commonName, nil)
	if err != nil {
		t.Fatal(err)
	}
	return authority
}

// IssueForTest is Issue for a test, which fails where that does.
func (a *Authority) IssueForTest(t testing.TB, req Request) *Certificate {
	t.Helper()
	certificate, err := a.Issue(req)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// SelfSignedForTest is SelfSigned for a test, which fails where that does.
func SelfSignedForTest(t testing.TB, req Request) *Certificate {
	t.Helper()
	certificate, err := SelfSigned(req)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}
