// SPDX-License-Identifier: Apache-2.0

package declared

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// StringConstants returns the values of all constants of a named string type, in the order in which
// a file declares them. The file is named from the root of the repository. The test fails if there
// are none, or one whose value is not a literal.
func StringConstants(t testing.TB, file, typeName string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(findRoot(t), filepath.FromSlash(file)), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(parsed, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, named := spec.Type.(*ast.Ident); named && kind.Name == typeName {
			values = append(values, literals(t, spec)...)
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("%s declares no constant of the type %s", file, typeName)
	}
	return values
}

// literals returns the values of a declaration.
func literals(t testing.TB, spec *ast.ValueSpec) []string {
	t.Helper()
	var values []string
	for i, name := range spec.Names {
		literal, ok := spec.Values[i].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			t.Fatalf("the value of %s is not a string literal", name.Name)
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}

// findRoot returns the root of the repository: the folder above the test's that has the go.mod.
func findRoot(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			t.Fatal("the test does not run in the repository: no folder above it has a go.mod")
		}
		folder = parent
	}
}
