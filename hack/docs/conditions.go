// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// conditionsSource declares the types and reasons of conditions, in groups with one comment each.
const conditionsSource = "api/v1alpha1/conditions.go"

// constants is a group of string constants.
type constants struct {
	doc     string
	entries []constant
}

// constant is one of them. Its doc does not begin with its name.
type constant struct{ name, value, doc string }

// conditionsPage lists the types and reasons with their comments.
func conditionsPage(page *bytes.Buffer) error {
	groups, err := readConstants(conditionsSource)
	if err != nil {
		return err
	}
	page.WriteString(text("conditions"))
	for _, group := range groups {
		title, rest, _ := strings.Cut(group.doc, ".")
		fmt.Fprintf(page, "\n## %s\n\n", title)
		if rest = strings.Join(strings.Fields(rest), " "); rest != "" {
			page.WriteString(rest + "\n\n")
		}
		if strings.HasPrefix(group.entries[0].name, "Condition") {
			page.WriteString("| condition | meaning |\n|---|---|\n")
		} else {
			page.WriteString("| reason | meaning |\n|---|---|\n")
		}
		for _, entry := range group.entries {
			name := "`" + entry.value + "`"
			if !strings.HasPrefix(entry.name, "Condition") {
				name = fmt.Sprintf("[%s](../operations/troubleshooting.md#%s)", name, strings.ToLower(entry.value))
			}
			fmt.Fprintf(page, "| %s | %s |\n", name, tableCell(entry.doc))
		}
	}
	return nil
}

// tableCell escapes text for a cell of a Markdown table.
func tableCell(text string) string {
	return strings.NewReplacer("\n\n", "<br>", "\n", " ", "|", `\|`, "<", "&lt;").Replace(text)
}

// readConstants reads the groups of string constants of a file.
func readConstants(path string) ([]constants, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	var groups []constants
	for _, declaration := range file.Decls {
		group, ok := declaration.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		read := constants{doc: strings.TrimSpace(group.Doc.Text())}
		for _, spec := range group.Specs {
			entry, err := readConstant(spec.(*ast.ValueSpec))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			read.entries = append(read.entries, entry)
		}
		groups = append(groups, read)
	}
	return groups, nil
}

// readConstant reads one constant. Its comment is "<Name>: <doc>" or "<Name> is <doc>".
func readConstant(spec *ast.ValueSpec) (constant, error) {
	entry := constant{name: spec.Names[0].Name}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok {
		return entry, fmt.Errorf("%s is not a string literal", entry.name)
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return entry, fmt.Errorf("%s: %w", entry.name, err)
	}
	entry.value = value
	doc, found := strings.CutPrefix(strings.TrimSpace(spec.Doc.Text()), entry.name)
	if !found {
		return entry, fmt.Errorf("the comment of %s does not begin with its name", entry.name)
	}
	doc = strings.TrimPrefix(strings.TrimSpace(strings.TrimPrefix(doc, ":")), "is ")
	if first, _, _ := strings.Cut(doc, " "); strings.Contains(first, ".") {
		entry.doc = doc // a field of the API
	} else {
		entry.doc = strings.ToUpper(doc[:1]) + doc[1:]
	}
	return entry, nil
}
