// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/hack/licences"
)

// dependency is a module that is compiled into programs.
type dependency struct {
	// folders are where the module cache has files with its terms.
	folders []string
	// programs are their names.
	programs []string
}

// licencesPage lists the modules in the programs with the licences that they come with.
func licencesPage(page *bytes.Buffer) error {
	dependencies, err := listDependencies()
	if err != nil {
		return err
	}
	page.WriteString(text("licences") + "\n")
	page.WriteString("| module | licence | in |\n|---|---|---|\n")
	var unknown []error
	for _, path := range slices.Sorted(maps.Keys(dependencies)) {
		found, err := licences.ReadIdentifiers(dependencies[path].folders)
		if err != nil {
			unknown = append(unknown, fmt.Errorf("%s: %w", path, err))
		}
		fmt.Fprintf(page, "| %s | %s | %s |\n", path, found, strings.Join(dependencies[path].programs, ", "))
	}
	return errors.Join(unknown...)
}

// listDependencies returns the modules in all programs on all of their platforms, by path.
func listDependencies() (map[string]*dependency, error) {
	dependencies := map[string]*dependency{}
	for _, program := range licences.Released {
		for _, platform := range program.Platforms {
			modules, err := licences.ListModules(program.Path, platform)
			if err != nil {
				return nil, err
			}
			for _, module := range modules {
				if dependencies[module.Path] == nil {
					dependencies[module.Path] = &dependency{}
				}
				found := dependencies[module.Path]
				found.folders = append(found.folders, module.Folders...)
				if !slices.Contains(found.programs, program.Name) {
					found.programs = append(found.programs, program.Name)
				}
			}
		}
	}
	return dependencies, nil
}
