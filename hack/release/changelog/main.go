// SPDX-License-Identifier: Apache-2.0

// Command changelog prints the section of a version from a changelog in the form of Keep a Changelog,
// without its heading:
//
//	changelog -version v0.3.0 CHANGELOG.md
//
// With -unreleased, the section "Unreleased" counts where the version has none yet.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	version := flag.String("version", "", "whose section is printed")
	unreleased := flag.Bool("unreleased", false, `print "Unreleased" if the version has no section`)
	flag.Parse()
	if err := run(*version, *unreleased, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "changelog:", err)
		os.Exit(1)
	}
}

// run prints the section of the one file in args.
func run(version string, unreleased bool, args []string) error {
	if len(args) != 1 || version == "" {
		return errors.New("usage: changelog -version VERSION FILE")
	}
	text, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	section := findSection(string(text), strings.TrimPrefix(version, "v"))
	if section == "" && unreleased {
		section = findSection(string(text), "Unreleased")
	}
	if section == "" {
		return fmt.Errorf(`%s says nothing about %s: name the section "Unreleased" %s, with the date`,
			args[0], version, strings.TrimPrefix(version, "v"))
	}
	_, err = fmt.Fprintln(os.Stdout, section)
	return err
}

// findSection returns what is below the heading of a version, such as "## 0.3.0 - 2026-12-01" or
// "## [0.3.0]", up to the next heading of that level. Empty: there is no such heading, or nothing below.
func findSection(text, version string) string {
	var section strings.Builder
	inside := false
	for line := range strings.Lines(text) {
		if heading, found := strings.CutPrefix(line, "## "); found {
			words := strings.Fields(heading)
			inside = len(words) > 0 && strings.Trim(words[0], "[]") == version
			continue
		}
		if inside {
			section.WriteString(line)
		}
	}
	return strings.TrimSpace(section.String())
}
