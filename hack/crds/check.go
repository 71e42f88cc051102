// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// check compares the fields of all earlier versions with those of the chart's, and fails for those that
// are gone or have another type without an entry in the changelog.
func check(files fs.FS) error {
	current, err := chartVersion(files)
	if err != nil {
		return err
	}
	changelog, err := fs.ReadFile(files, changelogFile)
	if err != nil {
		return err
	}
	now, err := readFields(files, path.Join(fieldsFolder, current+".txt"))
	if err != nil {
		return err
	}
	lists, err := fs.Glob(files, fieldsFolder+"/*.txt")
	if err != nil {
		return err
	}
	var faults []error
	for _, list := range lists {
		earlier, err := isEarlier(list, current)
		if err != nil {
			return err
		}
		if !earlier {
			continue
		}
		fields, err := readFields(files, list)
		if err != nil {
			return err
		}
		for _, field := range fields.order {
			if fault := fields.compare(field, now); fault != "" && !isNamed(string(changelog), field) {
				faults = append(faults, fmt.Errorf("%s of %s %s: keep it, or name it as `%s` in a line of %s that names %s",
					field.path, path.Base(strings.TrimSuffix(list, ".txt")), fault, field.path, changelogFile, field.kind))
			}
		}
	}
	return errors.Join(faults...)
}

// isEarlier reports whether a list is that of an earlier version.
func isEarlier(list, current string) (bool, error) {
	of, err := version.ParseSemantic(strings.TrimSuffix(path.Base(list), ".txt"))
	if err != nil {
		return false, fmt.Errorf("%s: %w", list, err)
	}
	now, err := version.ParseSemantic(current)
	if err != nil {
		return false, fmt.Errorf("%s: %w", chartFile, err)
	}
	return of.LessThan(now), nil
}

// field is one of a version of a kind.
type field struct{ kind, version, path string }

// fieldTypes are the fields of a list with their types.
type fieldTypes struct {
	order []field
	types map[field]string
}

// readFields reads a list.
func readFields(files fs.FS, name string) (*fieldTypes, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return nil, err
	}
	list := &fieldTypes{types: map[field]string{}}
	for line := range strings.Lines(string(text)) {
		parts := strings.Fields(line)
		if len(parts) != 4 {
			return nil, fmt.Errorf("%s: %q is no field", name, line)
		}
		f := field{parts[0], parts[1], parts[2]}
		list.order = append(list.order, f)
		list.types[f] = parts[3]
	}
	return list, nil
}

// compare says what has become of a field. Empty: it is as it was.
func (l *fieldTypes) compare(f field, now *fieldTypes) string {
	switch kind, found := now.types[f]; {
	case !found:
		return "is gone"
	case kind != l.types[f]:
		return fmt.Sprintf("was %s and is %s", l.types[f], kind)
	}
	return ""
}

// isNamed reports whether a line of the changelog names the kind, or both kinds, and the field or one
// above it.
func isNamed(changelog string, f field) bool {
	for line := range strings.Lines(changelog) {
		if !strings.Contains(line, f.kind) && !strings.Contains(line, "| both |") {
			continue
		}
		for above := f.path; above != "" && above != "spec" && above != "status"; above = parent(above) {
			if strings.Contains(line, "`"+above+"`") {
				return true
			}
		}
	}
	return false
}

// parent returns the path of the field that a field is in. Empty: none.
func parent(path string) string {
	if trimmed, found := strings.CutSuffix(path, "[]"); found {
		return trimmed
	}
	if trimmed, found := strings.CutSuffix(path, "[*]"); found {
		return trimmed
	}
	return path[:max(strings.LastIndex(path, "."), 0)]
}
