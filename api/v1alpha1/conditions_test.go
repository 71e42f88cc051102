// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// declaredConstants returns the values of the package's constants whose names start with a prefix.
func declaredConstants(t *testing.T, prefix string) []string {
	t.Helper()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if constants, ok := declaration.(*ast.GenDecl); ok && constants.Tok == token.CONST {
				declared = append(declared, constantsIn(t, constants, prefix)...)
			}
		}
	}
	if len(declared) == 0 {
		t.Fatal("no constant found")
	}
	return declared
}

func constantsIn(t *testing.T, constants *ast.GenDecl, prefix string) (declared []string) {
	t.Helper()
	for _, spec := range constants.Specs {
		spec := spec.(*ast.ValueSpec)
		for i, name := range spec.Names {
			if !strings.HasPrefix(name.Name, prefix) {
				continue
			}
			if len(spec.Values) <= i {
				t.Fatalf("%s has no value of its own", name.Name)
			}
			literal, ok := spec.Values[i].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is no literal", name.Name)
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, value)
		}
	}
	return declared
}

// A type that is missing from the lists would be removed from the status whenever it is written.
func TestConditionTypesAreListed(t *testing.T) {
	t.Parallel()
	listed := slices.Concat(DeploymentConditionTypes(), SessionConditionTypes())
	slices.Sort(listed)
	if both := len(listed) - len(slices.Compact(slices.Clone(listed))); both != 3 {
		t.Errorf("%d types are listed twice, want Ready, Stalled and IdentityUnique only: %v", both, listed)
	}
	listed = slices.Compact(listed)
	declared := declaredConstants(t, "Condition")
	slices.Sort(declared)
	if !slices.Equal(listed, declared) {
		t.Errorf("listed are %v, declared are %v", listed, declared)
	}
}

// A reason that is missing from the list would be taken for another writer's.
func TestReasonsAreListed(t *testing.T) {
	t.Parallel()
	listed, declared := Reasons(), declaredConstants(t, "Reason")
	slices.Sort(listed)
	slices.Sort(declared)
	if declared = slices.Compact(declared); !slices.Equal(listed, declared) {
		t.Errorf("listed are %v, declared are %v", listed, declared)
	}
	if IsReason("Forged") || !IsReason(ReasonActive) {
		t.Error("the list is not what decides")
	}
}
