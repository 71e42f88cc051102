// SPDX-License-Identifier: Apache-2.0

package licences

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	apacheTerms = "Apache License\n   Version 2.0, January 2004"
	apacheNote  = "Licensed under the Apache License, Version 2.0 (the \"License\")"
	bsdTerms    = "Redistribution and use in source and binary\nforms, with or without modification, are permitted"
	bsdThird    = "may be used to endorse or\npromote products"
	iscTerms    = "Permission to use, copy, modify, and distribute this software"
	agplTerms   = "GNU AFFERO GENERAL PUBLIC LICENSE"
	mitTerms    = "Permission is hereby granted, free of\ncharge, to any person obtaining a copy"
)

func TestReadIdentifiers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files      map[string]string
		want, fail string
	}{
		"Apache":        {files: map[string]string{"LICENSE": apacheTerms}, want: "Apache-2.0"},
		"BSD, 2":        {files: map[string]string{"LICENSE.md": bsdTerms}, want: "BSD-2-Clause"},
		"BSD, 3":        {files: map[string]string{"Licence": bsdTerms + bsdThird}, want: "BSD-3-Clause"},
		"ISC":           {files: map[string]string{"COPYING": iscTerms}, want: "ISC"},
		"MIT":           {files: map[string]string{"LICENSE.txt": mitTerms}, want: "MIT"},
		"two of a kind": {files: map[string]string{"LICENSE": mitTerms, "LICENSE-MIT": mitTerms}, want: "MIT"},
		"two in one":    {files: map[string]string{"LICENSE": mitTerms + apacheNote}, want: "Apache-2.0, MIT"},
		"in two files":  {files: map[string]string{"LICENSE": mitTerms, "LICENSE.lib": apacheTerms}, want: "Apache-2.0, MIT"},
		"none":          {files: map[string]string{"README": mitTerms}, fail: "there is no licence"},
		"unknown":       {files: map[string]string{"LICENSE": agplTerms}, fail: "the terms in LICENSE are unknown"},
		"one unknown": {
			files: map[string]string{"LICENSE": mitTerms, "LICENSE.lib": agplTerms},
			fail:  "the terms in LICENSE.lib are unknown",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			for file, terms := range test.files {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(terms), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadIdentifiers([]string{folder})
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("got %q, %v; want an error with %q", got, err, test.fail)
				}
			} else if got != test.want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
