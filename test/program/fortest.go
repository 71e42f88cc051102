// SPDX-License-Identifier: Apache-2.0

package program

import (
	"path/filepath"
	"testing"
)

// OperatorForTest starts an operator that ends with the test, whose failure shows its log. An empty
// Log of the options is a file of the test's own.
func OperatorForTest(t testing.TB, o OperatorOptions) *Operator {
	t.Helper()
	if o.Log == "" {
		o.Log = filepath.Join(t.TempDir(), "operator.log")
	}
	operator, err := StartOperator(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := operator.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("log of the operator at %s:\n%s", operator.Probes, operator.Output())
		}
	})
	return operator
}

// FreeAddressForTest is FreeAddress for a test, which fails where that does.
func FreeAddressForTest(t testing.TB) string {
	t.Helper()
	address, err := FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}
