// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// licenceFile matches the names of files with terms, noticeFile those of files that have to be passed
// on with a copy of the code (Apache-2.0, section 4), and of grants of patents.
var (
	licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([.-].*)?$`)
	noticeFile  = regexp.MustCompile(`(?i)^(notice|patents)([.-].*)?$`)
)

// ReadIdentifiers returns the SPDX identifiers of the licences whose terms are in some folders,
// separated by commas. Several mean that parts of the module have terms of their own. A module without
// terms, or with unknown ones, is an error: a person has to read them.
func ReadIdentifiers(folders []string) (string, error) {
	texts, err := readFiles(folders, licenceFile)
	if err != nil {
		return "", err
	}
	found := map[string]bool{}
	for _, text := range texts {
		names := recognizeLicences(text.content)
		if len(names) == 0 {
			return "", fmt.Errorf("the terms in %s are unknown: read them, then add them to knownTerms", text.name)
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

// file is a text file with its base name.
type file struct{ name, content string }

// readFiles returns the files of the folders whose names match, sorted by folder and name.
func readFiles(folders []string, matching ...*regexp.Regexp) ([]file, error) {
	var files []file
	for _, folder := range folders {
		entries, err := os.ReadDir(folder)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			matches := func(name *regexp.Regexp) bool { return name.MatchString(entry.Name()) }
			if entry.IsDir() || strings.HasSuffix(entry.Name(), ".go") || !slices.ContainsFunc(matching, matches) {
				continue
			}
			content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
			if err != nil {
				return nil, err
			}
			files = append(files, file{entry.Name(), string(content)})
		}
	}
	return files, nil
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
