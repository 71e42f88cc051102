// SPDX-License-Identifier: Apache-2.0

// Sbom writes the software bill of materials of a Go program, CycloneDX JSON, from what the Go
// linker has written into it: the modules with their versions and checksums, the Go version and the
// platform. The same program gives the same file: there is no time and no serial number in it.
//
//	sbom -version v1.2.3 bin/image/amd64/coder-session-operator > sbom.cdx.json
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	version := flag.String("version", "dev", "version of the program")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: sbom -version <version> <program>")
		os.Exit(2)
	}
	if err := writeSBOM(os.Stdout, flag.Arg(0), *version); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func writeSBOM(output io.Writer, file, version string) error {
	program, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return fmt.Errorf("read what %s is made of: %w", file, err)
	}
	bom, err := describeProgram(info, program, version)
	if err != nil {
		return fmt.Errorf("describe %s: %w", file, err)
	}
	return cdx.NewBOMEncoder(output, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
}

// describeProgram returns the bill of materials of a program. All parts are listed as direct
// dependencies: the linker does not record which module requires which.
func describeProgram(info *debug.BuildInfo, program []byte, version string) (*cdx.BOM, error) {
	parts := []cdx.Component{newComponent("std", strings.TrimPrefix(info.GoVersion, "go"))}
	for _, module := range info.Deps {
		part, err := fromModule(module)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	references := make([]string, 0, len(parts))
	for _, part := range parts {
		references = append(references, part.BOMRef)
	}

	main := newComponent(info.Main.Path, version)
	main.Type = cdx.ComponentTypeApplication
	main.Name = path.Base(info.Main.Path)
	main.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	sum := sha256.Sum256(program)
	main.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}
	main.Properties = buildSettings(info)

	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &main}
	bom.Components = &parts
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &references}}
	return bom, nil
}

// newComponent describes a module of a version.
func newComponent(module, version string) cdx.Component {
	url := "pkg:golang/" + module + "@" + version
	return cdx.Component{
		Type: cdx.ComponentTypeLibrary, Name: module, Version: version, PackageURL: url, BOMRef: url,
	}
}

// fromModule describes what is compiled in: the replacement of a module that is replaced. Its
// checksum is that of go.sum, the hash of a list of files and their hashes.
func fromModule(module *debug.Module) (cdx.Component, error) {
	if module.Replace != nil {
		module = module.Replace
	}
	part := newComponent(module.Path, module.Version)
	encoded, known := strings.CutPrefix(module.Sum, "h1:")
	if !known {
		return part, nil // A folder.
	}
	sum, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return part, fmt.Errorf("read the checksum of %s: %w", module.Path, err)
	}
	part.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	return part, nil
}

// buildSettings returns the settings of the build that decide what is compiled, sorted by name.
func buildSettings(info *debug.BuildInfo) *[]cdx.Property {
	wanted := []string{"CGO_ENABLED", "GOARCH", "GOOS", "-trimpath"}
	var properties []cdx.Property
	for _, setting := range info.Settings {
		if slices.Contains(wanted, setting.Key) {
			properties = append(properties, cdx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
		}
	}
	slices.SortFunc(properties, func(a, b cdx.Property) int { return strings.Compare(a.Name, b.Name) })
	return &properties
}
