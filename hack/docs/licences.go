// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ourModule is the repository's own module, whose licence is the LICENSE at its root.
const ourModule = "github.com/coder-session-operator/coder-session-operator"

// program is something that a release has, with the platforms that it is built for: packages, and
// by them modules, differ between operating systems.
type program struct {
	name, path string
	platforms  []string
}

// releasedPrograms are what hack/image/build.sh and hack/release/build.sh compile.
var releasedPrograms = []program{
	{"operator", "./cmd/manager", []string{"linux/amd64", "linux/arm64"}},
	{"plugin", "./cmd/kubectl-coder", []string{
		"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64",
	}},
}

// dependency is a module that is compiled into a program.
type dependency struct {
	// folder is where the module cache has it.
	folder string
	// programs are their names.
	programs []string
}

// licencesPage lists the modules in the programs with the licences that they come with.
func licencesPage(page *bytes.Buffer) error {
	dependencies := map[string]*dependency{}
	for _, program := range releasedPrograms {
		for _, platform := range program.platforms {
			if err := addDependencies(dependencies, program, platform); err != nil {
				return err
			}
		}
	}
	page.WriteString(text("licences") + "\n")
	page.WriteString("| module | licence | in |\n|---|---|---|\n")
	var unknown []error
	for _, path := range slices.Sorted(maps.Keys(dependencies)) {
		found, err := readLicences(dependencies[path].folder)
		if err != nil {
			unknown = append(unknown, fmt.Errorf("%s: %w", path, err))
		}
		fmt.Fprintf(page, "| %s | %s | %s |\n", path, found, strings.Join(dependencies[path].programs, ", "))
	}
	return errors.Join(unknown...)
}

// addDependencies adds the modules of a program that is built for a platform.
func addDependencies(dependencies map[string]*dependency, program program, platform string) error {
	system, architecture, _ := strings.Cut(platform, "/")
	//nolint:gosec // The arguments are those above.
	list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}\t{{.Dir}}{{end}}", program.path)
	list.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS="+system, "GOARCH="+architecture)
	list.Stderr = os.Stderr
	output, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the packages of %s for %s: %w", program.path, platform, err)
	}
	for line := range strings.Lines(string(output)) {
		path, folder, found := strings.Cut(strings.TrimSpace(line), "\t")
		if !found || path == ourModule {
			continue
		}
		if dependencies[path] == nil {
			dependencies[path] = &dependency{folder: folder}
		}
		if !slices.Contains(dependencies[path].programs, program.name) {
			dependencies[path].programs = append(dependencies[path].programs, program.name)
		}
	}
	return nil
}

// licenceFile matches the names of files with the terms of a module.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([.-].*)?$`)

// readLicences returns the SPDX identifiers of the licences whose terms are in the folder of a
// module. Several mean that parts of the module have terms of their own. A module without terms,
// or with unknown ones, is an error: a person has to read them.
func readLicences(folder string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return "", err
	}
	found := map[string]bool{}
	for _, entry := range entries {
		if entry.IsDir() || !licenceFile.MatchString(entry.Name()) {
			continue
		}
		terms, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return "", err
		}
		names := recognizeLicences(string(terms))
		if len(names) == 0 {
			return "", fmt.Errorf("the terms in %s are unknown: read them, then add them to knownTerms", entry.Name())
		}
		for _, name := range names {
			found[name] = true
		}
	}
	if len(found) == 0 {
		return "", errors.New("there is no licence in the module's folder")
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), ", "), nil
}

// knownTerms are the licences that dependencies may have, by words that only their terms have.
// Copyleft licences are left out: with one of them the generation of the page fails.
var knownTerms = []struct {
	name  string
	terms *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`Apache License,? Version 2\.0`)},
	{"BSD", regexp.MustCompile(`Redistribution and use in source and binary forms`)},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify,? (and|and/or) distribute this software`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge, to any person`)},
}

// endorsement is the clause that the 3-clause BSD licence has and the 2-clause one has not.
var endorsement = regexp.MustCompile(`to endorse or promote products`)

// recognizeLicences returns the SPDX identifiers of the licences in a text.
func recognizeLicences(text string) []string {
	text = strings.Join(strings.Fields(text), " ")
	var names []string
	for _, licence := range knownTerms {
		switch {
		case !licence.terms.MatchString(text):
		case licence.name != "BSD":
			names = append(names, licence.name)
		case endorsement.MatchString(text):
			names = append(names, "BSD-3-Clause")
		default:
			names = append(names, "BSD-2-Clause")
		}
	}
	return names
}
