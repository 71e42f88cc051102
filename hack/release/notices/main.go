// SPDX-License-Identifier: Apache-2.0

// Command notices prints the licences of all that is compiled into a program of this repository, as
// they have to be passed on with it:
//
//	notices -platform linux/amd64 ./cmd/manager
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/coder-session-operator/coder-session-operator/hack/licences"
)

func main() {
	platform := flag.String("platform", "", "of the program, as <os>/<architecture>")
	flag.Parse()
	if err := run(*platform, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "notices:", err)
		os.Exit(1)
	}
}

// run prints the licences of the one package in args.
func run(platform string, args []string) error {
	if len(args) != 1 || !strings.Contains(platform, "/") {
		return errors.New("usage: notices -platform OS/ARCHITECTURE PACKAGE")
	}
	modules, err := licences.ListModules(args[0], platform)
	if err != nil {
		return err
	}
	goRoot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("ask for the folder of Go: %w", err)
	}
	return licences.WriteNotices(os.Stdout, modules, strings.TrimSpace(string(goRoot)))
}
