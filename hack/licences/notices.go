// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"fmt"
	"io"
	"runtime"
	"strings"
)

// WriteNotices writes the terms of the modules and of Go's standard library, and the notices that have
// to be passed on with them. Terms that several modules share are written once, after the list of
// these modules. goRoot is where Go is installed, for the terms of its standard library.
//
// The same modules make the same text.
func WriteNotices(output io.Writer, modules []Module, goRoot string) error {
	library := Module{Path: "Go's standard library", Version: runtime.Version(), Folders: []string{goRoot}}
	var order []string
	owners := map[string][]string{}
	for _, module := range append([]Module{library}, modules...) {
		if _, err := ReadIdentifiers(module.Folders); err != nil {
			return fmt.Errorf("%s: %w", module.Path, err)
		}
		files, err := readFiles(module.Folders, licenceFile, noticeFile)
		if err != nil {
			return fmt.Errorf("%s: %w", module.Path, err)
		}
		for _, file := range files {
			content := strings.TrimSpace(strings.ReplaceAll(file.content, "\r\n", "\n"))
			if owners[content] == nil {
				order = append(order, content)
			}
			owners[content] = appendOnce(owners[content], module.Path+" "+module.Version)
		}
	}
	var text strings.Builder
	text.WriteString("This program contains the work of others. Their terms are below, each with what it is for.\n")
	for _, content := range order {
		fmt.Fprintf(&text, "\n%s\n\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(owners[content], "\n"), content)
	}
	_, err := io.WriteString(output, text.String())
	return err
}

// appendOnce appends a name that is not the last one yet.
func appendOnce(names []string, name string) []string {
	if len(names) > 0 && names[len(names)-1] == name {
		return names
	}
	return append(names, name)
}
